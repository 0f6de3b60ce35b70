import re
from importlib.resources import files

import pytest
import yaml

from wavecoder.errors import ConfigError
from wavecoder.llm.prices import Price, Prices

BUILT_IN = yaml.safe_load(files("wavecoder.llm").joinpath("prices.yaml").read_text("utf-8"))


def own(tmp_path, text):
    path = tmp_path / "my-prices.yaml"
    path.write_text(text, encoding="utf-8")
    return Prices.load(path)


def test_every_built_in_price_is_positive_sourced_and_dated():
    assert len(BUILT_IN) > 100
    for name, entry in BUILT_IN.items():
        price = Prices.load().find(name)
        assert price is not None, name
        assert 0 < price.prompt <= price.completion, name
        assert price.source in entry["source"], name
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", price.date), name


def test_no_two_entries_share_a_name():
    text = files("wavecoder.llm").joinpath("prices.yaml").read_text("utf-8")
    names = [line.partition(":")[0] for line in text.splitlines() if line and line[0] != "#"]
    assert len(names) == len(set(names)) == len(BUILT_IN)


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai/gpt-4o-20240806", "openai/gpt-4o"),
        ("gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),  # dearer than gpt-4o
        ("gpt-4o-20240513", "openai/gpt-4o-2024-05-13"),
        ("gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("gpt-4", "openai/gpt-4"),
        ("gpt-3.5-turbo-0613", "openai/gpt-3.5-turbo-0613"),
        ("claude-sonnet-4-20250514", "anthropic/claude-sonnet-4"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("deepseek-v4-pro", "deepseek-v4-pro"),
    ],
)
def test_a_name_its_dated_releases_and_its_makers_form_have_one_price(name, same_as):
    price = Prices.load().find(name)
    assert price is not None
    assert price.prompt == BUILT_IN[same_as]["prompt"]
    assert price.completion == BUILT_IN[same_as]["completion"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4oo",
        "gpt",
        "gpt-4o-latest",
        "GPT-4o",
        "gpt-4-9999",
        "gpt-4o-2024-99-99",
        "gpt-4o-2024",
        "ft:gpt-4o:me",
        "gpt-4o:extended",
        "claude-sonnet-4-6-fast",
        "other/gpt-4o",  # not its maker
        "deepseek/deepseek-v4-pro",  # open weights at another host
        "openai/gpt-4o@local",
        "qwen2.5-coder-0.5b-instruct",
        "llama-3.3-70b",
    ],
)
def test_a_name_that_only_resembles_one_is_unknown(name):
    assert Prices.load().find(name) is None
    assert Prices.load().cost(name, 10, 10) is None


def test_a_price_is_never_that_of_a_shorter_name():
    prices = {name: Prices.load().find(name) for name in ("gpt-4", "gpt-4o", "gpt-4o-mini")}
    assert len({(price.prompt, price.completion) for price in prices.values()}) == 3


def test_cost_is_in_usd_and_unknown_tokens_make_it_unknown(tmp_path):
    prices = own(tmp_path, "m: {prompt: 3, completion: 15}")
    assert prices.cost("m", 1_000_000, 1_000_000) == 18
    assert prices.cost("m", 1000, 100) == pytest.approx(0.0045)
    assert prices.cost("m", 0, 0) == 0
    assert prices.cost("m", None, 5) is None
    assert prices.cost("m", 5, None) is None


def test_the_users_entries_stand_in_front(tmp_path):
    prices = own(
        tmp_path,
        "gpt-4o: {prompt: 1, completion: 2, source: our contract, date: 2026-11-01}\n"
        "my-host/llama: {prompt: 7, completion: 8}\n",
    )
    ours = Price(prompt=1, completion=2, source="our contract", date="2026-11-01")
    for name in ("gpt-4o", "gpt-4o-2024-05-13", "openai/gpt-4o", "azure/gpt-4o", "gpt-4o@2"):
        assert prices.find(name) == ours, name
    assert prices.find("my-host/llama-2026-01-31").prompt == 7
    assert prices.find("llama") is None
    assert prices.find("other-host/llama") is None
    assert prices.find("gpt-4o-mini").prompt == BUILT_IN["openai/gpt-4o-mini"]["prompt"]


def test_a_model_on_the_users_machine_may_cost_nothing(tmp_path):
    prices = own(tmp_path, "qwen2.5-coder-0.5b-instruct: {prompt: 0, completion: 0}")
    identity = "qwen2.5-coder-0.5b-instruct@1d9614638d18024d slots=4"
    assert prices.cost(identity, 1000, 1000) == 0
    assert prices.find(identity).source == "not said"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt-4o: {promt: 1, completion: 2}", "promt is not a known key. Did you mean 'prompt'"),
        ("gpt-4o: {prompt: 1, completion: 2, cached: 1}", "cached is not a known key"),
        ("gpt-4o: {prompt: 1}", "completion is required"),
        ("gpt-4o: {prompt: -1, completion: 2}", "greater than or equal to 0, got -1"),
        ("gpt-4o: {prompt: .nan, completion: 2}", "finite number, got nan"),
        ("gpt-4o: {prompt: .inf, completion: 2}", "finite number, got inf"),
        ("gpt-4o: {prompt: cheap, completion: 2}", "valid number.*got 'cheap'"),
        ("gpt-4o: 3", "gpt-4o.*got 3"),
        ("[gpt-4o]", "no mapping of model names to prices"),
        ("", "no mapping of model names to prices"),
        ("gpt-4o: {prompt: [", "not YAML"),
        ("gpt-4o: {prompt: 1, completion: 2, date: 2026-13-45}", "not YAML"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_path(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as raised:
        own(tmp_path, text)
    assert "my-prices.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"Cannot read the prices .*nowhere\.yaml: No such file"):
        Prices.load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin").write_bytes(b"caf\xe9: {prompt: 1, completion: 1}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Prices.load(tmp_path / "latin")
