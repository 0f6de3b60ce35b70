"""The part of OpenAI's API that the fake endpoint speaks: requests read, completions written."""

import base64
import json
import math
import struct
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from wavecoder.llm.fake.http import Answer, Request
from wavecoder.llm.fake.replies import Prompt, embedding, fitting, text_of, tokens

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "MODELS",
    "chat",
    "events_of",
    "key_of",
    "read",
    "refusal",
    "vectors",
]

CHAT, EMBEDDINGS, MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"
# What says how a reply travels, and not which one it is.
_NOT_IN_KEY = frozenset({"stream", "stream_options", "user", "metadata", "store"})
_CREATED = 1_700_000_000  # a fixed time, so that the same request gets the same bytes
_DIMENSIONS = 32


def read(request: Request) -> dict[str, Any]:
    """Return the body of a request, its shape checked as far as it is used.

    Raises:
        ValueError: It is no JSON, or has another shape.
        RecursionError: It is nested too deep.
    """
    asked = json.loads(request.body)
    if not isinstance(asked, dict):
        raise ValueError("the body is no object")
    if not isinstance(asked.setdefault("model", "fake"), str):
        raise ValueError("model is no text")
    if request.path == EMBEDDINGS:
        if not isinstance(asked.get("input"), str | list) or not asked["input"]:
            raise ValueError("input is neither a text nor a list")
        counts = {"dimensions": 4096}
    else:
        messages = asked.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ValueError("messages is no list of messages")
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("a message is no object")
        counts = {"n": 128, "max_tokens": 1 << 31, "max_completion_tokens": 1 << 31}
    for name, most in counts.items():
        count = asked.get(name)
        if count is not None and not (isinstance(count, int) and 1 <= count <= most):
            raise ValueError(f"{name} is {count!r}, and no whole number from 1 to {most}")
    return asked


def key_of(asked: Mapping[str, Any]) -> str:
    """Return the request's hash, 16 hexadecimal digits; the order of its keys does not count."""
    deciding = {name: asked[name] for name in asked if name not in _NOT_IN_KEY}
    return blake2b(json.dumps(deciding, sort_keys=True).encode(), digest_size=8).hexdigest()


def chat(
    asked: Mapping[str, Any], key: str, prompt: Prompt, *, refuse: float, odd: bool
) -> dict[str, Any]:
    """Return the completion of a chat.

    Args:
        asked: The request.
        key: Its hash, which decides the text.
        prompt: What its messages ask for.
        refuse: Share of verdicts in which one rule is no.
        odd: Give a verdict in an odd form.
    """
    most = asked.get("max_completion_tokens") or asked.get("max_tokens") or math.inf
    schema = fitting(asked.get("response_format"))
    choices, spent = [], 0
    for index in range(asked.get("n") or 1):
        number = int(key, 16) + index
        if schema is None:
            text = prompt.reply(number, refuse=refuse, odd=odd)
        else:
            text = json.dumps(prompt.object(schema, number, refuse=refuse))
        fits = tokens(text) <= most
        text = text if fits else text[: int(4 * most)]
        spent += tokens(text)
        choices.append(
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": "stop" if fits else "length",
            }
        )
    sent = sum(tokens(text_of(message)) for message in asked["messages"])
    return {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": asked["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": sent,
            "completion_tokens": spent,
            "total_tokens": sent + spent,
        },
    }


def vectors(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the embeddings that were asked for."""
    given = asked["input"]
    # One text, one list of token numbers, or a list of either.
    one = isinstance(given, str) or isinstance(given[0], int)
    texts = [json.dumps(text) for text in ([given] if one else given)]
    data = []
    for index, text in enumerate(texts):
        vector: Any = embedding(text, asked.get("dimensions") or _DIMENSIONS)
        if asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    count = sum(tokens(text) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def events_of(completion: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return the chunks of a streamed completion as JSON: the role, the text in pieces, the end."""
    head = {**completion, "object": "chat.completion.chunk"}
    usage = head.pop("usage")

    def chunk(index: int, delta: Mapping[str, Any], reason: str | None = None) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return json.dumps({**head, "choices": [choice]})

    events = []
    for choice in completion["choices"]:
        index, text = choice["index"], choice["message"]["content"]
        events.append(chunk(index, {"role": "assistant", "content": "" if text else text}))
        size = max(len(text or "") // 8, 1)
        pieces = range(0, len(text or ""), size)
        events += [chunk(index, {"content": text[at : at + size]}) for at in pieces]
        events.append(chunk(index, {}, choice["finish_reason"]))
    options = asked.get("stream_options")
    if not events or (isinstance(options, Mapping) and options.get("include_usage")):
        events.append(json.dumps({**head, "choices": [], "usage": usage}))
    return events


def refusal(status: int, words: str, code: str | None = None, *, wait: float = 0.0) -> Answer:
    """Return an error as OpenAI's API words it: an object with message, type and code.

    Args:
        status: The HTTP status.
        words: A sentence for a person.
        code: What a program tells errors apart by.
        wait: Seconds of the Retry-After header; 0 for none.
    """
    kind = code or ("server_error" if status >= 500 else "invalid_request_error")
    error = {"message": words, "type": kind, "param": None, "code": code}
    headers = f"Retry-After: {wait if wait < 1 else math.ceil(wait):g}\r\n" if wait else ""
    return Answer(json.dumps({"error": error}).encode(), status, headers)
