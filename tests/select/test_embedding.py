"""The driver: toy embedders that count their calls, break their contract, or kill the process."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from wavecoder.errors import ArtifactError, ConfigError, ModelError, StoppedError
from wavecoder.records import RawCode, digest
from wavecoder.select import embedding
from wavecoder.select.embedders.lexical import Lexical
from wavecoder.select.embedding import bytes_needed, cache_name, embed_records
from wavecoder.select.vectors import VectorCache

KILLED = Path(__file__).with_name("killed_embedding.py")


class Toy:
    """A vector from the bytes of the code; counts what it embeds."""

    dimensions = 8
    at_once = 10
    cached = False

    def __init__(self):
        self.embedded = []
        self.sample = None

    def identity(self):
        return {}

    def fit(self, sample, seed):
        self.sample = (sample, seed)

    def embed(self, raw_codes):
        self.embedded += [raw.id for raw in raw_codes]
        return np.array([self.vector(raw) for raw in raw_codes], dtype=np.float32)

    def vector(self, raw):
        return [one / 255 for one in hashlib.sha256(raw.code.encode()).digest()[: self.dimensions]]


class Kept(Toy):
    cached = True


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(embedding, "_SHARD", 32)
    monkeypatch.setattr(embedding, "_CACHED_SHARD", 32)
    monkeypatch.setattr(embedding, "_SAMPLE", 20)


@pytest.fixture
def codes(raw_code):
    return [raw_code("x" * (n * 7 % 50) + str(n), record_id=f"r{n}") for n in range(100)]


@pytest.fixture
def embed(tmp_path):
    def run(raw_codes, embedder, folder="a", **options):
        options = {"identity": {"toy": 1}, "seed": 5, "cache": tmp_path / "cache", **options}
        return embed_records(raw_codes, embedder, tmp_path / folder, **options)

    return run


def test_the_file_holds_a_vector_a_function_in_order(codes, embed, tmp_path):
    toy = Toy()
    vectors = embed(iter_twice(codes), toy)
    assert isinstance(vectors, np.memmap)
    assert (vectors.shape, vectors.dtype) == ((100, 8), np.float32)
    assert np.array_equal(vectors, np.load(tmp_path / "a" / "vectors.npy"))
    assert np.array_equal(vectors, np.array([toy.vector(raw) for raw in codes], dtype=np.float32))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "vectors.json",
        "vectors.npy",
    ]
    assert not (tmp_path / "cache").exists()  # the toy is not worth keeping


def iter_twice(codes):
    """What can be read again and again, but has neither length nor places, like a file."""

    class Stream:
        def __iter__(self):
            return iter(codes)

    return Stream()


def test_a_shard_goes_by_falling_length(codes, embed):
    toy = Toy()
    embed(codes, toy)
    length = {raw.id: len(raw.code) for raw in codes}
    for start in range(0, 100, 32):
        shard = [length[one] for one in toy.embedded[start : start + 32]]
        assert shard == sorted(shard, reverse=True)


def test_an_embedder_learns_from_the_smallest_content_hashes_in_any_order(codes, embed):
    one, two = Toy(), Toy()
    embed(codes, one)
    embed(codes[::-1], two, folder="b")
    assert one.sample == two.sample
    sample, seed = one.sample
    assert seed == 5
    assert [raw.content_hash for raw in sample] == sorted(raw.content_hash for raw in codes)[:20]


def test_half_precision_halves_the_file(codes, embed, tmp_path):
    whole, half = embed(codes, Toy()), embed(codes, Toy(), folder="b", dtype="float16")
    assert half.dtype == np.float16
    assert np.array_equal(half, whole.astype(np.float16))
    assert bytes_needed(100, 8, "float16") == 1600 == bytes_needed(100, 8) // 2
    assert (tmp_path / "b" / "vectors.npy").stat().st_size == 1600 + 128


def test_progress_and_room_are_told(codes, embed):
    told, notes = [], []
    progress = lambda done, total: told.append((done, total))  # noqa: E731
    embed(codes, Kept(), progress=progress, note=notes.append)
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0, 100), (100, 100))
    assert (10, 100) in told  # within a shard, too
    assert notes == ["100 vectors of 8 numbers take 6.4 kB on disk, half of it kept for later runs"]


def test_a_stop_keeps_the_shards_that_are_finished(codes, embed, tmp_path):
    whole = embed(codes, Toy())
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 20:
            raise StoppedError("Stopped.")

    first, second = Toy(), Toy()
    with pytest.raises(StoppedError):
        embed(codes, first, folder="b", check=stop)
    done = json.loads((tmp_path / "b" / "vectors.json").read_text())["done"]
    assert 0 < done < 100
    assert done % 32 == 0
    assert np.array_equal(embed(codes, second, folder="b"), whole)
    assert set(second.embedded) == {raw.id for raw in codes[done:]}


@pytest.mark.parametrize(("kind", "at"), [("Toy", 5), ("Kept", 1), ("Kept", 8), ("Lexical", 5)])
def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(kind, at, tmp_path):
    def run(folder, kill_at):
        return subprocess.run(
            [sys.executable, KILLED, kind, tmp_path / folder, str(kill_at)],
            capture_output=True,
            text=True,
        )

    assert run("whole", 0).returncode == 0
    assert run("killed", at).returncode == -9
    resumed = run("killed", 0)
    assert resumed.returncode == 0, resumed.stderr
    one, two = (tmp_path / name / "vectors.npy" for name in ("whole", "killed"))
    assert one.read_bytes() == two.read_bytes()
    if at == 8:
        assert int(resumed.stdout) < int(run("again", 0).stdout)


class Drifting(Kept):
    """Like a model's, the vectors of a function differ from batch to batch in their last bits."""

    def vector(self, raw):
        return np.array(super().vector(raw)) + 1e-6 * (len(self.embedded) // self.at_once)


def test_a_function_that_comes_twice_has_one_vector_whether_or_not_the_call_is_killed(
    codes, embed, tmp_path, monkeypatch
):
    """An earlier selection's functions are often among those collected, too."""
    codes = sorted(codes, key=lambda raw: len(raw.code))[-31:]
    codes = [raw.model_copy(update={"code": raw.code[-30:]}) for raw in codes[:30]]
    codes.append(codes[0].model_copy(update={"id": "again"}))
    whole = embed(codes, Drifting(), folder="whole", cache=tmp_path / "one").tobytes()
    place = {"folder": "killed", "cache": tmp_path / "two"}
    with monkeypatch.context() as patched:

        def end(self, vectors):
            raise KeyboardInterrupt

        patched.setattr("wavecoder.select.vectors.VectorFile.append", end)
        with pytest.raises(KeyboardInterrupt):
            embed(codes, Drifting(), **place)
    assert embed(codes, Drifting(), **place).tobytes() == whole


@pytest.mark.parametrize("kind", [Toy, Kept])
def test_it_may_end_before_any_write(kind, codes, embed, tmp_path, monkeypatch):
    """Each write is followed by an fsync; the call ends at the first, the second, and so on."""
    whole = embed(codes, Toy()).tobytes()

    class Ended(BaseException):
        pass

    for at in range(1, 100):
        left = [at]

        def end(file, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Ended

        place = {"folder": f"{kind.__name__}{at}", "cache": tmp_path / f"cache{kind.__name__}{at}"}
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", end)
            try:
                embed(codes, kind(), **place)
            except Ended:
                pass
            else:
                break
        again = kind()
        assert embed(codes, again, **place).tobytes() == whole
        assert len(again.embedded) == len(set(again.embedded))
    assert at == (1 + 1 + 4 * (2 if kind is Toy else 4)) + 1


def test_what_is_cut_off_in_the_middle_of_a_shard_is_made_again(codes, embed, tmp_path):
    whole = embed(codes, Toy()).tobytes()
    with pytest.raises(StoppedError):
        embed(codes, Toy(), folder="b", check=stop_after(20))
    with (tmp_path / "b" / "vectors.npy.partial").open("ab") as file:
        file.write(b"half a shard")
    assert embed(codes, Toy(), folder="b").tobytes() == whole
    # Where the file itself is gone, or shorter than it is said to be, all is made again.
    for damage in ("unlink", "cut"):
        with pytest.raises(StoppedError):
            embed(codes, Toy(), folder=damage, check=stop_after(20))
        partial = tmp_path / damage / "vectors.npy.partial"
        partial.unlink() if damage == "unlink" else partial.write_bytes(partial.read_bytes()[:-1])
        assert embed(codes, Toy(), folder=damage).tobytes() == whole


def stop_after(calls):
    left = [calls]

    def stop():
        left[0] -= 1
        if left[0] == 0:
            raise StoppedError("Stopped.")

    return stop


def test_a_complete_file_is_not_made_again(codes, embed):
    whole = embed(codes, Toy())
    again = Toy()
    assert np.array_equal(embed(codes, again), whole)
    assert (again.embedded, again.sample) == ([], None)


@pytest.mark.parametrize("change", ["order", "code", "fewer", "identity", "seed", "dtype"])
def test_a_file_made_of_something_else_does_not_count(change, codes, embed, raw_code):
    embed(codes, Toy())
    options = {
        "identity": {"identity": {"toy": 2}},
        "seed": {"seed": 6},
        "dtype": {"dtype": "float16"},
    }.get(change, {})
    codes = {
        "order": codes[::-1],
        "code": [*codes[:-1], raw_code("other", record_id="r99")],
        "fewer": codes[:-1],
    }.get(change, codes)
    toy = Toy()
    assert len(embed(codes, toy, **options)) == len(codes)
    assert len(toy.embedded) == len(codes)


def test_what_was_embedded_before_is_not_embedded_again(codes, embed, raw_code, tmp_path):
    first, second, third = Kept(), Kept(), Kept()
    embed(codes, first)
    assert len(first.embedded) == 100
    new = [raw_code(f"new {n}", record_id=f"n{n}") for n in range(3)]
    changed = [new[0], *codes[5:50], new[1], *codes[90:10:-1], new[2]]
    vectors = embed(changed, second, folder="b")
    assert sorted(second.embedded) == ["n0", "n1", "n2"]
    assert np.array_equal(vectors, np.array([first.vector(r) for r in changed], np.float32))
    shutil.rmtree(tmp_path / "b")
    assert np.array_equal(embed(changed, third, folder="b"), vectors)
    assert third.embedded == []


@pytest.mark.parametrize("field", ["language", "name", "docstring", "code"])
def test_the_cache_knows_all_that_an_embedder_may_read(field, codes, embed):
    embed(codes, Kept())
    other = codes[7].model_copy(update={field: "other"})
    moved = codes[8].model_copy(update={"path": "b.py", "start_line": 9, "id": "moved"})
    again = Kept()
    embed([*codes[:7], other, moved, *codes[9:]], again, folder="b")
    assert again.embedded == [other.id]


def test_another_embedder_has_another_cache():
    names = {
        cache_name(identity, dtype)
        for identity in ({"a": {"model": "m"}}, {"a": {"model": "n"}}, {"b": {"model": "m"}})
        for dtype in ("float32", "float16")
    }
    assert len(names) == 6


def test_a_cache_survives_what_a_kill_leaves_and_says_when_it_is_damaged(tmp_path):
    cache = VectorCache(tmp_path)
    keys = np.array([5, 3, 9, 3], dtype=np.uint64)
    cache.add(keys, np.arange(8, dtype=np.float32).reshape(4, 2))
    (tmp_path / "000001.vectors.npy").write_bytes(b"no keys file beside it: not whole")
    (tmp_path / "000001.keys.npy.partial").write_bytes(b"half")
    again = VectorCache(tmp_path)
    assert (len(again), again.width) == (3, 2)
    found, vectors = again.find(np.array([9, 4, 3, 3], dtype=np.uint64))
    assert found.tolist() == [True, False, True, True]
    assert vectors.tolist() == [[4, 5], [2, 3], [2, 3]]
    again.add(np.array([4, 9], dtype=np.uint64), np.full((2, 2), 7, dtype=np.float32))
    found, vectors = VectorCache(tmp_path).find(np.array([4, 9], dtype=np.uint64))
    assert vectors.tolist() == [[7, 7], [4, 5]]
    (tmp_path / "000000.vectors.npy").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"Cannot read .*000000.vectors.npy: .* Delete"):
        VectorCache(tmp_path).find(keys)


def test_two_processes_give_the_same_bytes(codes, embed):
    options = {"identity": {"lexical": {}}}
    one = embed(codes, Lexical(Lexical.Config()), **options)
    two = embed(codes, Lexical(Lexical.Config()), folder="b", processes=2, **options)
    assert one.tobytes() == two.tobytes()


LOADING = """
import os
import numpy as np

class Loading:
    parallel = True

    def __init__(self, log):
        self.log = log

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\\n")

    def fit(self, sample, seed):
        pass

    def embed(self, raw_codes):
        return np.array([[len(raw.code), 1] for raw in raw_codes], dtype=np.float32)
"""


def test_a_process_has_one_copy_of_the_embedder_for_all_its_shards(
    codes, embed, tmp_path, monkeypatch
):
    (tmp_path / "loading_embedder.py").write_text(LOADING)
    monkeypatch.syspath_prepend(tmp_path)  # processes get the same path
    embedder = import_module("loading_embedder").Loading(str(tmp_path / "log"))
    vectors = embed(codes, embedder, processes=2)
    assert vectors[:, 0].tolist() == [len(raw.code) for raw in codes]
    loads = (tmp_path / "log").read_text().split()
    assert len(loads) == len(set(loads))
    assert len(loads) <= 2


class Bad(Toy):
    """Breaks its contract from the second shard on."""

    at_once = 1

    def __init__(self, breaks, dimensions=8):
        super().__init__()
        self.breaks = breaks
        self.dimensions = dimensions

    def embed(self, raw_codes):
        vectors = super().embed(raw_codes)
        return self.breaks(vectors) if len(self.embedded) > 40 else vectors


@pytest.mark.parametrize(
    ("breaks", "error", "words"),
    [
        (lambda v: v * np.nan, ModelError, "not all numbers"),
        (lambda v: v + np.inf, ModelError, "not all numbers"),
        (lambda v: v[:, :3], ConfigError, "of 8 numbers at first and of 3"),
        (lambda v: np.concatenate([v, v]), ConfigError, "gave 2 vectors for 1 functions"),
        (lambda v: v[:0], ConfigError, "gave 0 vectors for 1 functions"),
        (lambda v: v[0], ConfigError, r"shape \(8,\), not vectors for 1 functions"),
        (lambda v: v.astype(np.int64), ConfigError, "gave int64 instead of float32"),
        (lambda v: v.tolist(), ConfigError, "gave list instead of float32"),
        (lambda v: None, ConfigError, "gave NoneType instead of float32"),
    ],
)
def test_a_bad_embedder_is_told_by_the_function_and_keeps_what_is_finished(
    breaks, error, words, codes, embed
):
    bad = Bad(breaks)
    with pytest.raises(error, match=words) as caught:
        embed(codes, bad)
    fault = next(raw for raw in codes if raw.id == bad.embedded[-1])
    assert f"f ({fault.id}, directory:src a.py:1)" in str(caught.value)
    good = Toy()
    assert len(embed(codes, good)) == 100
    assert len(good.embedded) == 100 - 32


def test_a_number_too_large_for_half_precision_is_told(codes, embed):
    with pytest.raises(ConfigError, match="too large for float16"):
        embed(codes, Bad(lambda v: v + 1e6), dtype="float16")


def test_a_number_too_large_for_single_precision_is_told(codes, embed):
    with pytest.raises(ConfigError, match=r"too large for float32. Mend it or use another\."):
        embed(codes, Bad(lambda v: v.astype(np.float64) + 1e300))


@pytest.mark.parametrize("known", [True, False])
def test_the_width_is_told_before_the_functions_are_embedded(known, codes, embed):
    class Learning(Toy):
        def embed(self, raw_codes):
            assert self.sample is not None  # it has learnt
            return super().embed(raw_codes)

    toy, told = Learning(), []
    toy.dimensions = 8 if known else None
    toy.vector = lambda raw: [1.0] * 8

    def refuse(width):
        told.append((width, len(toy.embedded)))
        raise ConfigError("No memory.")

    with pytest.raises(ConfigError, match="No memory"):
        embed(codes, toy, on_width=refuse)
    assert told == [(8, 0 if known else 1)]
    embed(codes, toy)
    with pytest.raises(ConfigError, match="No memory"):  # also where all is there already
        embed(codes, toy, on_width=refuse)


def test_a_width_that_is_not_known_is_asked_for(codes, embed):
    toy = Toy()
    toy.dimensions = None
    toy.vector = lambda raw: [1.0, 2.0, 3.0]
    assert embed(codes, toy).shape == (100, 3)
    flat = Toy()
    flat.dimensions = None
    flat.embed = lambda raw_codes: np.zeros(3, dtype=np.float32)
    with pytest.raises(ConfigError, match=r"shape \(3,\) for one function"):
        embed(codes, flat, folder="b")


def test_nothing_to_embed_is_one_sentence(embed):
    with pytest.raises(ConfigError, match="no function to embed"):
        embed([], Toy())


def test_too_little_room_is_said_before_the_start(codes, embed, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(embedding.shutil, "disk_usage", lambda path: usage(9, 0, 3000))
    toy = Toy()
    with pytest.raises(ArtifactError, match=r"100 functions need 3\.2 kB and .* has 3\.0 kB free"):
        embed(codes, toy)
    assert toy.embedded == []


def test_a_full_disk_is_one_sentence_and_keeps_what_is_finished(codes, embed, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "vectors.npy.partial").symlink_to("/dev/full")
    with pytest.raises(ArtifactError, match=r"vectors\.npy\.partial: No space left on device"):
        embed(codes, Toy())


def test_functions_that_come_and_go_are_told(codes, embed):
    class Shrinking:
        times = 0

        def __iter__(self):
            self.times += 1
            return iter(codes if self.times == 1 else codes[:50])

    with pytest.raises(ArtifactError, match="100 functions at first and 50 later"):
        embed(Shrinking(), Toy())


def test_a_digest_stands_for_what_an_embedder_may_read():
    """`_key` decides what the caches of old runs still hold: it must not change by accident."""
    raw = RawCode(
        id="i",
        language="go",
        name="F",
        code="x",
        docstring=None,
        source="s",
        path="p",
        start_line=None,
        end_line=None,
        content_hash="h",
    )
    assert embedding._key(raw) == int(digest("go", "F", "x", ""), 16)
