"""What can go wrong at the fake endpoint, at which rate, and how it looks on the wire."""

import json
from collections.abc import Mapping
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.llm.fake.api import events_of, refusal
from wavecoder.llm.fake.http import Answer
from wavecoder.plugins import nearest

__all__ = ["AT_ONCE", "FAULTS", "OF_A_CHAT", "answer", "failed", "spread"]

FAULTS: Mapping[str, str] = {
    "http_429": "429 with Retry-After",
    "http_429_bare": "429 without Retry-After",
    "quota": "429 with the code insufficient_quota",
    "http_500": "500",
    "http_503": "503",
    "context_length": "400 with the code context_length_exceeded",
    "reset": "the connection is reset instead of a reply",
    "hang": "there is never a reply",
    "drip": "the first bytes of the body come one at a time",
    "truncated_json": "the body is cut off, and its Content-Length is right",
    "short_body": "the body is shorter than its Content-Length, and the connection ends",
    "bad_utf8": "the body is no UTF-8",
    "no_choices": "choices is empty",
    "length": "the text is cut off, finish_reason length",
    "content_filter": "the text is empty, finish_reason content_filter",
    "wrong_model": "the reply names another model",
    "duplicate_keys": "the JSON has a key twice; the second one is right",
    "huge": "a text of 1 MB",
    "null_content": "content is null",
    "odd_verdict": "a verdict in a form that broke the released code; verdicts only",
}
"""Every fault by its name."""

OF_A_CHAT = frozenset(FAULTS) - {
    "http_429", "http_429_bare", "quota", "http_500", "http_503", "reset", "hang", "drip",
    "truncated_json", "short_body", "bad_utf8",
}  # fmt: skip
"""Faults that only chat completions can have."""

AT_ONCE = frozenset({"http_429", "http_429_bare", "quota", "context_length"})
"""Faults that do not wait for the latency: the endpoint refuses before it does any work."""

# A client rightly stops for good on it, so it comes only where it is asked for by name.
_NOT_SPREAD = frozenset({"quota"})
_HUGE = ("never " * 9 + "ending\n") * (1_000_000 // 61)


def spread(total: float, named: Mapping[str, float]) -> dict[str, float]:
    """Return the rate of each fault.

    Args:
        total: Rate of all faults that are not named together, evenly over their kinds; `quota`
            is not among them.
        named: Rates by name.

    Raises:
        ConfigError: A name is unknown, a rate is not in 0..1, or the rates sum to more than 1.
    """
    for name in named:
        if name not in FAULTS:
            raise ConfigError(
                f"There is no fault {name!r}.{nearest(name, list(FAULTS))} "
                f"Known: {', '.join(FAULTS)}."
            )
    for what, rate in {"all faults": total, **named}.items():
        if not 0 <= rate <= 1:
            raise ConfigError(f"The rate of {what} is {rate}. Give a share from 0 to 1.")
    others = [name for name in FAULTS if name not in named and name not in _NOT_SPREAD]
    rates = dict.fromkeys(others, total / len(others)) if total and others else {}
    rates |= named
    if sum(rates.values()) > 1 + 1e-9:
        raise ConfigError(
            f"The rates of the faults sum to {sum(rates.values()):.3g}. Give less, 1 in all."
        )
    return rates


def failed(fault: str, *, wait: float) -> Answer | None:
    """Return the answer of a fault that is an HTTP status, or None.

    Args:
        fault: A name of `FAULTS`.
        wait: Seconds of a Retry-After.
    """
    limit = "rate_limit_exceeded"
    if fault == "http_429":
        return refusal(429, "There are too many requests; wait.", limit, wait=wait)
    if fault == "http_429_bare":
        return refusal(429, "There are too many requests.", limit)
    if fault == "quota":
        return refusal(429, "The quota of this key is used up.", "insufficient_quota")
    if fault == "http_500":
        return refusal(500, "The server failed.")
    if fault == "http_503":
        return refusal(503, "The server is overloaded.")
    if fault == "context_length":
        words = "The prompt is longer than the context length, 8192 tokens."
        return refusal(400, words, "context_length_exceeded")
    return None


def answer(fault: str | None, completion: dict[str, Any], asked: Mapping[str, Any]) -> Answer:
    """Return a completion as it is sent, with the fault put in.

    Args:
        fault: A name of `FAULTS`; one that is none of the body changes nothing.
        completion: The right completion, or the embeddings; it is changed.
        asked: The request.
    """
    _spoil(fault, completion)
    streamed = bool(asked.get("stream")) and "choices" in completion
    events = events_of(completion, asked) if streamed else [json.dumps(completion)]
    if fault == "duplicate_keys":
        first = '{"index": 0, "message": {"role": "assistant", "content": "not this one"}}'
        events = ['{"choices": [%s], %s' % (first, event[1:]) for event in events]  # noqa: UP031
    text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]) if streamed else events[0]
    body = text.encode()
    if fault == "bad_utf8":
        at = body.find(b'"content": "') + len(b'"content": "') if b'"content"' in body else 2
        body = body[:at] + b"\xff\xfe\x80" + body[at:]
    elif fault == "truncated_json":
        body = body[: len(body) // 2]
    kept_back = len(body) // 2 if fault == "short_body" else 0
    return Answer(body, streamed=streamed, kept_back=kept_back)


def _spoil(fault: str | None, completion: dict[str, Any]) -> None:
    """Put a fault of the completion's content into it."""
    if fault == "no_choices":
        completion["choices"] = []
    elif fault == "wrong_model":
        completion["model"] = "another-model"
    for choice in completion.get("choices", ()):
        message = choice["message"]
        if fault == "length":
            message["content"] = message["content"][: len(message["content"]) // 2]
            choice["finish_reason"] = "length"
        elif fault == "content_filter":
            message["content"], choice["finish_reason"] = "", "content_filter"
        elif fault == "huge":
            message["content"] = _HUGE
        elif fault == "null_content":
            message["content"] = None
