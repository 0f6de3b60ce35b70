import pytest
import yaml

from wavecoder.train.config import TrainConfig, preset_names, preset_table
from wavecoder.train.plan import steps_of
from wavecoder.train.shapes import shape_of_name

ADAPTERS = ["none", "lora", "qlora"]
PAPER = {
    # Base, learning rate and batch: paper facts, 4.1 (arXiv 2312.14187v5, section 3.1).
    "wavecoder-sc-15b": ("bigcode/starcoder", 2e-5, 256),
    "wavecoder-cl-7b": ("codellama/CodeLlama-7b-hf", 2e-5, 256),
    "wavecoder-cl-13b": ("codellama/CodeLlama-13b-hf", 2e-5, 256),
    "wavecoder-ds-6.7b": ("deepseek-ai/deepseek-coder-6.7b-base", 5e-5, 512),
}


def config(name: str, adapter: str = "none", **keys) -> TrainConfig:
    return TrainConfig.model_validate({"preset": name, "adapter": adapter, **keys})


def test_there_is_one_for_each_of_the_papers_bases_and_one_for_a_cpu():
    assert preset_names() == sorted([*PAPER, "smollm2-135m"])


@pytest.mark.parametrize("name", [*PAPER, "smollm2-135m"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_preset_is_valid_with_every_adapter(name, adapter):
    found = config(name, adapter)
    assert found.adapter == found.variants["tuned"].adapter == adapter


@pytest.mark.parametrize("name", PAPER)
def test_full_fine_tuning_has_the_papers_numbers(name):
    base, rate, batch = PAPER[name]
    found = config(name)
    assert (found.base, found.learning_rate, found.batch) == (base, rate, batch)
    assert found.epochs == 3
    assert found.template == "alpaca"
    # The script, for DeepseekCoder.
    assert (found.optimizer, found.schedule, found.warmup_steps) == ("adafactor", "linear", 15)
    assert (found.weight_decay, found.max_length, found.save_steps) == (0.0, 2048, 30)
    assert (found.precision, found.sharding, found.per_device_batch) == ("bf16", "fsdp", 4)
    assert found.gradient_checkpointing
    assert not found.packing


@pytest.mark.parametrize("name", PAPER)
def test_lora_has_the_papers_numbers(name):
    # Paper facts, 4.1 (appendix C): 3 epochs, 1e-4, rank 8.
    found = config(name, "lora").variants["tuned"]
    assert (found.epochs, found.learning_rate, found.lora.rank) == (3, 1e-4, 8)


def test_the_papers_dialogues_give_the_papers_steps():
    found = config("wavecoder-ds-6.7b")
    assert found.held_out == 0  # all 19,915 are trained on
    steps = steps_of(19_915, found.batch, found.epochs, per_device_batch=4, gpus=8)
    assert steps == 117
    assert found.batch == 4 * 16 * 8  # the script's: a device, gathered, devices


@pytest.mark.parametrize("name", PAPER)
def test_sizes_of_the_base_are_known_without_a_hub(name):
    assert shape_of_name(config(name).base) is not None


@pytest.mark.parametrize("name", [*PAPER, "smollm2-135m"])
def test_every_number_of_a_preset_has_its_source_beside_it(name):
    from importlib.resources import files

    text = files("wavecoder.train").joinpath("presets", f"{name}.yaml").read_text("utf-8")
    before = text.partition("adapters:")[0]
    for line in before.splitlines():
        key = line.partition(":")[0]
        if key in ("learning_rate", "batch", "epochs", "max_length", "optimizer", "warmup_steps"):
            assert "#" in line or name == "smollm2-135m", line
    assert set(yaml.safe_load(text)) - {"adapters"} <= set(TrainConfig.model_fields)


def test_own_keys_go_before_the_presets():
    found = config("wavecoder-cl-7b", "lora", learning_rate=5e-4, lora={"rank": 16})
    assert (found.learning_rate, found.lora.rank, found.lora.alpha) == (5e-4, 16, 16)
    assert found.epochs == 3


def test_what_a_preset_has_for_an_adapter_is_not_left_to_the_others():
    assert "adapters" not in preset_table("wavecoder-cl-7b")
    assert preset_table("wavecoder-cl-7b")["learning_rate"] == 2e-5
    assert preset_table("wavecoder-cl-7b", "lora")["learning_rate"] == 1e-4
