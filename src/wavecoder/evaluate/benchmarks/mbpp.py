"""MBPP: short Python functions from a sentence, each with three asserts (Austin et al. 2021).

The 500 test problems, ids 11 to 510 of 974. A program passes if it, then the set-up, then the
asserts raise nothing: the set-up of task 367 uses a class that the program defines.
"""

import re
from pathlib import Path

from wavecoder.evaluate.benchmarks.files import DataFile, Hub, Row, load_rows
from wavecoder.records import Problem

__all__ = ["MBPP", "Mbpp"]

_DATA = DataFile(
    names=("mbpp/mbpp.jsonl", "mbpp.jsonl"),
    sha256="ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    home="github.com/google-research/google-research (mbpp/mbpp.jsonl)",
    ids=range(11, 511),
    hub=Hub(
        path="google-research-datasets/mbpp",
        options={"name": "full", "split": "test"},
        fields=("task_id", "text", "code", "test_list", "test_setup_code"),
        digest="033a871537abe67ce8edb9e8e46b0b25e7d0aaa2048c30b53c8cb8bc1f0a8531",
    ),
)


class Mbpp:
    """The benchmark `mbpp`."""

    languages = ("python",)

    def problems(self, language: str, path: Path | None = None) -> list[Problem]:
        """Return the 500 problems, in the order of their ids.

        Raises:
            ConfigError: The data is not found, or not the right one.
            MissingExtraError: It is only on the hub, and `datasets` is not installed.
        """
        return [_problem(row, language) for row in load_rows(_DATA, path)]


def _problem(row: Row, language: str) -> Problem:
    # 499 references and one set-up have Windows line ends; Python reads both alike, and the texts
    # and asserts, which are all that a prompt shows, have none.
    code, setup = (
        row[name].replace("\r\n", "\n").replace("\r", "\n") for name in ("code", "test_setup_code")
    )
    return Problem(
        id=f"Mbpp/{row['task_id']}",
        benchmark="mbpp",
        language=language,
        prompt=row["text"],
        entry_point=_entry_point(code, row["test_list"][0]),
        canonical_solution=code,
        test="\n".join(row["test_list"]),
        test_setup=setup,
    )


def _entry_point(code: str, test: str) -> str:
    """Return the function of `code` that `test` calls; the data does not say it."""
    defined = set(re.findall(r"^def +(\w+)", code, re.MULTILINE))
    called: list[str] = re.findall(r"(\w+) *\(", test)
    return next(name for name in called if name in defined)


MBPP = Mbpp()
