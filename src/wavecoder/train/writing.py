"""How a dialogue becomes tokens: by a base's tokenizer, or estimated where the base is not here."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from wavecoder.records import Rejected
from wavecoder.train.config import TrainConfig
from wavecoder.train.conversations import Conversation
from wavecoder.train.job import IGNORED
from wavecoder.train.templates import chat_template, end_token
from wavecoder.train.tokens import Encoder, Tokens

__all__ = ["CHARACTERS_A_TOKEN", "Writing", "estimated"]

CHARACTERS_A_TOKEN = 3.2
"""Of code and prose about it, for a base that is not here. Measured over the docstrings and code of
the 4,046 documented functions of Python 3.11's standard library (3.7 million characters): 4.0 with
SmolLM2's 49,152 tokens, 4.4 with Qwen2.5-Coder's 151,936. Most bases of the presets have 32,000,
which cut finer and were not at hand to measure, so that this rather counts too many."""
_AROUND = 42
"""Tokens of a template around a dialogue: of SmolLM2's, Alpaca's words with an input."""


@dataclass(frozen=True)
class Writing:
    """How dialogues become tokens."""

    template: str
    """Jinja text."""
    end: str
    """The token every response ends with."""
    encode: Callable[[Conversation, int], Tokens | Rejected]
    """Gives a dialogue's tokens, or why it is not trained on: it has more than so many."""

    @classmethod
    def of(cls, tokenizer: Any, config: TrainConfig) -> "Writing":
        """Return how a base's tokenizer does it.

        Raises:
            ConfigError: The base lacks the template or an end token.
        """
        template = chat_template(tokenizer, config.template, base=config.base)
        end = end_token(tokenizer, config.eos_token, base=config.base, chat_template=template)
        return cls(template, end, Encoder(tokenizer, template, end).encode)


def estimated() -> Writing:
    """Return a stand-in for a base that is not here: numbers of tokens, and no tokens."""
    return Writing("", "", _estimate)


def _estimate(one: Conversation, max_length: int) -> Tokens | Rejected:
    said = {"assistant": 0, "user": len(one.information or ""), "system": 0}
    for turn in one.messages:
        said[turn.role] += len(turn.content)
    response = ceil(said["assistant"] / CHARACTERS_A_TOKEN) + 1
    prompt = ceil((said["user"] + said["system"]) / CHARACTERS_A_TOKEN) + _AROUND
    if prompt + response > max_length:
        return Rejected(
            id=one.id,
            reason="too_long",
            detail=f"It has about {prompt + response:,} tokens and {max_length:,} are allowed.",
            task=one.task,
        )
    return Tokens([0] * (prompt + response), [IGNORED] * prompt + [0] * response)
