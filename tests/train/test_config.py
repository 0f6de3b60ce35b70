"""The `train` table: presets behind it, variants in front of it."""

import pytest

from wavecoder.errors import ConfigError
from wavecoder.plugins import validate
from wavecoder.train.config import OPTIMIZERS, SCHEDULES, Adapter, TrainConfig


def config(**table) -> TrainConfig:
    return validate(TrainConfig, {"base": "somewhere"} | table, "train")


def test_without_variants_there_is_one_with_the_tables_own_keys():
    found = config(epochs=2, weights={"repair": 0})
    assert list(found.variants) == ["tuned"]
    assert found.variants["tuned"].epochs == 2
    assert found.variants["tuned"].weights == {"repair": 0}


def test_a_variants_keys_replace_the_tables():
    found = config(
        epochs=2,
        lora={"rank": 4},
        variants={"plain": None, "small": {"size": 10, "adapter": "lora", "lora": {"alpha": 3}}},
    )
    assert found.variants["plain"].epochs == found.variants["small"].epochs == 2
    assert found.variants["plain"].adapter is Adapter.NONE
    assert found.variants["small"].lora.rank == 4
    assert found.variants["small"].lora.alpha == 3
    assert found.variants["plain"].lora.alpha == 16


def test_a_preset_stands_behind_the_recipes_own_keys():
    plain = validate(TrainConfig, {"preset": "wavecoder-ds-6.7b"}, "train")
    assert plain.base == "deepseek-ai/deepseek-coder-6.7b-base"
    assert (plain.batch, plain.learning_rate, plain.epochs) == (512, 5e-5, 3)
    assert plain.variants["tuned"].batch == 512
    own = validate(TrainConfig, {"preset": "wavecoder-ds-6.7b", "batch": 64}, "train")
    assert own.batch == own.variants["tuned"].batch == 64
    assert own.learning_rate == 5e-5


def test_an_adapter_brings_the_presets_settings_for_it():
    found = validate(TrainConfig, {"preset": "wavecoder-sc-15b", "adapter": "lora"}, "train")
    assert (found.learning_rate, found.lora.rank) == (1e-4, 8)
    assert found.variants["tuned"].learning_rate == 1e-4


def test_a_variants_adapter_brings_the_presets_settings_for_it():
    table = {"preset": "wavecoder-sc-15b", "variants": {"small": {"adapter": "lora"}, "all": {}}}
    found = validate(TrainConfig, table, "train")
    assert found.variants["small"].learning_rate == 1e-4
    assert found.variants["all"].learning_rate == 2e-5
    own = validate(TrainConfig, table | {"learning_rate": 3e-4}, "train")
    assert {one.learning_rate for one in own.variants.values()} == {3e-4}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"preset": "wavecoder-ds"}, "there is no preset 'wavecoder-ds'. Did you mean"),
        ({"variants": {"base": {}}}, "a variant cannot be called 'base'"),
        ({"variants": {"a/b": {}}}, "a variant cannot be called 'a/b'"),
        ({"variants": {"a": {"epoch": 1}}}, "train.variants.a.epoch is not a known key. Did you"),
        ({"variants": {"a": {"template": "chat"}}}, "train.variants.a.template is not a known key"),
        ({"variants": {}}, "train.variants"),
        ({"data": [{}]}, "name either a path or a name on the hub"),
        ({"data": [{"path": "a.json"}, {"path": "a.json"}]}, "two datasets in data have one name"),
        ({"data": [{"path": "a/x.json"}, {"path": "b/x.json"}]}, "two datasets in data"),
        ({"weights": {"repair": float("inf")}}, "train.weights.repair"),
        ({"held_out": 1.0}, "train.held_out"),
        ({"epochs": 0}, "train.epochs"),
        ({"weights": {"repair": -1}}, "train.weights.repair"),
        ({"data": [{"path": "~nobody-here/a.json"}]}, "write the whole path"),
        ({"lora": {"modules": []}}, "train.lora.modules"),
        ({"optimizer": "adamw_trch"}, "no optimizer 'adamw_trch'. Did you mean 'adamw_torch'?"),
        ({"schedule": "cosin"}, "no schedule 'cosin'. Did you mean 'cosine'? Known: linear, "),
        ({"gpus": -1}, "train.gpus"),
    ],
)
def test_what_does_not_fit_is_one_sentence(table, words):
    with pytest.raises(ConfigError) as caught:
        config(**table)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_optimizer_and_schedule_is_one_of_transformers():
    import torch
    from transformers import get_scheduler
    from transformers.training_args import OptimizerNames

    assert set(OPTIMIZERS) <= {one.value for one in OptimizerNames}
    for name in SCHEDULES:
        weights = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
        assert get_scheduler(name, weights, num_warmup_steps=2, num_training_steps=9)


def test_home_is_where_a_path_begins(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config(data=[{"path": "~/a.json"}]).data[0].path == tmp_path / "a.json"


def test_a_base_is_needed():
    with pytest.raises(ConfigError, match=r"train\.base is required"):
        validate(TrainConfig, {}, "train")
