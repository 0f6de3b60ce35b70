"""The stage where a language's toolchain is missing, and where nothing runs at once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import ConfigError, SandboxError, StaleArtifactError
from wavecoder.evaluate import stage as evaluate_stage
from wavecoder.grading import module_of
from wavecoder.pipeline import Recipe, RunOptions, run
from wavecoder.protocols import Limits
from wavecoder.records import Trial

SCRIPT = "- {match: '', reply: 'nothing to run'}\n"


def without(monkeypatch: pytest.MonkeyPatch, *languages: str) -> None:
    """Take the toolchains of some languages away."""

    def lacking(language: str) -> Any:
        if language not in languages:
            return module_of(language)

        def toolchain() -> None:
            raise ConfigError(f"Programs in {language} cannot be run here. Install it.")

        return SimpleNamespace(toolchain=toolchain)

    monkeypatch.setattr(evaluate_stage, "module_of", lacking)


@pytest.fixture
def recipe(benchmarks: Path, tmp_path: Path) -> Recipe:
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    names = ["humanevalfix-go", "humanevalfix-python"]
    return Recipe(evaluate={"model": f"scripted:{script}", "benchmarks": names, "limit": 2})


def test_without_one_toolchain_the_other_languages_are_measured(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without(monkeypatch, "go")
    artifact: Artifact = run(recipe, tmp_path / "run", RunOptions())["evaluate"]
    assert {one.language for one in artifact.records(Trial)} == {"python"}
    assert {(one.reason, one.detail) for one in artifact.rejected()} == {
        ("no_toolchain", "Programs in go cannot be run here. Install it.")
    }
    without(monkeypatch)
    with pytest.raises(StaleArtifactError):  # now there would be trials in Go
        run(recipe, tmp_path / "run", RunOptions())


def test_without_any_nothing_is_begun(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without(monkeypatch, "go", "python")
    with pytest.raises(ConfigError, match="Programs in go cannot be run here"):
        run(recipe, tmp_path / "run", RunOptions())
    assert not (tmp_path / "run" / "replies.sqlite").exists()


def test_without_a_sandbox_nothing_runs_unless_it_is_allowed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without(monkeypatch, "go")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="--allow-unsandboxed"):
        run(recipe, tmp_path / "run", RunOptions())
    allowed = RunOptions(limits=Limits(unsandboxed=True))
    artifact = run(recipe, tmp_path / "run", allowed)["evaluate"]
    executions = [one.published for one in artifact.records(Trial)]
    assert len(executions) == 2
    assert not any(one is None or one.isolated for one in executions)
