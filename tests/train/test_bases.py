import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError, ModelNotFoundError
from wavecoder.train.bases import check, content, load_tokenizer, locate

Tiny = Callable[[str], Path]


def test_a_folder_is_taken_as_it_is(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny("llama")
    monkeypatch.chdir(base.parent)
    check(base.name)
    assert locate(base.name, None) == base.resolve()


def test_an_adapter_is_no_base(tmp_path: Path) -> None:
    table = {"base_model_name_or_path": "bigcode/starcoder"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(table), "utf-8")
    with pytest.raises(ConfigError, match=r"holds an adapter.*Name its own base, bigcode/starcod"):
        locate(str(tmp_path), None)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no config\.json"):
        check(str(tmp_path))


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("starcoder", "There is no folder starcoder"),
        ("./models/a", "There is no folder ./models/a"),
        ("local:smollm2-135", "There is no model 'smollm2-135' in the catalogue"),
        ("local:models/absent.gguf", "There is no file models/absent.gguf"),
    ],
)
def test_a_name_that_nothing_has_is_refused(base: str, words: str) -> None:
    for refuse in (check, lambda name: locate(name, None)):
        with pytest.raises(ModelNotFoundError) as caught:
            refuse(base)
        assert words in str(caught.value)


def test_slots_are_for_generating() -> None:
    with pytest.raises(ConfigError, match="options behind a question mark"):
        check("local:smollm2-135m-instruct?slots=4")


def test_the_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    check("bigcode/starcoder")
    with pytest.raises(ModelNotFoundError) as caught:
        locate("bigcode/starcoder", "main")
    assert str(caught.value).startswith("Cannot fetch the base bigcode/starcoder from the hub: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_gguf_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVECODER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "odd.gguf").write_bytes(b"no model")
    with pytest.raises(ConfigError) as caught:
        locate(f"local:{tmp_path / 'odd.gguf'}", None)
    assert "odd.gguf cannot be read: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_the_tokenizer_loads_or_one_sentence_says_why_not(tiny: Tiny, tmp_path: Path) -> None:
    assert load_tokenizer(tiny("llama")).eos_token == "<|endoftext|>"
    shutil.copytree(tiny("llama"), tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="damaged cannot be loaded: "):
        load_tokenizer(tmp_path / "damaged")


def test_content_stands_for_weights_and_words(tiny: Tiny, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        shutil.copytree(tiny("llama"), folder)
    assert content(first) == content(second)
    (second / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    assert content(first) != content(second)


@pytest.mark.slow
def test_a_gguf_is_read_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real SmolLM2; its answer is that of the weights in the file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from wavecoder.llm import catalogue

    monkeypatch.setenv("WAVECODER_CACHE", str(tmp_path))
    folder = locate("local:smollm2-135m-instruct", None)
    assert folder.parent == tmp_path.resolve() / "checkpoints"
    made = (folder / "model.safetensors").stat()
    assert locate("local:smollm2-135m-instruct", None) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made.st_mtime_ns
    assert "quantization_config" not in json.loads((folder / "config.json").read_text("utf-8"))
    assert sorted(one.name for one in folder.parent.iterdir()) == [
        folder.name,
        f"{folder.name}.lock",
    ]
    file = catalogue.locate("smollm2-135m-instruct")
    theirs = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    ids = tokenizer("def add(a, b):\n    return", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert theirs(ids).logits.argmax(-1).tolist() == ours(ids).logits.argmax(-1).tolist()
