"""Chat templates: the words around a dialogue, and where in them its own texts stand.

Every dialogue goes through a Jinja chat template, ours (`alpaca.jinja`) or the base's own, and that
text is saved with the tuned model: what transformers and vLLM render for a chat is what was
trained. `outline` renders a template once for each order of turns, with marks in place of the
texts, and so learns what of it stands where, and what a model is asked to go on from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import TemplateError

from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest
from wavecoder.train.config import Template

__all__ = [
    "Outline",
    "Turn",
    "alpaca_text",
    "chat_template",
    "end_token",
    "outline",
    "places",
    "render",
]

_REFUSALS = (TemplateError, ValueError, TypeError, LookupError, AttributeError)
"""What a template raises: its own `raise_exception`, and what it stumbles over as Python would."""


@cache
def alpaca_text() -> str:
    """Return the Jinja text of the words WaveCoder was trained in, without a BOS."""
    return files("wavecoder.train").joinpath("alpaca.jinja").read_text("utf-8").strip()


def chat_template(tokenizer: Any, template: Template, *, base: str) -> str:
    """Return the Jinja text that dialogues are written with and that is saved with the model.

    Args:
        tokenizer: The base's, of transformers.
        template: Ours, or the base's own.
        base: What the base is called, for messages.

    Raises:
        ConfigError: The base has no chat template.
    """
    if template is Template.ALPACA:
        return ("{{- bos_token -}}" if _puts_bos(tokenizer) else "") + alpaca_text()
    if not tokenizer.chat_template:
        raise ConfigError(
            f"The base {base} has no chat template, which train.template: chat needs. Set "
            f"train.template: alpaca."
        )
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        raise ConfigError(
            f"The base {base} has several chat templates and none of them is its default. Set "
            f"train.template: alpaca."
        ) from error


def end_token(
    tokenizer: Any, config_eos: str | None, *, base: str, chat_template: str | None = None
) -> str:
    """Return the token that ends a response.

    Args:
        tokenizer: The base's, of transformers.
        config_eos: The one the recipe names, if any.
        base: What the base is called, for messages.
        chat_template: The text that dialogues are written with. Where it ends a response with a
            special token, that is the one: a base whose EOS is `<|endoftext|>` may have a template
            that ends turns with `<|im_end|>`.

    Raises:
        ConfigError: The vocabulary names none and none is given, or the given one is not one token.
    """
    special = sorted(_special_tokens(tokenizer))
    if config_eos is not None:
        if config_eos not in tokenizer.get_vocab():
            known = f" Special tokens: {', '.join(special[:20])}." if special else ""
            raise ConfigError(
                f"train.eos_token {config_eos!r} is not one token of the vocabulary of {base}."
                f"{nearest(config_eos, special)}{known}"
            )
        return config_eos
    printed = None if chat_template is None else _printed_end(tokenizer, chat_template, special)
    if printed is not None:
        return printed
    if tokenizer.eos_token is None:
        raise ConfigError(
            f"The vocabulary of {base} names no token that ends a text. Name one with "
            f"train.eos_token; special tokens: {', '.join(special[:20]) or 'none'}."
        )
    return str(tokenizer.eos_token)


def render(
    tokenizer: Any,
    chat_template: str,
    messages: Sequence[Mapping[str, str]],
    *,
    end_token: str | None,
    add_generation_prompt: bool = False,
) -> str:
    """Return messages as the template writes them.

    Args:
        tokenizer: The base's, of transformers.
        chat_template: Jinja text.
        messages: `role` and `content` of each turn, and `input` where there is one.
        end_token: What the template is given as `eos_token`; None leaves the tokenizer's.
        add_generation_prompt: Whether the text ends where the assistant goes on.

    Raises:
        ValueError: The template refuses them; the text says why.
    """
    own = {} if end_token is None else {"eos_token": end_token}
    try:
        return str(
            tokenizer.apply_chat_template(
                list(messages),
                chat_template=chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **own,
            )
        )
    except _REFUSALS as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"the template refuses it: {said}") from error


@dataclass(frozen=True, slots=True)
class Turn:
    """Where an assistant's turn begins and ends, beside its text."""

    part: int
    """Which of the outline's parts is its text."""
    lead: str
    """What the template puts between the generation prompt and the text: the model writes it."""
    gap: str
    """What it puts between the text and the end token: the model writes that, too."""
    ends: bool
    """Whether the template itself prints the end token."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a template prints for an order of turns, whatever is said in them."""

    literals: tuple[str, ...]
    """Before the first part, between one and the next, and behind the last."""
    order: tuple[int, ...]
    """Which text stands in each part; texts are counted as in `places`."""
    turns: tuple[Turn, ...]
    """The assistant's, in order."""


def outline(
    tokenizer: Any,
    chat_template: str,
    roles: Sequence[str],
    *,
    end_token: str,
    with_input: bool = False,
) -> Outline:
    """Return what a template prints for turns of these roles.

    Args:
        tokenizer: The base's, of transformers.
        chat_template: Jinja text.
        roles: Of the turns.
        end_token: What ends a response.
        with_input: Whether the user's only turn has an `input`.

    Raises:
        ValueError: The template refuses such turns, prints a text not once, or changes what it
            printed for a turn when another follows; the text says which.
    """
    marks = _marks(chat_template, len(roles) + with_input)
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=False)]
    if with_input:
        messages[roles.index("user")]["input"] = marks[-1]

    def rendered(count: int, ask: bool = False) -> str:
        return render(
            tokenizer,
            chat_template,
            messages[:count],
            end_token=end_token,
            add_generation_prompt=ask,
        )

    whole = rendered(len(messages))
    unprinted = [mark for mark in marks if whole.count(mark) != 1]
    if unprinted:
        raise ValueError("the template does not print each text once")
    order = sorted(range(len(marks)), key=lambda one: whole.index(marks[one]))
    literals, at = [], 0
    for one in order:
        start = whole.index(marks[one])
        literals.append(whole[at:start])
        at = start + len(marks[one])
    literals.append(whole[at:])
    turns = []
    for place, role in enumerate(roles):
        if role != "assistant":
            continue
        asked, answered = rendered(place, ask=True), rendered(place + 1)
        if not whole.startswith(answered):
            raise ValueError("the template changes a turn when another follows")
        start = whole.index(marks[place])
        if not whole.startswith(asked) or len(asked) > start:
            raise ValueError("the template asks for a turn in other words than it prints it in")
        behind = answered[start + len(marks[place]) :]
        gap, ends, _ = behind.partition(end_token)
        turns.append(
            Turn(order.index(place), whole[len(asked) : start], gap if ends else "", bool(ends))
        )
    return Outline(tuple(literals), tuple(order), tuple(turns))


def places(found: Outline, text: str, texts: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return where each part stands in a rendered text: first character, and the one behind.

    A template may print a text without the space around it; None where it changes it otherwise.

    Args:
        found: The template's outline.
        text: What the template printed.
        texts: What was said in each turn, then the input, if any.
    """
    if not text.startswith(found.literals[0]):
        return None
    spans, at = [], len(found.literals[0])
    for part, literal in zip(found.order, found.literals[1:], strict=True):
        for printed in (texts[part], texts[part].strip()):
            end = at + len(printed)
            if text.startswith(printed, at) and text.startswith(literal, end):
                spans.append((at, end))
                at = end + len(literal)
                break
        else:
            return None
    return spans if at == len(text) else None


def _marks(chat_template: str, count: int) -> list[str]:
    """Return as many words that neither each other nor the template contain."""
    stem = "wavecoder"
    while stem in chat_template:
        stem += "x"
    return [f"{stem}{number}mark" for number in range(count)]


def _special_tokens(tokenizer: Any) -> set[str]:
    """Return the tokens that stand for no text."""
    added = tokenizer.added_tokens_decoder.values()
    return {str(token) for token in added if token.special}


def _puts_bos(tokenizer: Any) -> bool:
    """Say whether the tokenizer itself puts a BOS before a text."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return False
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    return bool(tokenizer("a")["input_ids"] == [bos, *bare])


def _printed_end(tokenizer: Any, chat_template: str, special: Sequence[str]) -> str | None:
    """Return the special token that a template prints behind a response, if any."""
    asked, answered = _marks(chat_template, 2)
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    try:
        text = render(tokenizer, chat_template, messages, end_token=None)
    except ValueError:
        return None  # the encoder says what is wrong with it
    behind = text.partition(answered)[2].lstrip()
    printed = [token for token in special if behind.startswith(token)]
    return max(printed, key=len, default=None)
