from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from wavecoder.errors import ConfigError
from wavecoder.evaluate.prompts import words
from wavecoder.train.config import Template
from wavecoder.train.templates import (
    alpaca_text,
    chat_template,
    end_token,
    outline,
    places,
    render,
)

PREAMBLE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n"
)
PREAMBLE_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vocabulary(*, bos: bool = False, **special: str) -> Any:
    words = Tokenizer(
        models.BPE(
            vocab={one: at for at, one in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
            merges=[],
        )
    )
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens(["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    if bos:
        words.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", words.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=words, **special)


def plain(template: str, messages: list[dict[str, str]], ask: bool) -> str:
    """Render as a server does that knows nothing of transformers or its trimming of blocks."""
    return (
        ImmutableSandboxedEnvironment()
        .from_string(template)
        .render(messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=ask)
    )


QUESTION = {"role": "user", "content": "Sort it."}
ANSWER = {"role": "assistant", "content": "sorted(it)"}
ASKED = "### Instruction:\nSort it.\n\n### Response:"
RENDERED: dict[str, tuple[list[dict[str, str]], bool, str]] = {
    "asked": ([QUESTION], True, PREAMBLE + ASKED),
    "not asked": ([QUESTION], False, PREAMBLE + "### Instruction:\nSort it.\n\n"),
    "answered": ([QUESTION, ANSWER], False, f"{PREAMBLE}{ASKED}sorted(it)</s>"),
    "with input": (
        [{**QUESTION, "input": "[2, 1]"}, ANSWER],
        False,
        f"{PREAMBLE_WITH_INPUT}### Instruction:\nSort it.\n\n### Input:\n[2, 1]\n\n"
        f"### Response:sorted(it)</s>",
    ),
    "input behind its heading": (
        [{"role": "user", "content": "Sort it.\n\n### Input:\n[2, 1]"}, ANSWER],
        False,
        f"{PREAMBLE_WITH_INPUT}### Instruction:\nSort it.\n\n### Input:\n[2, 1]\n\n"
        f"### Response:sorted(it)</s>",
    ),
    "empty input": ([{**QUESTION, "input": ""}], True, PREAMBLE + ASKED),
    "several turns": (
        [QUESTION, ANSWER, {"role": "user", "content": "Why?"}],
        True,
        f"{PREAMBLE}{ASKED}sorted(it)</s>\n\n### Instruction:\nWhy?\n\n### Response:",
    ),
    "system": (
        [{"role": "system", "content": "You sort."}, QUESTION],
        True,
        f"You sort.\n\n{ASKED}",
    ),
    "space is kept": (
        [{"role": "user", "content": "  a\n"}, {"role": "assistant", "content": "\n  b\n"}],
        False,
        f"{PREAMBLE}### Instruction:\n  a\n\n\n### Response:\n  b\n</s>",
    ),
}


@pytest.mark.parametrize("name", list(RENDERED))
def test_alpaca_letter_by_letter_in_transformers_and_elsewhere(name: str) -> None:
    messages, ask, wanted = RENDERED[name]
    tokenizer = vocabulary(eos_token="</s>", bos_token="<s>")
    text = chat_template(tokenizer, Template.ALPACA, base="tiny")
    found = tokenizer.apply_chat_template(
        messages, chat_template=text, tokenize=False, add_generation_prompt=ask
    )
    assert found == wanted
    assert plain(text, messages, ask) == wanted


def test_alpaca_is_what_a_tuned_model_is_measured_with() -> None:
    asked = words()["alpaca"].replace("{instruction}", "Sort it.")
    # The published prompt of a measurement ends the line; what is trained follows at once.
    assert RENDERED["asked"][2] == asked.rstrip("\n")


def test_alpaca_is_saved_with_the_tokenizer(tmp_path: Any) -> None:
    tokenizer = vocabulary(eos_token="</s>")
    tokenizer.chat_template = chat_template(tokenizer, Template.ALPACA, base="tiny")
    tokenizer.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    messages, ask, wanted = RENDERED["with input"]
    found = again.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    assert found == wanted


def test_a_bos_stands_first_where_the_vocabulary_puts_one() -> None:
    having = vocabulary(bos=True, bos_token="<s>", eos_token="</s>")
    naming = vocabulary(bos_token="<s>", eos_token="</s>")
    assert chat_template(naming, Template.ALPACA, base="tiny") == alpaca_text()
    text = chat_template(having, Template.ALPACA, base="tiny")
    for messages, ask, wanted in RENDERED.values():
        assert plain(text, messages, ask) == "<s>" + wanted
    ids = having.apply_chat_template(
        [QUESTION], chat_template=text, add_generation_prompt=True, return_dict=False
    )
    # As a prompt that is given as text is encoded.
    assert ids == having(PREAMBLE + ASKED)["input_ids"]


def test_the_bases_own_template() -> None:
    tokenizer = vocabulary(eos_token="</s>")
    with pytest.raises(ConfigError, match=r"base tiny has no chat template.*alpaca\."):
        chat_template(tokenizer, Template.CHAT, base="tiny")
    tokenizer.chat_template = CHATML
    assert chat_template(tokenizer, Template.CHAT, base="tiny") == CHATML
    tokenizer.chat_template = {"tools": CHATML}
    with pytest.raises(ConfigError, match="several chat templates"):
        chat_template(tokenizer, Template.CHAT, base="tiny")


def test_what_ends_a_response() -> None:
    tokenizer = vocabulary(eos_token="</s>")
    assert end_token(tokenizer, None, base="tiny") == "</s>"
    assert end_token(tokenizer, "<|im_end|>", base="tiny") == "<|im_end|>"
    alpaca = chat_template(tokenizer, Template.ALPACA, base="tiny")
    assert end_token(tokenizer, None, base="tiny", chat_template=alpaca) == "</s>"
    # The base's EOS ends documents, its template ends turns with another token.
    assert end_token(tokenizer, None, base="tiny", chat_template=CHATML) == "<|im_end|>"
    assert end_token(tokenizer, "</s>", base="tiny", chat_template=CHATML) == "</s>"


def test_a_vocabulary_without_an_end() -> None:
    tokenizer = vocabulary()
    with pytest.raises(ConfigError, match=r"tiny names no token that ends.*<\|im_end\|>"):
        end_token(tokenizer, None, base="tiny", chat_template=alpaca_text())
    with pytest.raises(ConfigError, match=r"'<\|im_ent\|>' is not one token.*'<\|im_end\|>'\?"):
        end_token(tokenizer, "<|im_ent|>", base="tiny")
    assert end_token(tokenizer, "<|im_end|>", base="tiny") == "<|im_end|>"


def test_an_outline_finds_texts_that_repeat_and_that_are_trimmed() -> None:
    tokenizer = vocabulary(eos_token="</s>")
    template = "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}"
    found = outline(tokenizer, template, ("user", "assistant"), end_token="</s>")
    assert found.literals == ("[", "][", "]")
    said = ["][", " ][ "]
    messages = [{**QUESTION, "content": said[0]}, {**ANSWER, "content": said[1]}]
    text = render(tokenizer, template, messages, end_token="</s>")
    assert text == "[][][][]"
    assert places(found, text, said) == [(1, 3), (5, 7)]
    assert places(found, text, ["]", "["]) is None
