"""Dialogues become tokens, and some of the tokens carry loss.

```text
<s>Below is … ### Instruction: … ### Response:  def f(x): …  </s>  …
└─────────────── prompt: no loss ────────────┘  └──── loss ─────┘  no loss
```

What must hold: the tokens of a prompt are those that a model is asked with (`apply_chat_template`
with a generation prompt), so no token reaches over the border between prompt and response; the
response's own text never becomes a special token; what follows the end token is not learned.
Of several turns each response is tokens of its own, as when the model wrote it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.records import Rejected
from wavecoder.train.conversations import Conversation
from wavecoder.train.job import IGNORED
from wavecoder.train.templates import Outline, outline, places, render

__all__ = ["Encoder", "Tokens"]

_PROBE = "def f(x):\n    return  x\n"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A dialogue as a model is given it."""

    input_ids: list[int]
    labels: list[int]
    """As long: the token itself where it carries loss, else `IGNORED`."""

    @property
    def response_tokens(self) -> int:
        """Return how many tokens carry loss."""
        return len(self.labels) - self.labels.count(IGNORED)


@dataclass(slots=True)
class _Growing:
    """Tokens so far."""

    input_ids: list[int]
    labels: list[int]

    def add(self, ids: Sequence[int], *, loss: bool) -> None:
        self.input_ids += ids
        self.labels += ids if loss else [IGNORED] * len(ids)


class Encoder:
    """Writes dialogues in a template and turns them into tokens; for one thread."""

    def __init__(self, tokenizer: Any, chat_template: str, end_token: str) -> None:
        """Try the template and the vocabulary on a probe.

        Args:
            tokenizer: The base's, of transformers; it is left as it is.
            chat_template: Jinja text.
            end_token: What ends a response; one token of the vocabulary.

        Raises:
            ConfigError: The template cannot be trained in, it ends responses with another token, or
                the vocabulary does not keep a text as it is.
        """
        self._tokenizer, self._template, self._end = tokenizer, chat_template, end_token
        self._asked, self._answered = _backends(tokenizer, end_token)
        self._end_id: int = self._asked.token_to_id(end_token)
        self._outlines: dict[tuple[tuple[str, ...], bool], Outline | str] = {}
        self._special = set(tokenizer.all_special_ids) | {self._end_id}
        self._added = {str(one) for one in tokenizer.added_tokens_decoder.values()} | {end_token}
        self._takes_input = isinstance(self._outline(("user", "assistant"), True), Outline)
        self._check()

    def encode(self, conversation: Conversation, max_length: int) -> Tokens | Rejected:
        """Return a dialogue's tokens, or why it is not trained on.

        Args:
            conversation: The dialogue.
            max_length: Most tokens it may have.
        """

        def refused(reason: str, detail: str) -> Rejected:
            task = conversation.task
            return Rejected(id=conversation.id, reason=reason, detail=detail, task=task)

        turns = conversation.messages
        if any(one.role == "assistant" and not one.content.strip() for one in turns):
            return refused("empty_response", "The assistant says nothing.")
        messages = self.messages(conversation)
        roles = tuple(one["role"] for one in messages)
        found = self._outline(roles, any("input" in one for one in messages))
        if isinstance(found, str):
            return refused("template", f"It cannot be written in the template: {found}.")
        try:
            text = render(self._tokenizer, self._template, messages, end_token=self._end)
        except ValueError as error:
            return refused("template", f"It cannot be written in the template: {error}.")
        said = [one["content"] for one in messages]
        said += [one["input"] for one in messages if "input" in one]
        spans = places(found, text, said)
        if spans is None:
            return refused("template", "The template changes the words of a turn.")
        tokens = self._tokens(text, found, spans)
        if tokens is None:
            return refused("template", "The vocabulary has no tokens for a part of a response.")
        if len(tokens.input_ids) > max_length:
            left = Tokens(tokens.input_ids[:max_length], tokens.labels[:max_length])
            return refused(
                "too_long",
                f"It has {len(tokens.input_ids):,} tokens and {max_length:,} are allowed; cut "
                f"there, {left.response_tokens:,} of its {tokens.response_tokens:,} response "
                f"tokens would be left.",
            )
        return tokens

    def messages(self, conversation: Conversation) -> list[dict[str, str]]:
        """Return a dialogue as the template is given it.

        The information is the user turn's `input` where the template knows such a thing, else it
        stands in the turn itself, behind an empty line.
        """
        messages = [one.model_dump() for one in conversation.messages]
        if conversation.information is not None:
            user = next(one for one in messages if one["role"] == "user")
            if self._takes_input:
                user["input"] = conversation.information
            else:
                user["content"] += "\n\n" + conversation.information
        return messages

    def _outline(self, roles: tuple[str, ...], with_input: bool) -> Outline | str:
        """Return the template's outline for such turns, or why it has none."""
        key = (roles, with_input)
        if key not in self._outlines:
            try:
                self._outlines[key] = outline(
                    self._tokenizer,
                    self._template,
                    roles,
                    end_token=self._end,
                    with_input=with_input,
                )
            except ValueError as error:
                self._outlines[key] = str(error)
        return self._outlines[key]

    def _tokens(self, text: str, found: Outline, spans: Sequence[tuple[int, int]]) -> Tokens | None:
        """Return the tokens of a rendered dialogue, None where a response has no true ones."""
        tokens, at = _Growing([], []), 0
        for turn in found.turns:
            start, end = spans[turn.part]
            begin = start - len(turn.lead)
            tokens.add(self._prompt(text[at:begin], first=at == 0), loss=False)
            answer = text[start:end]
            for beside, before in ((turn.lead, True), (turn.gap, False)):
                # A special token that the template writes is one; the same words in the text are
                # not. Without one they are one text, as the model writes it.
                if not self._has_token(beside):
                    answer = beside + answer if before else answer + beside
            if self._has_token(turn.lead):
                tokens.add(self._literal(turn.lead), loss=True)
            said = _ids(self._answered, answer)
            if not self._special.isdisjoint(said):  # an unknown token, or a Unigram's own reading
                return None
            tokens.add(said, loss=True)
            if self._has_token(turn.gap):
                tokens.add(self._literal(turn.gap), loss=True)
            tokens.add([self._end_id], loss=True)
            at = end + (len(turn.gap) + len(self._end) if turn.ends else 0)
        tokens.add(self._prompt(text[at:], first=False), loss=False)
        return Tokens(tokens.input_ids, tokens.labels)

    def _prompt(self, text: str, *, first: bool) -> list[int]:
        """Return the tokens of what is not learned: at the beginning, or behind an end token."""
        if first or not text:
            return _ids(self._asked, text)
        # Some vocabularies write what begins a text otherwise than what goes on.
        return _ids(self._asked, self._end + text)[1:]

    def _literal(self, text: str) -> list[int]:
        """Return the tokens of the template's own words inside a response."""
        self._answered.encode_special_tokens = False
        try:
            return _ids(self._answered, text)
        finally:
            self._answered.encode_special_tokens = True

    def _has_token(self, text: str) -> bool:
        return bool(text) and any(one in text for one in self._added)

    def _check(self) -> None:
        """Make sure that a question and an answer can be trained on."""
        found = self._outline(("user", "assistant"), False)
        if isinstance(found, str):
            raise ConfigError(
                f"The chat template cannot be trained in: {found}. Set train.template: alpaca, or "
                f"name another base."
            )
        turn = found.turns[0]
        behind = found.literals[turn.part + 1].lstrip()
        special = [str(one) for one in self._tokenizer.added_tokens_decoder.values() if one.special]
        others = [one for one in special if behind.startswith(one)]
        if others and not turn.ends:
            token = max(others, key=len)
            raise ConfigError(
                f"The chat template ends a response with {token}, and the end token is "
                f"{self._end}. Set train.eos_token: {token!r}."
            )
        prompt = _ids(self._asked, found.literals[0])
        both = [*prompt, *_ids(self._answered, _PROBE)]
        kept = _decoded(self._asked, both).removeprefix(_decoded(self._asked, prompt))
        if kept != _PROBE:
            raise ConfigError(
                f"The vocabulary does not keep a text: {_PROBE!r} comes back as {kept!r}. Name a "
                f"base that was trained on code."
            )


def _ids(backend: Any, text: str) -> list[int]:
    # Alone among its methods it does not find out where in the text each token stands.
    found: list[int] = backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
    return found


def _decoded(backend: Any, ids: Sequence[int]) -> str:
    return str(backend.decode(ids, skip_special_tokens=False))


def _backends(tokenizer: Any, end_token: str) -> tuple[Any, Any]:
    """Return what encodes a prompt as transformers does, and what encodes a response behind it.

    The second is the same vocabulary, but it puts nothing before a text (Llama's begins each with a
    space) and takes special tokens in it for the words they are.

    Raises:
        ConfigError: The tokenizer is not one of the library `tokenizers`.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"The base's tokenizer is a {type(tokenizer).__name__}, which has no tokenizer.json. "
            f"Save the base with one, or name another base."
        )
    written = backend.to_str()
    asked = type(backend).from_str(written)
    table = json.loads(written)
    table["normalizer"] = _continuing(table["normalizer"])
    table["pre_tokenizer"] = _continuing(table["pre_tokenizer"])
    answered = type(backend).from_str(json.dumps(table))
    for one in (asked, answered):
        one.no_truncation()
        one.no_padding()
        one.add_special_tokens([end_token])
    answered.encode_special_tokens = True
    return asked, answered


def _continuing(step: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a step of a tokenizer without what it puts before a text; None if that was all."""
    if step is None or step["type"] == "Prepend":
        return None
    if step["type"] == "Metaspace":
        return {**step, "prepend_scheme": "never"}
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": False}
    if step["type"] == "Sequence":
        name = "normalizers" if "normalizers" in step else "pretokenizers"
        steps = [kept for one in step[name] if (kept := _continuing(one)) is not None]
        return {**step, name: steps}
    return step
