"""A candidate program and a problem's tests become a job for the sandbox, by language and mode.

One file a language. Each has `job(problem, program, mode)` and `toolchain()`.
"""

from importlib import import_module
from types import ModuleType

from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Job

__all__ = ["LANGUAGES", "job_for", "module_of"]

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
"""Languages that programs can be run in."""


def module_of(language: str) -> ModuleType:
    """Return the module that knows how programs of a language are run."""
    return import_module(f"wavecoder.grading.{language}")


def job_for(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what runs a candidate program against its problem's tests.

    Args:
        problem: Of a benchmark.
        program: The candidate program, without tests.
        mode: By which rule it passes.

    Raises:
        ConfigError: The toolchain of its language is not installed.
    """
    job: Job = module_of(problem.language).job(problem, program, mode)
    return job
