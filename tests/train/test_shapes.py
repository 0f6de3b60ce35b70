import json
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.train.shapes import shape_of, shape_of_name

ARCHITECTURES = ["gpt_bigcode", "llama", "qwen2", "starcoder2"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parameters_are_counted_in_the_safetensors_and_alike_from_the_config(
    tiny, tmp_path, architecture
):
    from transformers import AutoModelForCausalLM

    folder = tiny(architecture)
    model = AutoModelForCausalLM.from_pretrained(folder)
    real = sum(one.numel() for one in model.parameters())
    assert shape_of(folder).parameters == real
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    assert shape_of(tmp_path).parameters == real


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_linear_layers_are_the_models_own(tiny, architecture):
    from collections import Counter

    from torch.nn import Linear
    from transformers import AutoModelForCausalLM

    folder = tiny(architecture)
    model = AutoModelForCausalLM.from_pretrained(folder)
    real = Counter(
        (name.rpartition(".")[2], one.in_features, one.out_features)
        for name, one in model.named_modules()
        if isinstance(one, Linear) and "lm_head" not in name
    )
    shape = shape_of(folder)
    assert Counter(shape.linears()) == Counter({key: n // shape.layers for key, n in real.items()})


def test_a_model_in_several_files_is_counted_whole(tiny, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = tiny("llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert shape_of(tmp_path).parameters == shape_of(folder).parameters


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        # What the hub counts in each publisher's safetensors.
        ("bigcode/starcoder", 15_517_456_384),
        ("codellama/CodeLlama-7b-hf", 6_738_546_688),
        ("codellama/CodeLlama-13b-hf", 13_016_028_160),
        ("deepseek-ai/deepseek-coder-6.7b-base", 6_740_512_768),
    ],
)
def test_bases_of_the_presets_have_their_published_sizes(base, parameters):
    shape = shape_of_name(base)
    assert shape is not None
    assert shape.parameters == parameters


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_are_the_models_own(tiny, architecture):
    shape = shape_of(tiny(architecture))
    assert shape.positions == 256
    assert shape.learned == (architecture == "gpt_bigcode")
    assert shape.known


def test_another_name_is_not_guessed_at():
    assert shape_of_name("someone/model") is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "No such file"),
        ("[]", "it holds no table"),
        ("{", "Expecting property name"),
        (
            json.dumps({"model_type": "mamba", "hidden_size": 8}),
            "'num_attention_heads' of its mamba",
        ),
    ],
)
def test_a_config_that_tells_no_sizes_is_one_sentence(tmp_path: Path, config, words):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConfigError) as error:
        shape_of(tmp_path)
    assert words in str(error.value)
    assert "Name a " in str(error.value)


def test_damaged_weights_are_one_sentence(tiny, tmp_path):
    (tmp_path / "config.json").write_text((tiny("llama") / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(ConfigError, match="cannot be read"):
        shape_of(tmp_path)
