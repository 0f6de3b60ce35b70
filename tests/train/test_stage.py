"""The stage `train` over a real tiny model: records, checkpoints, and what a person gets wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wavecoder import pipeline
from wavecoder.artifact import Artifact
from wavecoder.errors import ConfigError, StaleArtifactError, WaveCoderError
from wavecoder.records import Checkpoint, Dialogue

Recipe = Callable[..., pipeline.Recipe]


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    rows = [
        {"instruction": f"Add {n} to x.", "input": "", "output": f"x = x + {n}"} for n in range(20)
    ]
    rows += [{"instruction": "Write nothing.", "output": ""}]
    rows += [{"instruction": "Write much.", "output": "x" * 3000}]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def recipe(tiny: Callable[[str], Path], rows_file: Path) -> Recipe:
    def make(**keys: Any) -> pipeline.Recipe:
        table = {
            "base": str(tiny("llama")),
            "data": [{"path": str(rows_file)}],
            "held_out": 0.2,
            "epochs": 2,
            "batch": 4,
            "max_length": 256,
            "warmup_steps": 0,
            "learning_rate": 1e-3,
        }
        return pipeline.Recipe(seed=3, train=table | keys)

    return make


def run(recipe: pipeline.Recipe, out: Path) -> Artifact:
    return pipeline.run(recipe, out, pipeline.RunOptions())["train"]


def test_every_row_has_an_outcome_and_there_is_a_checkpoint(recipe: Recipe, tmp_path: Path):
    made = run(recipe(variants={"all": {}, "half": {"size": 8}}), tmp_path / "run")
    dialogues = list(made.records(Dialogue))
    assert len(dialogues) == 20
    assert {one.reason for one in made.rejected()} == {"empty_response", "too_long"}
    held_out = [one for one in dialogues if one.held_out]
    assert len(held_out) == 4
    assert all(one.uses == (0, 0) for one in held_out)
    assert sum(one.uses[0] for one in dialogues) == 16
    assert sum(one.uses[1] for one in dialogues) == 8
    assert all(0 < one.response_tokens < one.tokens for one in dialogues)
    checkpoints = [
        Checkpoint.model_validate(one)
        for one in json.loads((made.files / "checkpoints.json").read_text())
    ]
    assert [one.name for one in checkpoints] == ["base", "all", "half"]
    assert [one.dialogues for one in checkpoints] == [0, 16, 8]
    for one in checkpoints[1:]:
        assert (made.files / one.model / "config.json").exists()
        outcome = json.loads((made.files / one.name / "outcome.json").read_text())
        assert outcome["status"] == "complete"
    assert not (made.folder / "work").exists()


def test_the_same_recipe_is_not_trained_again_and_another_is_refused(
    recipe: Recipe, tmp_path: Path
):
    out = tmp_path / "run"
    metrics = run(recipe(), out).files / "tuned" / "metrics.jsonl"
    before = metrics.stat().st_mtime_ns
    again = recipe(per_device_batch=2, save_steps=7)
    assert (run(again, out).files / "tuned" / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(StaleArtifactError, match="learning_rate"):
        run(recipe(learning_rate=2e-3), out)


def test_prepared_jobs_are_trained_from_by_the_same_command(recipe: Recipe, tmp_path: Path):
    out = tmp_path / "run"
    with pytest.raises(WaveCoderError, match="Prepared"):
        run(recipe(prepare_only=True), out)
    job = pipeline.stage_folder(out, "train") / "work" / "tuned" / "job"
    assert (job / "job.json").exists()
    assert (job / "train.parquet").exists()
    assert run(recipe(), out).manifest.kept == 20


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"base": "nowhere/at-all/x"}, "nowhere/at-all/x"),
        ({"base": "local:smollm3-1b"}, "smollm3-1b"),
        ({"data": [{"path": "missing.json"}]}, "missing.json, which is no file"),
        ({"data": []}, "train has nothing to train on"),
        ({"max_length": 3}, "None of 22 dialogues can be trained on"),
        ({"weights": {"repairs": 2}}, "repairs"),
        ({"batch": 4, "per_device_batch": 3}, "cannot be split evenly"),
        ({"trainer": "trll"}, "There is no trainer 'trll'. Did you mean 'trl'?"),
        ({"eos_token": "<|nothing|>"}, "<|nothing|>"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    recipe: Recipe, tmp_path: Path, keys: dict[str, Any], words: str
):
    with pytest.raises(WaveCoderError) as caught:
        run(recipe(**keys), tmp_path / "run")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConfigError) or caught.value.exit_code == 2


def test_an_empty_dataset_is_one_sentence(recipe: Recipe, tmp_path: Path):
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    with pytest.raises(ConfigError, match=r"empty\.json has no rows\. Give another dataset"):
        run(recipe(data=[{"path": str(empty)}]), tmp_path / "run")


def test_one_instance_is_enough(recipe: Recipe, tmp_path: Path):
    one = tmp_path / "one.json"
    one.write_text(json.dumps([{"instruction": "Add.", "output": "x + 1"}]))
    made = run(recipe(data=[{"path": str(one)}]), tmp_path / "run")
    (dialogue,) = made.records(Dialogue)
    assert not dialogue.held_out
    assert dialogue.uses == (1,)


def test_the_dry_run_says_tokens_steps_memory_and_the_line(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from wavecoder.cli.train import train

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe().model_dump(exclude_none=True)))
    train(path, tmp_path / "run", dry_run=True, gpus=8, gpu_memory=80, overrides=["train.batch=16"])
    said = capsys.readouterr().out
    assert "accelerate" in said
    assert "--num_processes" in said
    assert "wavecoder.train.worker" in said
    assert "tokens" in said
    assert "steps" in said
    assert not (pipeline.stage_folder(tmp_path / "run", "train") / "work").exists()
