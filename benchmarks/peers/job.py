"""What the peers' scripts share: the job that benchmarks/peers.py gives, and what they print.

A job is a JSON file: `url`, `rows` (a jsonl of `id` and `code`), `write` and `judge` (prompts with
`{{ code }}` and `{{ instance }}`), `in_flight`, `max_tokens` of a reply, `work` (an empty folder).
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

JOB: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
ROWS: list[dict[str, str]] = [
    json.loads(line) for line in Path(JOB["rows"]).read_text().splitlines()
]


def cpu() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(run: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """Make the rows with `run`; print how many have both texts, when it began and the CPU it took.

    It is the only line on stdout that begins with `{"out"`; seconds since 1970 and CPU seconds.
    """
    began, before = time.time(), cpu()
    made = run()
    used = cpu() - before
    out = sum(bool(row["instance"]) and bool(row["verdict"]) for row in made)
    print("\n" + json.dumps({"out": out, "began": began, "cpu": used}))
