"""How do time and memory of each stage grow with the number of functions?

Run: `.venv/bin/python benchmarks/codesearchnet.py FOLDER /tmp/csn` writes two million rows in
CodeSearchNet's layout, and `--rows 200000` a tenth of them; then
`.venv/bin/python benchmarks/scale.py /tmp/csn-small /tmp/csn`. Each is collected and a coreset of
one in a hundred selected, on all cores; every stage is a process of its own.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from processes import run

RECIPE = """\
seed: 1
collect:
  sources:
    - codesearchnet: {data}
select:
  k: 1
"""


def main() -> None:
    """Print a table: stage, functions, seconds, peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--k", type=int, default=20_000, help="Coreset of the last data set.")
    given = parser.parse_args()
    sizes: list[int] = []
    for place, data in enumerate(given.data):
        out = Path(tempfile.mkdtemp(prefix="scale-"))
        try:
            recipe = out / "recipe.yaml"
            recipe.write_text(RECIPE.format(data=data))
            base = [sys.executable, "-m", "wavecoder.cli", "run", str(recipe), "-o", str(out)]
            k = given.k if place == len(given.data) - 1 else given.k // 10
            for stage in ("collect", "select"):
                found = run([*base, "--first", stage, "--last", stage, "-s", f"select.k={k}"])
                if found.status:
                    sys.exit(found.status)
                number = 1 if stage == "collect" else 2
                manifest = json.loads((out / f"{number}-{stage}/manifest.json").read_text())
                print(
                    f"{data}: {stage} {manifest['inputs']:,} in, {manifest['kept']:,} kept, "
                    f"{found.seconds:.0f} s, peak {found.peak / 1e6:,.0f} MB",
                    flush=True,
                )
                if stage == "collect":
                    sizes.append(manifest["inputs"])
                    for reason, count in manifest["rejected"].items():
                        print(f"  {count:>9,}  {reason}")
            coverage = json.loads((out / "2-select/files/coverage.json").read_text())
            for name in ("distance", "near_duplicate_picks", "radius_on_sample"):
                print(f"  {name}: {coverage[name]}")
        finally:
            shutil.rmtree(out)
    if len(sizes) > 1:
        print(f"growth of the number of rows: {sizes[-1] / sizes[0]:.1f} x")


if __name__ == "__main__":
    main()
