"""HumanEval+ and MBPP+: the same tasks with many more inputs (Liu et al. 2023, EvalPlus).

A program is called with every input, and its results must be those of the reference, which is
prompt + canonical_solution in both, by the rule in `wavecoder.grading.oracle`. The copies of these
datasets on the hub have no inputs, so only the released files will do.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavecoder.evaluate.benchmarks.files import DataFile, Row, load_rows
from wavecoder.records import Problem

__all__ = ["HUMANEVAL_PLUS", "MBPP_PLUS", "EvalPlus", "restore"]

_HUMANEVAL = DataFile(
    names=tuple(
        f"{folder}HumanEvalPlus-v0.1.10.jsonl{end}"
        for folder in ("humanevalplus/", "")
        for end in (".gz", "")
    ),
    sha256="272720b90ac375502c8ed23cd791c2a93dfb22a911641a494da74a426c09f101",
    unpacked_sha256="42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f",
    home="github.com/evalplus/humanevalplus_release (release v0.1.10)",
)
_MBPP = DataFile(
    names=tuple(
        f"{folder}MbppPlus-v0.2.0.jsonl{end}" for folder in ("mbppplus/", "") for end in (".gz", "")
    ),
    sha256="af43697e8791c4c149bdfd6b489d8b5412507551ac20e28a439f650b8225db63",
    unpacked_sha256="b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
    home="github.com/evalplus/mbppplus_release (release v0.2.0)",
)

_Shape = Callable[[Any], Any]


def _each(shape: _Shape, whole: _Shape = list) -> _Shape:
    """Return what shapes every item of a value."""
    return lambda value: whole(shape(item) for item in value)


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _lists_inside(value: Any) -> Any:
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


def _values(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) for key, item in value.items()}


# JSON has no tuples and no complex numbers. Which arguments of a task were some is a fact of
# MBPP+, known from `mbpp_deserialize_inputs` of EvalPlus 0.3.1 (evalplus/data/mbpp.py); here are
# the tasks of v0.2.0. One shape stands for all arguments of a task, several for one each, and
# None leaves an argument and those after it as they are.
_SHAPES: tuple[tuple[tuple[_Shape | None, ...], str], ...] = (
    ((tuple,), "2 116 132 222 261 273 394 421 424 429 470 560 579 596 616 630 726 740 744 809"),
    ((_each(tuple),), "63 64 70 94 120 237 272 299 409 473 614 780"),
    ((_each(tuple, tuple),), "259 445"),
    ((_each(tuple), None), "75 413 753"),
    ((tuple, None), "250 405 446 720 763 808"),
    ((lambda value: value, tuple), "106 750"),
    ((float, complex), "124"),
    ((complex,), "252"),
    ((_lists_inside,), "278"),
    ((_values, None), "722"),
    ((_deep,), "580 615 791"),
)
_SHAPES_OF = {f"Mbpp/{task}": shapes for shapes, tasks in _SHAPES for task in tasks.split()}


def restore(task_id: str, arguments: list[Any]) -> tuple[Any, ...]:
    """Return the arguments of one call, read from JSON, as the task's function wants them."""
    shapes = _SHAPES_OF.get(task_id, (None,))
    if len(shapes) == 1:
        shapes *= len(arguments)
    shaped = [shape(item) for shape, item in zip(shapes, arguments, strict=False) if shape]
    return (*shaped, *arguments[len(shaped) :])


class EvalPlus:
    """The benchmark `humaneval+` or `mbpp+`."""

    languages = ("python",)

    def __init__(self, name: str, data: DataFile) -> None:
        self.name = name
        self._data = data

    def problems(self, language: str, path: Path | None = None) -> list[Problem]:
        """Return the 164 problems of HumanEval+ v0.1.10, or the 378 of MBPP+ v0.2.0.

        Raises:
            ConfigError: The data is not found, or not the right one.
        """
        return [self._problem(row, language) for row in load_rows(self._data, path)]

    def _problem(self, row: Row, language: str) -> Problem:
        task_id = row["task_id"]
        inputs = [*row["base_input"], *row["plus_input"]]
        return Problem(
            id=task_id,
            benchmark=self.name,
            language=language,
            prompt=row["prompt"],
            entry_point=row["entry_point"],
            canonical_solution=row["canonical_solution"],
            test=row.get("test") or row["assertion"],
            inputs=tuple(restore(task_id, arguments) for arguments in inputs),
            base_inputs=len(row["base_input"]),
            atol=row["atol"],
        )


HUMANEVAL_PLUS = EvalPlus("humaneval+", _HUMANEVAL)
MBPP_PLUS = EvalPlus("mbpp+", _MBPP)
