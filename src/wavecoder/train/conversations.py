"""What is trained on, as turns: instances, and the rows of other datasets.

| rows                                                    | known from            |
|---------------------------------------------------------|-----------------------|
| `instruction`, `input` (may be absent), `output`        | Alpaca                |
| `instruction`, `response`                               | evol-codealpaca       |
| `messages`: a list of `role`, `content`                 | chat endpoints        |
| `conversations`: a list of `from`, `value`              | ShareGPT              |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.records import Instance, Message, Rejected, digest
from wavecoder.train.config import Mix
from wavecoder.train.rows import BLANK, WANTED, Fault, hub_rows, keys_of_one, rows_of

__all__ = ["Conversation", "from_instance", "read_mix"]

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that a model is to learn the assistant's part of."""

    id: str
    source: str
    """The stage the instance comes from, or the other dataset's path or name."""
    task: str
    """The instance's task; `other` for a row of another dataset."""
    group: str
    """What must be on one side of the split: the content hash of the raw code; of a row of another
    dataset, a digest of what it asks, so that rows which repeat each other stay together."""
    messages: tuple[Message, ...]
    """A system turn or none, then user and assistant in turn; the last is the assistant's."""
    information: str | None
    """What is given with the only user turn, apart from it; None where there is nothing."""


def from_instance(instance: Instance, source: str) -> Conversation:
    """Return an instance as a question and its answer.

    Args:
        instance: One that was accepted.
        source: The stage that wrote it.
    """
    return Conversation(
        id=instance.id,
        source=source,
        task=instance.task,
        group=instance.raw_code.content_hash,
        messages=(
            Message(role="user", content=instance.instruction),
            Message(role="assistant", content=instance.solution),
        ),
        information=instance.information or None,
    )


def read_mix(mix: Mix) -> Iterator[Conversation | Rejected]:
    """Yield the rows of another dataset, with ids `NAME:ROW`.

    Rows are counted from 1, and blank ones too: of JSON lines it is the number of the line.

    Raises:
        ConfigError: It cannot be read, has no rows, or none of them is of a known form.
        MissingExtraError: It is on the hub and the library `datasets` is not installed.
    """
    source = str(mix.path or mix.hub)
    name = source if mix.path is None else mix.path.name
    first: Rejected | None = None
    fits = False
    for number, row in enumerate(rows_of(mix.path) if mix.path is not None else hub_rows(mix), 1):
        if row is BLANK:
            continue
        outcome = _conversation(row, f"{name}:{number}", source)
        if isinstance(outcome, Conversation) or outcome.reason not in _FORM:
            fits = True
        elif first is None:
            first = outcome
        yield outcome
    if fits:
        return
    if first is None:
        raise ConfigError(f"{source} has no rows. Give another dataset under train.data.")
    if mix.path is not None and (keys := keys_of_one(mix.path)) is not None:
        raise ConfigError(
            f"{source} is one JSON object, of {', '.join(keys[:20]) or 'nothing'}. Give its list "
            f"of rows alone, or an object a line."
        )
    raise ConfigError(f"No row of {source} can be trained on; the first: {first.detail} {WANTED}")


_FORM = ("not_a_row", "missing_field")
"""Reasons that say something of a dataset's form; the others, of a row's content."""


def _conversation(row: Any, id: str, source: str) -> Conversation | Rejected:
    """Return a row as turns, or why it is none."""
    try:
        messages, given = _messages(row)
    except _Unfit as unfit:
        return Rejected(id=id, reason=unfit.reason, detail=unfit.detail)
    asked = [one.content for one in messages if one.role != "assistant"]
    return Conversation(id, source, "other", digest(*asked, given or ""), messages, given)


class _Unfit(Exception):
    """A row is no conversation."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail


def _messages(row: Any) -> tuple[tuple[Message, ...], str | None]:
    """Return a row's turns, and the information given with its question.

    Raises:
        _Unfit: It has none, or they cannot be learned from.
    """
    if isinstance(row, Fault):
        raise _Unfit("not_a_row", f"The row is not read: {row.detail}.")
    if not isinstance(row, Mapping):
        what = f"The row is a JSON {type(row).__name__}, an object is wanted."
        raise _Unfit("not_a_row", what)
    given = None
    if row.get("messages") is not None:
        turns = _turns(row["messages"], "role", "content")
    elif row.get("conversations") is not None:
        turns = _turns(row["conversations"], "from", "value")
    else:
        turns = _two(row)
        given = _text(row.get("input") or "", "input")
    _check_order([role for role, _ in turns])
    messages = []
    for place, (role, said) in enumerate(turns):
        text = _text(said, f"{role} of turn {place}")
        if not text.strip() and role == "assistant":
            raise _Unfit("empty_response", f"The assistant says nothing in turn {place}.")
        if not text.strip() and role == "user":
            raise _Unfit("missing_field", f"The user asks nothing in turn {place}.")
        messages.append(Message(role=role, content=text))
    return tuple(messages), given if given and given.strip() else None


def _two(row: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """Return the question and the answer of a row of columns."""
    answer = "response" if row.get("output") is None and "response" in row else "output"
    for key, what in (("instruction", "instruction"), (answer, "output (or response)")):
        if key not in row:
            there = ", ".join(sorted(map(str, row))[:20]) or "nothing"
            raise _Unfit("missing_field", f"The row has no {what}; it has {there}.")
        if row[key] is None:
            raise _Unfit("missing_field", f"Its {key} is null, text is wanted.")
    return [("user", row["instruction"]), ("assistant", row[answer])]


def _turns(value: Any, role: str, content: str) -> list[tuple[str, Any]]:
    """Return who speaks in each turn, and what they say."""
    if not isinstance(value, list) or not all(
        isinstance(one, Mapping) and role in one and content in one for one in value
    ):
        what = f"Its turns are not a list of objects, each with {role} and {content}."
        raise _Unfit("missing_field", what)
    return [(_ROLES.get(str(one[role]), str(one[role])), one[content]) for one in value]


def _check_order(roles: list[str]) -> None:
    """Make sure that user and assistant speak in turn, the assistant last."""
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        shown = ", ".join(role[:20] for role in roles[:8]) or "none"
        more = ", …" if len(roles) > 8 else ""
        raise _Unfit(
            "turn_order",
            f"Its turns are {shown}{more}; user and assistant in turn are wanted, the assistant "
            f"last.",
        )


def _text(value: Any, what: str) -> str:
    """Return a value that is text."""
    if not isinstance(value, str):
        raise _Unfit("missing_field", f"Its {what} is a {type(value).__name__}, text is wanted.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Unfit("not_a_row", f"Its {what} has half a character, which is no text.") from error
    return value
