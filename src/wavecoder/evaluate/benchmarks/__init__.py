"""Benchmarks by name: `humaneval`, `mbpp+`, `humanevalfix-go`.

A benchmark is a plugin of the group `wavecoder.benchmarks` (`wavecoder.protocols.Benchmark`). One
that has several languages is named with one of them, by any of its names: `humanevalfix-js`.
"""

from pathlib import Path
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.languages import language_named
from wavecoder.plugins import load_plugin, nearest, plugin_names
from wavecoder.records import Problem

__all__ = ["benchmark_names", "load_benchmark"]


def benchmark_names() -> list[str]:
    """Return the name of every benchmark, with its language where it has several."""
    names = []
    for name in plugin_names("benchmarks"):
        languages = _benchmark(name).languages
        names += [name] if len(languages) == 1 else [f"{name}-{one}" for one in languages]
    return names


def load_benchmark(name: str, path: Path | None = None) -> list[Problem]:
    """Return the problems of a benchmark, in the order of its file.

    Args:
        name: One of `benchmark_names`; the language may bear another of its names.
        path: The benchmark's file, or a folder that has it; without one it is looked for in the
            folder that `WAVECODER_BENCHMARKS` names, in installed packages and on the hub.

    Raises:
        ConfigError: There is no such benchmark, or its data is not found or not the right one.
        PluginError: The benchmark does not load.
        MissingExtraError: Its data is only on the hub, and `datasets` is not installed.
    """
    family, language = _parts(name)
    benchmark = _benchmark(family)
    if language is None and len(benchmark.languages) == 1:
        language = benchmark.languages[0]
    if language not in benchmark.languages:
        raise _unknown(name)
    problems: list[Problem] = benchmark.problems(language, path)
    return problems


def _parts(name: str) -> tuple[str, str | None]:
    """Return the plugin's name and the language asked for, None where none is."""
    known = plugin_names("benchmarks")
    if name in known or ":" in name:
        return name, None
    family, _, word = name.rpartition("-")
    row = language_named(word)
    if family not in known or row is None:
        raise _unknown(name)
    return family, row.name


def _benchmark(name: str) -> Any:
    return load_plugin("benchmarks", name)


def _unknown(name: str) -> ConfigError:
    names = benchmark_names()
    return ConfigError(
        f"There is no benchmark {name!r}.{nearest(name, names)} Known: {', '.join(names)}."
    )
