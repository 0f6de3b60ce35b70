"""Checkpoints that `train` left, measured one after the other and compared with their base."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest
import yaml
from pydantic import BaseModel

from wavecoder.artifact import Artifact
from wavecoder.errors import ArtifactError, ConfigError, StoppedError
from wavecoder.evaluate import Evaluate
from wavecoder.evaluate.prompts import prompt_for
from wavecoder.llm.checkpoint import CheckpointModel
from wavecoder.pipeline import Recipe, RunOptions, run
from wavecoder.progress import Silent
from wavecoder.records import ChatRequest, Checkpoint, Dialogue, Trial
from wavecoder.report import score_tables, scores_as_json
from wavecoder.stage import Context, run_stage

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
NAMES = ("base", "tuned", "longer")


def save(place: Path, seed: int, template: str | None) -> None:
    """Save a Llama of a few thousand random weights over bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=257,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(["<end>", *letters])}
    bytes_ = Tokenizer(models.BPE(vocab=words, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_, eos_token="<end>", chat_template=template
    ).save_pretrained(place)


class Trained:
    """A stage that leaves checkpoints as `train` does, made before."""

    name: ClassVar[str] = "train"
    data_version, streaming, writes = 1, False, Dialogue

    class Config(BaseModel):
        pass

    def __init__(self, checkpoints: list[Checkpoint], made: Path) -> None:
        self.checkpoints, self.made, self.config = checkpoints, made, self.Config()

    def identity(self) -> dict[str, Any]:
        return {"names": [one.name for one in self.checkpoints]}

    def inputs(self, ctx: Context) -> list[Dialogue]:
        return []

    def run(self, inputs: Any, ctx: Context) -> Any:
        for name in NAMES[1:]:
            (ctx.files / name).symlink_to(self.made / name)
        rows = [one.model_dump(mode="json") for one in self.checkpoints]
        (ctx.files / "checkpoints.json").write_text(json.dumps(rows))
        yield from inputs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base without a chat template, and two models tuned from it."""
    place = tmp_path_factory.mktemp("models")
    save(place / "base", 1, None)
    save(place / "tuned" / "checkpoint", 2, TEMPLATE)
    save(place / "longer" / "checkpoint", 3, TEMPLATE)
    return place


@pytest.fixture
def out(made: Path, tmp_path: Path, make_context: Callable[..., Context]) -> Path:
    """A run's folder in which `train` is complete."""
    rows = [Checkpoint(name="base", model=str(made / "base"), label="tiny", dialogues=0)]
    for number, name in enumerate(NAMES[1:]):
        where, label = f"{name}/checkpoint", f"tiny, {name}"
        dialogues = 100 * (number + 1)
        rows.append(Checkpoint(name=name, model=where, label=label, dialogues=dialogues))
    run_stage(Trained(rows, made), make_context("train", folder="run/5-train"))
    return tmp_path / "run"


@pytest.fixture
def make_context(tmp_path: Path, make_context: Callable[..., Context]) -> Callable[..., Context]:
    (tmp_path / "run").mkdir()
    return make_context


def recipe(**changes: Any) -> Recipe:
    table = {
        "model": "trained",
        "benchmarks": ["humaneval"],
        "limit": 2,
        "max_new_tokens": 16,
        "base_prompt": "completion",
        **changes,
    }
    return Recipe(train={}, evaluate=table, report={})


def evaluated(out: Path, options: RunOptions | None = None, **changes: Any) -> Artifact:
    made = run(recipe(**changes), out, options or RunOptions(), first="evaluate")
    return made["evaluate"]


def untimed(artifact: Artifact) -> list[dict[str, Any]]:
    """The trials without what depends on the machine's mood."""
    rows = []
    for trial in artifact.records(Trial):
        row = trial.model_dump(mode="json")
        for mode in ("published", "strict"):
            row[mode] = row[mode]["status"]
        rows.append(row)
    return rows


def test_the_base_and_every_variant_are_measured_in_order(out: Path, benchmarks: Path):
    artifact = evaluated(out)
    trials = list(artifact.records(Trial))
    assert [one.id for one in trials] == [
        f"{name}/humaneval:HumanEval/{number}:0" for name in NAMES for number in range(2)
    ]
    assert [one.model for one in trials] == [name for name in NAMES for _ in range(2)]
    words = {name: [one.completion for one in trials if one.model == name] for name in NAMES}
    assert len(set(map(tuple, words.values()))) == 3, "each model has words of its own"
    assert {one.partition("@")[0] for one in artifact.manifest.usage} == set(NAMES)
    found = scores_as_json(artifact)
    assert list(found["models"]) == list(NAMES)
    assert found["models"]["tuned"]["label"] == "tiny, tuned"
    text = score_tables(artifact)
    assert "tuned" in text and "longer" in text
    page = (out / "7-report" / "files" / "report.html").read_text()
    assert "tiny, longer" in page
    assert "unknown" not in page, "what runs on this machine costs nothing"


def test_the_base_has_a_prompt_of_its_own(
    out: Path, benchmarks: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: dict[str, list[ChatRequest]] = {}
    whole = CheckpointModel.complete

    async def complete(self: CheckpointModel, request: ChatRequest) -> Any:
        asked.setdefault(self.identity.partition("@")[0], []).append(request)
        return await whole(self, request)

    monkeypatch.setattr(CheckpointModel, "complete", complete)
    evaluated(out, checkpoints=["base", "tuned"])
    problem = next(iter(Evaluate(Evaluate.Config(**recipe().evaluate)).problems.values()))
    for name, style in (("base", "completion"), ("tuned", "chat")):
        prompt = prompt_for(problem, style=style)
        assert asked[name][0].messages == prompt.messages
        assert bool(asked[name][0].raw) == (style == "completion")
    with pytest.raises(ConfigError, match="has no chat template"):
        run(recipe(base_prompt=None), out.parent / "other", options(out), first="evaluate")


def options(out: Path) -> RunOptions:
    """Options of another run with the same checkpoints."""
    (out.parent / "other").mkdir()
    (out.parent / "other" / "5-train").symlink_to(out / "5-train")
    return RunOptions()


class Stopping(Silent):
    """Asks to stop once so many trials are made."""

    def __init__(self, after: int) -> None:
        self.stop, self.left = Event(), after

    def outcome(self, reason: str | None, count: int = 1) -> None:
        self.left -= count
        if self.left <= 0:
            self.stop.set()


def test_stopped_at_any_trial_it_goes_on_there_and_asks_nothing_twice(
    out: Path, benchmarks: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = evaluated(out)
    counted: list[str] = []
    complete = CheckpointModel.complete

    async def counting(self: CheckpointModel, request: ChatRequest) -> Any:
        counted.append(self.identity + request.messages[0].content)
        return await complete(self, request)

    monkeypatch.setattr(CheckpointModel, "complete", counting)
    again = out.parent / "other"
    given = options(out)
    for _ in range(2):
        stopping = Stopping(2)
        given.progress, given.stop = stopping, stopping.stop
        with pytest.raises(StoppedError):
            evaluated(again, given)
    artifact = evaluated(again)
    assert untimed(artifact) == untimed(whole)
    assert len(counted) == len(set(counted)) == 6


@pytest.mark.slow
def test_killed_while_a_variant_is_measured_the_same_command_goes_on(out: Path, benchmarks: Path):
    whole = evaluated(out, samples=2, temperature=0.8, limit=4)
    options(out)
    again = out.parent / "other"
    table = recipe(samples=2, temperature=0.8, limit=4).model_dump(exclude_none=True)
    written = out.parent / "recipe.yaml"
    written.write_text(yaml.safe_dump(table))
    command = [sys.executable, "-m", "wavecoder.cli", "run", str(written), "-o", str(again)]
    command += ["--first", "evaluate"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if b"evaluate: tuned" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert not (again / "6-evaluate" / "manifest.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert untimed(Artifact.open(again / "6-evaluate")) == untimed(whole)


def test_some_checkpoints_alone(out: Path, benchmarks: Path):
    artifact = evaluated(out, checkpoints=["longer"], base_prompt=None)
    assert {one.model for one in artifact.records(Trial)} == {"longer"}
    assert list(scores_as_json(artifact)["models"]) == ["longer"]


def test_a_checkpoint_that_nobody_made_is_said(out: Path, benchmarks: Path):
    with pytest.raises(ConfigError, match=r"'tuend'.* Did you mean 'tuned'\?.*base, tuned, longer"):
        evaluated(out, checkpoints=["tuend"])


def test_without_train_one_sentence(tmp_path: Path, benchmarks: Path):
    alone = Recipe(evaluate=recipe().evaluate)
    with pytest.raises(ConfigError, match="no train stands before it"):
        run(alone, tmp_path / "alone", RunOptions())


def test_a_damaged_list_of_checkpoints_is_said(out: Path, benchmarks: Path):
    (out / "5-train" / "files" / "checkpoints.json").write_text("[{}]")
    with pytest.raises(ArtifactError, match="no list of checkpoints"):
        evaluated(out)


def test_what_is_for_trained_models_alone(benchmarks: Path):
    for key in ({"base_prompt": "chat"}, {"checkpoints": ["base"]}):
        with pytest.raises(ValueError, match="are for the model trained"):
            Evaluate.Config(model="local:smollm2-135m-instruct", benchmarks=["humaneval"], **key)


def test_other_models_have_the_identity_they_had(benchmarks: Path, tmp_path: Path):
    script = tmp_path / "script.yaml"
    script.write_text("- {match: '', reply: 'nothing'}\n")
    stage = Evaluate(Evaluate.Config(model=f"scripted:{script}", benchmarks=["humaneval"]))
    assert not {"base_prompt", "checkpoints"} & stage.identity().keys()
