"""A tiny checkpoint that transformers made, with and without an adapter."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from wavecoder.errors import ConfigError, ModelNotFoundError, RefusedRequestError
from wavecoder.llm import open_model
from wavecoder.records import ChatReply, ChatRequest, FinishReason, Message, Sampling

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


def tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(["<end>", *letters])}
    bytes_ = Tokenizer(models.BPE(vocab=words, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_, eos_token="<end>", chat_template=TEMPLATE
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few thousand random weights over bytes."""
    place = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    tokenizer().save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Path:
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    place = folder.parent / "adapter"
    peft.get_peft_model(base, config).save_pretrained(place)
    tokenizer().save_pretrained(place)
    return place


def ask(spec: str, *requests: ChatRequest) -> list[ChatReply]:
    async def main() -> list[ChatReply]:
        model = open_model(spec)
        try:
            return [await model.complete(request) for request in requests]
        finally:
            await model.close()
            await model.close()

    return asyncio.run(main())


def request(text: str = "hi", *, raw: bool | None = None, **sampling: Any) -> ChatRequest:
    options = {"max_tokens": 12, **sampling}
    return ChatRequest(
        messages=(Message(role="user", content=text),), raw=raw, sampling=Sampling(**options)
    )


def test_a_greedy_reply_is_that_of_transformers_itself(folder: Path):
    (reply,) = ask(f"checkpoint:{folder}", request(raw=True))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = tokenizer()("hi", return_tensors="pt")
    own = model.generate(**tokens, do_sample=False, max_new_tokens=12, pad_token_id=0)[0, 2:]
    assert reply.text == tokenizer().decode(own, skip_special_tokens=True)
    assert (reply.prompt_tokens, reply.completion_tokens) == (2, len(own))


def test_a_turn_is_put_into_the_models_template(folder: Path):
    text = "user: hi\nassistant: "
    turn, raw = ask(f"checkpoint:{folder}", request(), request(text, raw=True))
    assert (turn.text, turn.prompt_tokens) == (raw.text, len(text))


def test_seeds_and_temperature_decide_a_sample(folder: Path):
    requests = [request(temperature=1.0, seed=seed) for seed in (1, 2, 1)]
    first, second, again = (one.text for one in ask(f"checkpoint:{folder}", *requests))
    assert first == again != second


def test_a_stop_word_ends_a_reply_and_is_not_part_of_it(folder: Path):
    (long,) = ask(f"checkpoint:{folder}", request(raw=True))
    assert long.finish_reason is FinishReason.LENGTH
    stop = long.text[3:5]
    (short,) = ask(f"checkpoint:{folder}", request(raw=True, stop=(stop,)))
    assert short.text == long.text[: long.text.index(stop)]
    assert short.finish_reason is FinishReason.STOP


def test_an_adapter_is_put_on_the_base_model_it_names(folder: Path, adapter: Path):
    (base,) = ask(f"checkpoint:{folder}", request(raw=True))
    (tuned,) = ask(f"checkpoint:{adapter}", request(raw=True))
    assert base.text != tuned.text


def test_the_files_content_is_the_identity(folder: Path, adapter: Path):
    names = {open_model(f"checkpoint:{one}").identity for one in (folder, adapter)}
    assert {name.partition("@")[0] for name in names} == {"tiny", "adapter"}
    before = open_model(f"checkpoint:{adapter}").identity
    (adapter / "adapter_config.json").write_text(
        (adapter / "adapter_config.json").read_text() + "\n"
    )
    assert open_model(f"checkpoint:{adapter}").identity != before


def test_what_is_too_long_is_refused(folder: Path):
    with pytest.raises(RefusedRequestError, match=r"more than the 128 of tiny@"):
        ask(f"checkpoint:{folder}", request("x" * 120, raw=True))


def test_a_folder_without_a_checkpoint_or_a_template_is_said(folder: Path, tmp_path: Path):
    with pytest.raises(ModelNotFoundError, match="holds no checkpoint"):
        open_model(f"checkpoint:{tmp_path}")
    place = tmp_path / "bare"
    place.mkdir()
    for one in folder.iterdir():
        if one.name != "chat_template.jinja":
            (place / one.name).write_bytes(one.read_bytes())
    with pytest.raises(ConfigError, match="has no chat template"):
        ask(f"checkpoint:{place}", request())
