"""Does the time to cut functions out of a file grow with its size, or with its square?

Run: `.venv/bin/python benchmarks/cutting.py`. Each row is sixteen times the text of the row before;
its ratio is near 16 where the time is linear, and would be 256 where it is quadratic.
"""

import time

from wavecoder.languages import functions


def main() -> None:
    """Print a row a size."""
    before = 0.0
    for count in (250, 4_000, 64_000):
        text = "// doc\nint f(int a) { return a + 1; }\n" * count
        began = time.perf_counter()
        found = sum(1 for _ in functions(text, "c"))
        seconds = time.perf_counter() - began
        ratio = f"{seconds / before:6.1f} times the row before" if before else ""
        print(f"{found:>7} functions {seconds:8.3f} s {ratio}")
        before = seconds


main()
