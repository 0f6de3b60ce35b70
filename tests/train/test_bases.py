import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError, ModelNotFoundError
from wavecoder.train.bases import _holding, check, content, load_tokenizer, locate

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


@pytest.mark.parametrize("text", ['{"a":', "[]"])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json cannot be read: .*Get the base model aga"):
        check(str(tmp_path))


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("smollm2-135m-instruct", "Write local:smollm2-135m-instruct."),
        ("./model.gguf", "Write local:./model.gguf."),
        ("tiny/config.json", "The base tiny/config.json is a file. Name its folder, tiny."),
    ],
)
def test_what_is_there_under_another_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    for name in ("model.gguf", "tiny/config.json"):
        (tmp_path / name).touch()
    for refuse in (check, lambda name: locate(name, None)):
        with pytest.raises(ConfigError) as caught:
            refuse(base)
        assert str(caught.value).endswith(words)


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
    assert str(caught.value) == (
        f"{tmp_path / 'odd.gguf'} is damaged, not whole, or no GGUF file. Get it again."
    )
    assert list((tmp_path / "cache" / "checkpoints").iterdir()) == []


def test_who_waited_for_a_lock_that_went_away_takes_the_new_one(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []
    with ThreadPoolExecutor() as pool:
        with _holding(path):

            def wait() -> None:
                with _holding(path):
                    order.append(path.exists())

            waiting = [pool.submit(wait) for _ in range(4)]
            order.append(path.exists())
        for one in waiting:
            one.result(timeout=60)
    assert order == [True] * 5
    assert not path.exists()


def test_the_tokenizer_loads_or_one_sentence_says_why_not(tiny: Tiny, tmp_path: Path) -> None:
    assert load_tokenizer(tiny("llama")).eos_token == "<|endoftext|>"
    shutil.copytree(tiny("llama"), tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="damaged cannot be loaded: "):
        load_tokenizer(tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"There is no tokenizer in .*damaged\. Put the tokeni"):
        load_tokenizer(tmp_path / "damaged")


def test_a_type_that_nobody_knows_is_no_word_of_its_own(tiny: Tiny, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny("llama"), base)
    config = json.loads((base / "config.json").read_text("utf-8"))
    (base / "config.json").write_text(json.dumps(config | {"model_type": "odd"}), "utf-8")
    script = (
        "import sys, pathlib; from wavecoder.train.bases import load_tokenizer; "
        "load_tokenizer(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(base)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


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
    assert list(folder.parent.iterdir()) == [folder]
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
