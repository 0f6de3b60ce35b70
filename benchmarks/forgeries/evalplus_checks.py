"""Checks programs with EvalPlus, in its own venv and inside a box: a line for each.

On stdin a JSON list of [task id, program], on stdout each one's number and True or False: whether
it passes both the benchmark's own inputs and EvalPlus's.
"""

import json
import os
import sys

from evalplus.data import get_human_eval_plus, get_mbpp_plus
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.evaluate import check_correctness, get_groundtruth


def main() -> None:
    """Check what is on stdin."""
    jobs = json.load(sys.stdin)
    wanted = {task for task, _ in jobs}
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    known, expected = {}, {}
    for dataset, rows, loose in (
        ("humaneval", get_human_eval_plus(), []),
        ("mbpp", get_mbpp_plus(), MBPP_OUTPUT_NOT_NONE_TASKS),
    ):
        rows = {task: row for task, row in rows.items() if task in wanted}
        known.update({task: (dataset, row) for task, row in rows.items()})
        expected.update(get_groundtruth(rows, f"some-{dataset}", loose))
    for number, (task, program) in enumerate(jobs):
        dataset, row = known[task]
        verdict = check_correctness(dataset, 0, row, program, expected[task], fast_check=True)
        passed = verdict["base"][0] == verdict["plus"][0] == "pass"
        print(f"\n{number}", passed, file=out, flush=True)


if __name__ == "__main__":
    main()
