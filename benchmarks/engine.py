"""How near to the ideal does the engine come, and what does a call cost it?

Run: `.venv/bin/python benchmarks/engine.py [--in-flight 64 512] [--rows 0]`. A fake endpoint of
this package, in a process of its own, answers after 0.5 s; a row is two calls, of the generator and
of the discriminator, so the ideal is in flight / latency / 2 rows a second. What is timed is the
stage `generate` of `wavecoder run`, between the first request that reaches the server and the last
reply, and its CPU time by the kernel, with the start of the process and its imports in it.
`--rows 0` takes as many rows as the ideal does in a minute.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from endpoint import fake_server, run, stats, write_functions, write_recipe

from wavecoder.artifact import Artifact

LATENCY = 0.5


def main() -> None:
    """Print rows a second as a share of the ideal, CPU a call and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--rows", type=int, default=0)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="engine-"))
    try:
        for in_flight in given.in_flight:
            ideal = in_flight / LATENCY / 2
            rows = given.rows or round(60 * ideal)
            functions = write_functions(home, rows)
            with fake_server("--latency", str(LATENCY), "--refuse", "0.2") as url:
                recipe = write_recipe(home, functions, f"{url}#fake")
                out = home / f"run-{in_flight}"
                run(recipe, out, "--last", "collect")
                cost = run(recipe, out, "--concurrency", str(in_flight), "--first", "generate")
                seen = stats(url)
            manifest = Artifact.open(out / "3-generate").manifest
            calls = int(seen["requests"])
            seconds = manifest.seconds
            print(
                f"{in_flight:>4} in flight: {manifest.inputs} rows ({manifest.kept} accepted), "
                f"{calls} calls in {seconds:.1f} s: {manifest.inputs / seconds:.1f} rows/s, "
                f"{manifest.inputs / seconds / ideal:.3f} of the ideal {ideal:.0f}; "
                f"{1000 * cost.cpu / calls:.2f} ms of CPU a call, peak {cost.peak:.0f} MB, "
                f"at most {seen['most_in_flight']} in flight",
                flush=True,
            )
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
