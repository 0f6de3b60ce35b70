import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from wavecoder import pipeline
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.records import Instance, RawCode
from wavecoder.stage import Context, run_stage
from wavecoder.train import Train
from wavecoder.train.export import export_checkpoint

ROPE = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e4}


@pytest.fixture(scope="session")
def trained(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that trained two variants of a tiny model."""
    place = tmp_path_factory.mktemp("trained")
    rows = [{"instruction": f"Add {n}.", "input": "", "output": f"x + {n}"} for n in range(12)]
    (place / "rows.json").write_text(json.dumps(rows))
    table = {
        "base": str(tiny("llama")),
        "data": [{"path": str(place / "rows.json")}],
        "held_out": 0.2,
        "epochs": 1,
        "batch": 4,
        "max_length": 256,
        "warmup_steps": 0,
        "learning_rate": 1e-3,
        "variants": {"all": {}, "half": {"adapter": "lora", "size": 6}},
    }
    pipeline.run(pipeline.Recipe(seed=3, train=table), place / "run", pipeline.RunOptions())
    return place / "run"


def test_transformers_loads_what_was_exported_and_asks_it_as_it_was_trained(trained, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = export_checkpoint(trained, "all", tmp_path / "wavecoder-tiny")
    assert out == tmp_path / "wavecoder-tiny"
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    messages = [{"role": "user", "content": "Add 3."}]
    words = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert words.endswith("### Instruction:\nAdd 3.\n\n### Response:")
    prompt = tokenizer(words, return_tensors="pt", add_special_tokens=False)
    answer = model.generate(**prompt, max_new_tokens=4, do_sample=False)
    assert answer.shape[1] > prompt["input_ids"].shape[1]


def test_what_vllm_reads_is_there(trained, tmp_path):
    out = export_checkpoint(trained, "half", tmp_path / "out")
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    assert (out / "model.safetensors").is_file()
    assert (out / "tokenizer.json").is_file()
    said = json.loads((out / "tokenizer_config.json").read_text())
    template = out / "chat_template.jinja"
    assert "### Response:" in (said.get("chat_template") or template.read_text())
    ends = json.loads((out / "generation_config.json").read_text())["eos_token_id"]
    assert ends == config["eos_token_id"]


def test_transformers_4_is_told_what_turns_positions_in_its_own_words(trained, tmp_path):
    from transformers import AutoConfig

    run = tmp_path / "run"
    shutil.copytree(trained, run)
    source = run / "5-train" / "files" / "all" / "checkpoint" / "config.json"
    config = json.loads(source.read_text())
    rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0}
    source.write_text(json.dumps(config | {"rope_parameters": rope}))
    before = source.read_bytes()
    out = export_checkpoint(run, "all", tmp_path / "scaled")
    said = json.loads((out / "config.json").read_text())
    assert said["rope_theta"] == 100000.0
    assert said["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}
    assert AutoConfig.from_pretrained(out).rope_parameters == rope
    assert source.read_bytes() == before
    said = json.loads(
        (export_checkpoint(trained, "all", tmp_path / "out") / "config.json").read_text()
    )
    assert said["rope_theta"] == 10000.0
    assert "rope_scaling" not in said
    assert AutoConfig.from_pretrained(tmp_path / "out").rope_parameters == config["rope_parameters"]


def test_transformers_4_knows_the_tokenizers_class_and_5_loads_the_same(trained, tmp_path):
    from transformers import AutoTokenizer

    source = trained / "5-train" / "files" / "all" / "checkpoint"
    out = export_checkpoint(trained, "all", tmp_path / "out")
    said = json.loads((out / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert said["model_input_names"] == ["input_ids", "attention_mask"]
    mine, own = AutoTokenizer.from_pretrained(out), AutoTokenizer.from_pretrained(source)
    assert mine("def add(x):")["input_ids"] == own("def add(x):")["input_ids"]
    assert (mine.eos_token, mine.chat_template) == (own.eos_token, own.chat_template)


def test_what_else_transformers_4_names_otherwise_is_named_so(trained, tmp_path):
    source = tmp_path / "run"
    shutil.copytree(trained, source)
    checkpoint = source / "5-train" / "files" / "all" / "checkpoint"
    for name, more in (
        ("config.json", {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}),
        ("tokenizer_config.json", {"extra_special_tokens": ["<|im_start|>"]}),
    ):
        table = json.loads((checkpoint / name).read_text())
        (checkpoint / name).write_text(json.dumps(table | more))
    out = export_checkpoint(source, "all", tmp_path / "out")
    config = json.loads((out / "config.json").read_text())
    assert (config["rope_theta"], config["partial_rotary_factor"]) == (5e4, 0.5)
    assert config["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    said = json.loads((out / "tokenizer_config.json").read_text())
    assert said["additional_special_tokens"] == ["<|im_start|>"]
    assert "extra_special_tokens" not in said


def test_whoever_may_read_the_card_may_read_the_weights(trained, tmp_path):
    out = export_checkpoint(trained, "all", tmp_path / "out")
    modes = {one.stat().st_mode for one in out.iterdir()}
    assert modes == {(out / "README.md").stat().st_mode}


def test_the_card_tells_what_it_was_made_of(trained, tmp_path):
    out = export_checkpoint(trained, "half", tmp_path / "out", scores="| a |\n| - |\n| 1 |")
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# out\n" in card
    assert "6 dialogues" in card
    assert "(with lora, merged into the weights)" in card
    assert "| other | 6 |" in card
    assert "before the first step" in card
    assert "| 1 |" in card
    assert "learning_rate: 0.001" in card
    assert "```yaml\nseed: 3\ntrain:" in card
    assert "written by language models" not in card
    assert "- transformers " in card


def test_files_are_linked_and_the_runs_own_stay_as_they_were(trained, tmp_path):
    source = trained / "5-train" / "files" / "all" / "checkpoint"
    before = {one.name: one.read_bytes() for one in source.iterdir()}
    out = export_checkpoint(trained, "all", tmp_path / "out")
    assert (out / "model.safetensors").samefile(source / "model.safetensors")
    assert {one.name: one.read_bytes() for one in source.iterdir()} == before


def test_files_are_copied_where_they_cannot_be_linked(trained, tmp_path, monkeypatch):
    def refuse(source, target, **_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    source = trained / "5-train" / "files" / "all" / "checkpoint" / "model.safetensors"
    out = export_checkpoint(trained, "all", tmp_path / "out")
    assert (out / "model.safetensors").read_bytes() == source.read_bytes()
    assert not (out / "model.safetensors").samefile(source)


def test_the_artifact_alone_will_do_and_an_empty_folder_too(trained, tmp_path):
    (tmp_path / "out").mkdir()
    export_checkpoint(trained / "5-train", "all", tmp_path / "out")
    assert (tmp_path / "out" / "config.json").is_file()


def test_a_variant_that_is_not_there_names_the_nearest(trained, tmp_path):
    with pytest.raises(ConfigError, match=r"no variant 'hall'\. Did you mean '(all|half)'\?"):
        export_checkpoint(trained, "hall", tmp_path / "out")
    with pytest.raises(
        ConfigError, match=r"has 2 variants\. Name one of them with --variant: all, half"
    ):
        export_checkpoint(trained, None, tmp_path / "out")
    with pytest.raises(ConfigError, match="no variant 'base'"):
        export_checkpoint(trained, "base", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(ConfigError, match="is there and not empty"):
        export_checkpoint(trained, "all", tmp_path / "out")
    with pytest.raises(ConfigError, match="is there and not empty"):
        export_checkpoint(trained, "all", tmp_path / "out" / "mine")
    assert (tmp_path / "out" / "mine").read_text() == "keep"


def test_nothing_half_written_stays(trained, tmp_path, monkeypatch):
    def full(source, target, **_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(ArtifactError, match="out: No space left on device"):
        export_checkpoint(trained, "all", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_trained_model_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="holds no tuned model"):
        export_checkpoint(tmp_path, None, tmp_path / "out")
    with pytest.raises(ConfigError, match="holds no tuned model"):
        export_checkpoint(tmp_path / "nothing", None, tmp_path / "out")


def test_a_checkpoint_that_was_deleted_is_one_sentence(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    shutil.rmtree(run / "5-train" / "files" / "all" / "checkpoint")
    with pytest.raises(ArtifactError, match="The checkpoint of all is not in"):
        export_checkpoint(run, "all", tmp_path / "out")


class Made:
    """A stage that leaves instances as `generate` does, of functions under two licences."""

    name: ClassVar[str] = "generate"
    data_version, streaming, writes = 1, False, Instance

    class Config(BaseModel):
        pass

    def __init__(self) -> None:
        self.config = self.Config()

    def identity(self) -> dict[str, Any]:
        return {}

    def inputs(self, ctx: Context) -> list[Instance]:
        return [_instance(number) for number in range(6)]

    def run(self, inputs: list[Instance], ctx: Context) -> Iterator[Instance]:
        yield from inputs


def _instance(number: int) -> Instance:
    code = f"def add(x):\n    return x + {number}\n"
    raw = RawCode(
        id=f"raw{number}",
        language="python",
        code=code,
        name="add",
        docstring=None,
        source="here",
        path="a.py",
        start_line=1,
        end_line=2,
        license="MIT" if number < 4 else None,
        content_hash=f"hash{number}",
    )
    return Instance(
        id=f"instance{number}",
        task="repair",
        language="python",
        target_language=None,
        instruction=f"Add {number}.",
        information=None,
        solution=code,
        raw_code=raw,
        bug=None,
        reply="",
        verdict=None,
        generator="g",
        discriminator=None,
        round=0,
        attempt=0,
        example_ids=(),
    )


def test_the_card_tells_licences_and_the_data_and_lies_beside_the_checkpoint(
    tiny: Callable[[str], Path], make_context: Callable[..., Context], tmp_path: Path
):
    made = run_stage(Made(), make_context("generate", folder="3-generate"))
    config = Train.Config(
        base=str(tiny("llama")), held_out=0.0, epochs=1, batch=4, weights={"repair": 2}
    )
    artifact = run_stage(Train(config), make_context("train", {"generate": made}, folder="5-train"))
    own = (artifact.files / "tuned" / "checkpoint" / "README.md").read_text()
    exported = export_checkpoint(tmp_path, None, tmp_path / "out") / "README.md"
    for card in (own, exported.read_text()):
        assert "| repair | 12 |" in card
        assert "| generate | 12 |" in card
        assert "| MIT | 8 |" in card
        assert "| unknown | 4 |" in card
        assert f"Fingerprint `{made.manifest.fingerprint}`; 12 dialogues" in card
        assert "No dialogues were held out" in card
        assert str(tiny("llama").parent) not in card
    assert "# tuned/checkpoint\n" in own


@pytest.mark.slow
def test_the_card_has_the_scores_of_the_runs_own_evaluate(
    trained: Path, benchmarks: Path, tmp_path: Path
):
    from wavecoder.cli.show import export

    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = run / "5-train" / "files" / "all" / "checkpoint" / "config.json"
    longer = json.loads(config.read_text()) | {"max_position_embeddings": 4096}
    config.write_text(json.dumps(longer))
    measured = {"model": "trained", "checkpoints": ["all"], "benchmarks": ["humaneval"]}
    recipe = pipeline.Recipe(seed=3, evaluate={**measured, "limit": 1, "max_new_tokens": 4})
    train = pipeline.Artifact.open(run / "5-train")
    (stage,) = pipeline.stages(recipe)
    options = pipeline.RunOptions()
    run_stage(stage, pipeline._context(stage, 3, run, {"train": train}, options))
    export(run, tmp_path / "out", "checkpoint", "all")
    card = (tmp_path / "out" / "README.md").read_text()
    scores = card.split("## Scores\n\n")[1].split("\n\n## Asking it")[0]
    assert scores.startswith("```text\n")
    assert scores.endswith("\n```")
    assert "humaneval: only 1 of its 164 problems" in scores
    assert "humaneval  all " in scores
    assert str(tmp_path.parent) not in card
