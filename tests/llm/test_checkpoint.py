"""A tiny checkpoint that transformers made, with and without an adapter."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from wavecoder.errors import (
    ConfigError,
    ModelError,
    ModelNotFoundError,
    RefusedRequestError,
    StoppedError,
)
from wavecoder.llm import catalogue, open_model
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


def together(spec: str, *requests: ChatRequest) -> list[ChatReply | BaseException]:
    """The replies to requests that are all there at once."""

    async def main() -> list[ChatReply | BaseException]:
        model = open_model(spec)
        try:
            asked = (model.complete(request) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await model.close()

    return asyncio.run(main())


def plain(reply: ChatReply | BaseException) -> tuple[object, ...]:
    """What of a reply is decided by its request."""
    assert isinstance(reply, ChatReply), reply
    return (reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens)


PROMPTS = ("hi", "a longer one\nover two lines", "x", "def f(a):", "0123456789" * 4, "?", "é", "zz")


@pytest.fixture(params=["llama", "gpt_bigcode", "qwen2"])
def tiny(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    """The Llama, a model that counts places from the left (StarCoder's kind), and a Qwen."""
    if request.param == "llama":
        return folder
    torch.manual_seed(2)
    ends = {"bos_token_id": None, "eos_token_id": 0}
    if request.param == "gpt_bigcode":
        config = transformers.GPTBigCodeConfig(
            vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=128, **ends
        )
    else:
        config = transformers.Qwen2Config(
            vocab_size=257,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            **ends,
        )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_who_stands_beside_a_request_does_not_change_its_reply(tiny: Path):
    greedy = [request(text, raw=True, max_tokens=5 + 6 * n) for n, text in enumerate(PROMPTS)]
    drawn = [
        request(text, raw=True, temperature=0.8, top_p=top_p, seed=seed, max_tokens=20)
        for text, top_p, seed in zip(PROMPTS, (1.0, 0.9, 0.5, 0.95) * 2, range(8), strict=True)
    ]
    mixed = [one for pair in zip(greedy, drawn, strict=True) for one in pair]
    alone = ask(f"checkpoint:{tiny}", *mixed)
    assert list(map(plain, together(f"checkpoint:{tiny}", *mixed))) == list(map(plain, alone))
    assert len({one.text for one in alone}) == len(mixed), "the replies tell the requests apart"


def test_each_request_has_its_own_stop_words_and_limit(tiny: Path):
    long = ask(f"checkpoint:{tiny}", *(request(text, raw=True) for text in PROMPTS))
    stops = [one.text[4 + place % 3 : 6 + place % 3] for place, one in enumerate(long)]
    requests = [
        request(text, raw=True, stop=(stop,) if place % 2 else None, max_tokens=12 - place)
        for place, (text, stop) in enumerate(zip(PROMPTS, stops, strict=True))
    ]
    found = together(f"checkpoint:{tiny}", *requests)
    assert list(map(plain, found)) == [plain(one) for one in ask(f"checkpoint:{tiny}", *requests)]
    for place, reply in enumerate(found):
        assert isinstance(reply, ChatReply)
        assert (reply.completion_tokens or 0) <= 12 - place
        if place % 2:
            assert stops[place] not in reply.text
        else:
            assert (reply.completion_tokens, reply.finish_reason) == (12 - place, "length")
    kinds = {one.finish_reason for one in found[1::2] if isinstance(one, ChatReply)}
    assert FinishReason.STOP in kinds


def test_the_end_token_ends_its_own_row_alone(folder: Path, tmp_path: Path):
    (first,) = ask(f"checkpoint:{folder}", request(raw=True))
    place = tmp_path / "ends"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer()("hi" + first.text)["input_ids"]
    model.generation_config.eos_token_id = ids[6]
    model.save_pretrained(place)
    tokenizer().save_pretrained(place)
    requests = [request(text, raw=True) for text in PROMPTS]
    found = together(f"checkpoint:{place}", *requests)
    assert list(map(plain, found)) == [plain(one) for one in ask(f"checkpoint:{place}", *requests)]
    kinds = {one.finish_reason for one in found if isinstance(one, ChatReply)}
    assert kinds == {FinishReason.STOP, FinishReason.LENGTH}


def test_a_request_that_cannot_be_answered_leaves_the_others(folder: Path):
    good, bad = request(raw=True), request("x" * 120, raw=True)
    first, refusal, last = together(f"checkpoint:{folder}", good, bad, good)
    assert isinstance(refusal, RefusedRequestError)
    assert plain(first) == plain(last) == plain(ask(f"checkpoint:{folder}", good)[0])


def test_a_long_prompt_and_a_long_reply_are_no_group_beyond_the_models_places(tiny: Path):
    requests = [
        request("y" * 110, raw=True, max_tokens=18),
        request("z", raw=True, max_tokens=120),
        request("w" * 20, raw=True, max_tokens=30),
    ]
    found = together(f"checkpoint:{tiny}", *requests)
    assert list(map(plain, found)) == [plain(one) for one in ask(f"checkpoint:{tiny}", *requests)]


def test_where_memory_is_short_fewer_are_answered_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    requests = [request(text, raw=True) for text in PROMPTS[:5]]
    alone = ask(f"checkpoint:{folder}", *requests)
    whole, sizes = transformers.LlamaForCausalLM.generate, []

    def generate(self: Any, **options: Any) -> Any:
        sizes.append(len(options["input_ids"]))
        if sizes[-1] > room:
            raise torch.OutOfMemoryError
        return whole(self, **options)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", generate)
    room = 2
    assert list(map(plain, together(f"checkpoint:{folder}", *requests))) == [
        plain(one) for one in alone
    ]
    assert sizes == [5, 2, 3, 1, 2]
    room = 0
    (refusal,) = together(f"checkpoint:{folder}", request(raw=True))
    assert "does not fit into the memory" in str(refusal)


def test_closed_in_the_middle_everyone_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    begun, whole = threading.Event(), transformers.LlamaForCausalLM.generate

    def generate(self: Any, **options: Any) -> Any:
        begun.set()
        assert model._closing.wait(30)
        return whole(self, **options)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", generate)
    model: Any = open_model(f"checkpoint:{folder}")

    async def main() -> list[Any]:
        many = [model.complete(request(str(n), raw=True, max_tokens=100)) for n in range(11)]
        asked = asyncio.gather(*many, return_exceptions=True)
        await asyncio.to_thread(begun.wait, 30)
        await model.close()
        return await asked

    found = asyncio.run(main())
    assert {type(one) for one in found} == {ModelError}


def test_drained_what_only_waits_is_not_begun(folder: Path, monkeypatch: pytest.MonkeyPatch):
    begun, drained = threading.Event(), threading.Event()
    whole = transformers.LlamaForCausalLM.generate

    def generate(self: Any, **options: Any) -> Any:
        begun.set()
        assert drained.wait(30)
        return whole(self, **options)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", generate)
    model: Any = open_model(f"checkpoint:{folder}")

    async def main() -> list[Any]:
        many = [model.complete(request(str(n), raw=True)) for n in range(model.concurrency + 3)]
        asked = asyncio.gather(*many, return_exceptions=True)
        await asyncio.to_thread(begun.wait, 30)
        model.drain()
        drained.set()
        found = await asked
        await model.close()
        return found

    found = asyncio.run(main())
    assert [type(one) for one in found] == [ChatReply] * model.concurrency + [StoppedError] * 3


def test_the_folder_that_train_made_bears_its_variants_name(folder: Path, tmp_path: Path):
    place = tmp_path / "without-repair" / "checkpoint"
    place.parent.mkdir()
    place.symlink_to(folder)
    assert open_model(f"checkpoint:{place}").identity.startswith("without-repair@")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct with its weights dequantised."""
    path = catalogue.locate("smollm2-135m-instruct")
    place = tmp_path_factory.mktemp("models") / "smollm2"
    options = {"gguf_file": path.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, dtype=torch.float32, **options
    )
    # What reads GGUF marks the weights as quantised, which they are not any more.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(place)
    transformers.AutoTokenizer.from_pretrained(path.parent, **options).save_pretrained(place)
    return place


@pytest.mark.slow
def test_a_real_model_answers_together_what_it_answers_alone(smollm2: Path):
    texts = ("Write a Python function that adds two numbers.", "What is 2 + 2?", "Say hello.")
    requests = [request(text, max_tokens=24 + 4 * n) for n, text in enumerate(texts)]
    requests.append(request("def add(a, b):\n", raw=True, max_tokens=40, stop=("\ndef", "\n\n")))
    found = together(f"checkpoint:{smollm2}", *requests)
    assert list(map(plain, found)) == [
        plain(one) for one in ask(f"checkpoint:{smollm2}", *requests)
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has the numbers that were saved")
def test_on_a_cpu_what_was_saved_in_bf16_calculates_in_fp32(folder: Path, tmp_path: Path):
    half = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    model: Any = open_model(f"checkpoint:{tmp_path}")
    _, loaded = model._load()
    assert loaded.dtype is torch.float32
