"""How fast and how exact is `kcenter_greedy`, against others in the same run on the same matrix?

    python benchmarks/kcenter.py identity  --matrix real.npy   # index by index
    python benchmarks/kcenter.py speed     --matrix real.npy   # 100,000 rows, k = 1,000
    python benchmarks/kcenter.py large     --matrix real.npy   # 350,000 rows, k = 1 %
    python benchmarks/kcenter.py huge                          # 1,200,000 x 768, k = 20,000
    python benchmarks/kcenter.py isotropic                     # the worst case, 50,000 rows

A matrix is a float32 .npy file, a row an embedding; its first rows are used. Repeats are
interleaved, and the worst ratio is printed. "release" is the update rule of WaveCoder's and
google/active-learning's kCenterGreedy: scikit-learn's float32 `pairwise_distances` to the newest
center, a minimum, an argmax, from row 0. It and the C loop cost the same for every center, so only
some centers of theirs are run, and the time is multiplied.
"""

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wavecoder.select import kcenter
from wavecoder.select.kcenter import Selection, kcenter_greedy, memory_needed

C_LOOP = r"""
#include <stddef.h>
/* One pass over all rows for one center: what plain greedy cannot do without. */
size_t pass(const float *x, size_t n, size_t d, size_t center, float *nearest) {
    const float *c = x + center * d;
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float *row = x + i * d;
        float sum = 0;
        #pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < d; j++) { float t = row[j] - c[j]; sum += t * t; }
        if (sum < nearest[i]) nearest[i] = sum;
    }
    size_t best = 0;
    for (size_t i = 1; i < n; i++) if (nearest[i] > nearest[best]) best = i;
    return best;
}
"""


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    for name, run in (("identity", identity), ("speed", speed), ("large", large)):
        part = parts.add_parser(name)
        part.add_argument("--matrix", type=Path, required=True)
        part.add_argument("--repeats", type=int, default=3)
        part.set_defaults(run=run)
    parts.choices["speed"].add_argument("--rows", type=int, default=100_000)
    parts.choices["speed"].add_argument("--k", type=int, default=1000)
    parts.choices["speed"].add_argument("--release-centers", type=int, default=50)
    parts.choices["large"].add_argument("--rows", type=int, default=350_000)
    parts.choices["large"].add_argument("--k", type=int, default=3500)
    part = parts.add_parser("huge")
    part.add_argument("--rows", type=int, default=1_200_000)
    part.add_argument("--columns", type=int, default=768)
    part.add_argument("--k", type=int, default=20_000)
    part.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    part.set_defaults(run=huge)
    part = parts.add_parser("isotropic")
    part.add_argument("--repeats", type=int, default=3)
    part.set_defaults(run=isotropic)
    part = parts.add_parser("child")  # one search in a process of its own; see `in_a_process`
    part.add_argument("--matrix", type=Path)
    part.add_argument("--rows", type=int)
    part.add_argument("--k", type=int)
    part.set_defaults(run=child)
    arguments = parser.parse_args()
    arguments.run(arguments)


def identity(arguments: argparse.Namespace) -> None:
    """Compare picks with the release's, and with a float64 loop where ties abound."""
    matrix = np.load(arguments.matrix, mmap_mode="r")
    for n, k in ((20_000, 400), (100_000, 300)):
        if n <= len(matrix):
            rows = np.ascontiguousarray(matrix[:n])
            verdict(f"release, {n:,} rows, k = {k}", fast(rows, k).indices, release(rows, k))
    rng = np.random.default_rng(0)
    rows = matrix[:15_000]
    rows = np.concatenate([rows, rows[:5000]])[rng.permutation(20_000)]
    verdict("float64 loop, 5,000 duplicates", fast(rows, 1000).indices, float64(rows, 1000))
    lattice = rng.integers(-1, 2, size=(20_000, 12)).astype(np.float32)
    verdict("float64 loop, lattice", fast(lattice, 1000).indices, float64(lattice, 1000))
    few = lattice[rng.integers(0, 500, size=20_000)]
    verdict("float64 loop, 500 distinct rows", fast(few, 600).indices, float64(few, 600))


def speed(arguments: argparse.Namespace) -> None:
    """Print the ratios to the release, skmatter's VoronoiFPS, and a loop of matrix products."""
    n, k, some = arguments.rows, arguments.k, arguments.release_centers
    matrix = np.ascontiguousarray(np.load(arguments.matrix, mmap_mode="r")[:n])
    warm_up()
    peers: dict[str, tuple[Callable[[], np.ndarray], float]] = {
        "release": (lambda: release(matrix, some), k / some),
        "VoronoiFPS": (lambda: voronoi(matrix, k), 1),
        "numpy products": (lambda: products(matrix, k), 1),
    }
    compare(matrix, k, peers, arguments.repeats)


def large(arguments: argparse.Namespace) -> None:
    """Print the ratio to one pass per center in C, and the peak memory."""
    matrix = np.load(arguments.matrix, mmap_mode="r")[: arguments.rows]
    n, k = len(matrix), arguments.k
    one_pass = c_loop()
    for _ in range(arguments.repeats):
        per_center = seconds(lambda: one_pass(matrix, 40)) / 40
        ours = in_a_process(arguments.matrix, n, k)
        ratio = per_center * k / ours["seconds"]
        print(
            f"{n:,} x {matrix.shape[1]}, k = {k:,}: {ours['seconds']:.2f} s; C pass "
            f"{per_center * 1000:.1f} ms x k = {per_center * k:.0f} s: {ratio:.1f} times; "
            + memory(ours, matrix.nbytes)
        )


def huge(arguments: argparse.Namespace) -> None:
    """Run a search over 3.7 GB to its end."""
    n, d, k = arguments.rows, arguments.columns, arguments.k
    path = arguments.folder / f"kcenter-{n}x{d}.npy"
    if not path.exists():
        mixture(path, n, d)
    matrix = np.load(path, mmap_mode="r")
    per_center = seconds(lambda: c_loop()(matrix, 10)) / 10
    ours = in_a_process(path, n, k)
    print(
        f"{n:,} x {d}, k = {k:,}: {ours['seconds']:.1f} s, longest time between two calls of "
        f"on_pick {ours['silence']:.2f} s; C pass {per_center * 1000:.0f} ms x k = "
        f"{per_center * k:.0f} s: {per_center * k / ours['seconds']:.0f} times; "
        + memory(ours, matrix.nbytes)
    )


def isotropic(arguments: argparse.Namespace) -> None:
    """Print the ratios where vectors have no structure at all."""
    matrix = np.random.default_rng(0).normal(size=(50_000, 384)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    warm_up()
    one_pass = c_loop()
    peers: dict[str, tuple[Callable[[], np.ndarray], float]] = {
        "release": (lambda: release(matrix, 20), 50),
        "C pass": (lambda: one_pass(matrix, 1000), 1),
        "numpy products": (lambda: products(matrix, 1000), 1),
    }
    compare(matrix, 1000, peers, arguments.repeats)


def compare(
    matrix: np.ndarray,
    k: int,
    peers: dict[str, tuple[Callable[[], np.ndarray], float]],
    repeats: int,
) -> None:
    """Time `kcenter_greedy` and the peers in turn; a peer's time is multiplied by its factor."""
    times: dict[str, list[float]] = {name: [] for name in peers}
    mine = []
    same = {}
    for _ in range(repeats):
        began = time.perf_counter()
        picks = fast(matrix, k).indices
        mine.append(time.perf_counter() - began)
        for name, (run, factor) in peers.items():
            began = time.perf_counter()
            theirs = run()
            times[name].append((time.perf_counter() - began) * factor)
            same[name] = agreement(picks, theirs)
    print(f"{matrix.shape[0]:,} x {matrix.shape[1]}, k = {k:,}; kcenter_greedy {spread(mine)} s")
    for name, theirs in times.items():
        ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
        factor = peers[name][1]
        note = "" if factor == 1 else f" ({k / factor:.0f} centers run)"
        print(f"  {name:<15} {spread(theirs)} s{note}; {spread(ratios)} times; {same[name]}")
        print(f"  {'':<15} worst ratio {min(ratios):.1f}")


def fast(matrix: np.ndarray, k: int) -> Selection:
    return kcenter_greedy(matrix, k, first=0)


def warm_up() -> None:
    """Compile, or load what was compiled."""
    work, kcenter._PLAIN_WORK = kcenter._PLAIN_WORK, 0
    began = time.perf_counter()
    fast(np.random.default_rng(0).normal(size=(3000, 32)).astype(np.float32), 400)
    kcenter._PLAIN_WORK = work
    print(f"first call (load or compile): {time.perf_counter() - began:.1f} s")


def release(matrix: np.ndarray, k: int) -> np.ndarray:
    try:
        from sklearn.metrics import pairwise_distances
    except ImportError:
        sys.exit("This comparison needs: .venv/bin/pip install scikit-learn skmatter")
    picks = [0]
    nearest = pairwise_distances(matrix, matrix[:1])
    while len(picks) < k:
        picks.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, pairwise_distances(matrix, matrix[picks[-1:]]))
    return np.array(picks)


def voronoi(matrix: np.ndarray, k: int) -> np.ndarray:
    try:
        from skmatter.sample_selection import VoronoiFPS
    except ImportError:
        sys.exit("This comparison needs: .venv/bin/pip install scikit-learn skmatter")
    return VoronoiFPS(n_to_select=k, initialize=0).fit(matrix).selected_idx_


def products(matrix: np.ndarray, k: int) -> np.ndarray:
    """The shortest quick loop: |x|² + |c|² - 2 x·c in float32."""
    norms = np.einsum("ij,ij->i", matrix, matrix)
    nearest = np.full(len(matrix), np.inf, dtype=np.float32)
    picks = [0]
    while True:
        square = norms + norms[picks[-1]] - 2 * (matrix @ matrix[picks[-1]])
        np.minimum(nearest, square, out=nearest)
        nearest[picks[-1]] = -1
        if len(picks) == k:
            return np.array(picks)
        picks.append(int(nearest.argmax()))


def float64(matrix: np.ndarray, k: int) -> np.ndarray:
    """The canonical distance without fixed lanes; a row is picked once."""
    wide = matrix.astype(np.float64)
    nearest = np.full(len(matrix), np.inf, dtype=np.float32)
    picks = [0]
    while True:
        square = np.square(wide - wide[picks[-1]]).sum(axis=1)
        np.minimum(nearest, np.sqrt(square.astype(np.float32)), out=nearest)
        nearest[picks[-1]] = -1
        if len(picks) == k:
            return np.array(picks)
        picks.append(int(nearest.argmax()))


def c_loop() -> Callable[[np.ndarray, int], np.ndarray]:
    """Compile the C pass for this machine; return a plain greedy with it."""
    folder = Path(tempfile.mkdtemp())
    (folder / "pass.c").write_text(C_LOOP)
    flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "pass.c", "-o", "pass.so"], cwd=folder, check=True)
    one_pass = ctypes.CDLL(str(folder / "pass.so"))["pass"]
    one_pass.restype = ctypes.c_size_t
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    one_pass.argtypes = [pointer, size, size, size, pointer]

    def greedy(matrix: np.ndarray, k: int) -> np.ndarray:
        nearest = np.full(len(matrix), np.inf, dtype=np.float32)
        picks = [0]
        for _ in range(k):
            n, d = matrix.shape
            picks.append(one_pass(matrix.ctypes.data, n, d, picks[-1], nearest.ctypes.data))
        return np.array(picks[:k])

    return greedy


def in_a_process(path: Path, rows: int, k: int) -> dict[str, float]:
    """Run one search in a process of its own, for its peak memory."""
    command = [sys.executable, __file__, "child", "--matrix", path, "--rows", rows, "--k", k]
    found = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def child(arguments: argparse.Namespace) -> None:
    """Print time, and how far the peak memory grew, from after loading all code, as JSON."""
    warm_up()
    matrix = np.load(arguments.matrix, mmap_mode="r")[: arguments.rows]
    before = peak()
    began = last = time.perf_counter()
    silence = 0.0

    def on_pick(done: int) -> None:
        nonlocal last, silence
        silence = max(silence, time.perf_counter() - last)
        last = time.perf_counter()

    kcenter_greedy(matrix, arguments.k, first=0, on_pick=on_pick)
    took = time.perf_counter() - began
    growth = peak() - before
    needed = memory_needed(*matrix.shape, arguments.k)
    print(
        json.dumps(
            {
                "seconds": took,
                "silence": silence,
                "before": before,
                "growth": growth,
                "needed": needed,
            }
        )
    )


def peak() -> int:
    """Return the most memory that was resident, in bytes; `getrusage` would count the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def memory(ours: dict[str, float], matrix: int) -> str:
    return (
        f"peak {ours['growth'] / matrix:.2f} x matrix, itself included (memory_needed allows "
        f"{1 + ours['needed'] / matrix:.2f}; loaded code before: {ours['before'] / 2**20:.0f} MiB)"
    )


def mixture(path: Path, n: int, d: int) -> None:
    """Write unit vectors of a Zipf mixture of low dimension, one in twenty nearly a duplicate."""
    rng = np.random.default_rng(0)
    kinds, inner = 3000, 48
    base = rng.normal(size=(inner * 4, d)).astype(np.float32) / np.sqrt(d)
    middles = (rng.normal(size=(kinds, inner * 4)) @ base).astype(np.float32)
    turns = 16 * rng.integers(0, 3 * inner // 16, size=kinds)
    share = 1 / np.arange(1, kinds + 1)
    decay = np.exp(-np.arange(inner) / 16).astype(np.float32)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, d))
    for start in range(0, n, 20_000):
        size = min(20_000, n - start)
        kind = rng.choice(kinds, size, p=share / share.sum())
        spread = rng.normal(size=(size, inner)).astype(np.float32) * decay * 2
        rows = middles[kind]
        for turn in range(0, 3 * inner, 16):  # clusters spread along different directions
            some = turns[kind] == turn
            rows[some] += spread[some] @ base[turn : turn + inner]
        rows += rng.normal(size=(size, d)).astype(np.float32) * np.float32(0.3 / np.sqrt(d))
        twins = rng.integers(0, size, size=(2, size // 20))
        noise = rng.normal(size=(size // 20, d)).astype(np.float32)
        rows[twins[0]] = rows[twins[1]] + noise * np.float32(1e-3 / np.sqrt(d))
        out[start : start + size] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    out.flush()


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def verdict(name: str, picks: np.ndarray, theirs: np.ndarray) -> None:
    print(f"{name}: {agreement(picks, theirs)}")


def agreement(picks: np.ndarray, theirs: np.ndarray) -> str:
    size = min(len(picks), len(theirs))
    differ = np.flatnonzero(picks[:size] != theirs[:size])
    if not differ.size:
        return f"all {size} picks the same"
    again = "the same set" if set(picks[:size]) == set(theirs[:size]) else "another set"
    return f"{differ.size} of {size} picks differ, from {differ[0]}, {again}"


def spread(values: list[float]) -> str:
    return f"{min(values):.2f}-{max(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


main()
