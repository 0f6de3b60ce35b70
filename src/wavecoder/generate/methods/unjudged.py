"""What the methods without a discriminator share: prompts from a file, a question, an answer."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from wavecoder.errors import ConfigError
from wavecoder.generate.checks import syntax_problem
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.method import Desk
from wavecoder.generate.methods.labels import is_open
from wavecoder.generate.sections import fences
from wavecoder.generate.task import Prompt
from wavecoder.languages import language, language_named
from wavecoder.plugins import validate
from wavecoder.records import (
    ChatReply,
    ChatRequest,
    FinishReason,
    Instance,
    Message,
    RawCode,
    Rejected,
    Sampling,
)

__all__ = ["accepted", "ask", "load_prompts", "read_answer", "refuse_keys", "refused"]

M = TypeVar("M", bound=BaseModel)

_NO_MEANING = ("tasks", "target_languages", "bad_examples", "discriminator")
"""Keys of `generate` that are about the paper's tasks or its discriminator."""


def load_prompts(name: str, shape: type[M]) -> M:
    """Return the data file `name`.yaml beside this module."""
    text = files("wavecoder.generate.methods").joinpath(f"{name}.yaml").read_text("utf-8")
    return validate(shape, yaml.safe_load(text), name)


def refuse_keys(config: GenerateConfig, *more: str) -> None:
    """Refuse what the recipe sets and the method would not heed.

    A key with its default value is let through: a run's own `config.yaml` has every key.

    Args:
        config: The recipe's table.
        more: Keys without a meaning beside the tasks and the discriminator.

    Raises:
        ConfigError: There is such a key.
    """
    for key in (*_NO_MEANING, *more):
        field = GenerateConfig.model_fields[key]
        value = getattr(config, key)
        if key in config.model_fields_set and value != field.get_default(call_default_factory=True):
            raise ConfigError(
                f"generate.{key} is {value!r} and means nothing to the method {config.method}. "
                f"Leave it out, or use the method wavecoder."
            )


async def ask(
    desk: Desk,
    prompt: Prompt,
    variables: Mapping[str, Any],
    sampling: Sampling,
    seed: int,
    *,
    shown: Sequence[tuple[Mapping[str, Any], str]] = (),
) -> ChatReply | Rejected:
    """Return the generator's reply to a prompt, or a refusal where it was cut off.

    Args:
        desk: The function's.
        prompt: What is asked.
        variables: What its templates may use.
        sampling: The recipe's; `seed` is mixed into its own.
        seed: At most 31 bits.
        shown: Examples, as turns before the question: the variables of each, and its answer.
    """
    messages = [Message(role="system", content=prompt.render("system", variables))]
    for example, answer in shown:
        messages.append(Message(role="user", content=prompt.render("turn", example)))
        messages.append(Message(role="assistant", content=answer))
    messages.append(Message(role="user", content=prompt.render("turn", variables)))
    request = ChatRequest(
        messages=tuple(messages),
        sampling=sampling.model_copy(update={"seed": sampling.seed ^ seed}),
    )
    reply = await desk.write(request)
    if reply.finish_reason is FinishReason.LENGTH:
        detail = f"the reply was cut at {sampling.max_tokens} tokens"
        return refused(desk, reply, "cut_off", detail)
    return reply


def refused(
    desk: Desk, reply: ChatReply, reason: str, detail: str, instance: Instance | None = None
) -> Rejected:
    """Return the record of a reply that is not kept."""
    return Rejected(
        id=desk.raw.id,
        reason=reason,
        detail=detail,
        task=desk.task,
        reply=reply.text,
        instance=instance,
    )


def accepted(
    desk: Desk,
    reply: ChatReply,
    *,
    instruction: str,
    information: str | None,
    solution: str,
    example_ids: Sequence[str] = (),
) -> Instance:
    """Return the instance of a reply; it has no verdict, as nobody judges it."""
    assert desk.task is not None  # a method sets it before it asks
    instance = desk.draft = Instance(
        id=desk.raw.id,
        task=desk.task,
        language=desk.raw.language,
        target_language=None,
        instruction=instruction,
        information=information,
        solution=solution,
        raw_code=desk.raw,
        bug=None,
        reply=reply.text,
        verdict=None,
        generator=desk.generator,
        discriminator=None,
        round=desk.round,
        attempt=desk.attempt,
        example_ids=tuple(example_ids),
    )
    return instance


def read_answer(text: str, raw: RawCode) -> str | tuple[str, str]:
    """Return an answer whose code parses, or (reason, sentence).

    Code that is all of the answer loses its fence. Prose beside it stays, and so do the fences
    then: the originals keep their answers whole. Blocks in other languages (a shell's, what a
    program prints) are not looked into where one in the right language is there.
    """
    text = text.strip()
    if not text:
        return "empty_answer", "there is nothing in the answer"
    if is_open(text):
        return "open_fence", "a code fence is not closed"
    blocks = fences(text)
    tagged = [
        one for one in blocks if (row := language_named(one.tag)) and row.name == raw.language
    ]
    plain = [one for one in blocks if not one.tag]
    if blocks and not tagged and not plain:
        tags = ", ".join(sorted({one.tag for one in blocks}))
        title = language(raw.language).title
        return "wrong_language", f"the answer's code is marked as {tags}; {title} is asked for"
    for code in [one.body for one in tagged or plain] or [text]:
        problem = syntax_problem(code, raw.language)
        if problem:
            return "syntax_error", problem
    alone = len(blocks) == 1 and not re.sub(
        r"\s", "", text[: blocks[0].start] + text[blocks[0].end :]
    )
    return blocks[0].body if alone else text
