"""What is trained on, as turns: instances, and the rows of other datasets.

| rows                                                    | known from            |
|---------------------------------------------------------|-----------------------|
| `instruction`, `input` (may be absent), `output`        | Alpaca                |
| `instruction`, `response`                               | evol-codealpaca       |
| `messages`: a list of `role`, `content`                 | chat endpoints        |
| `conversations`: a list of `from`, `value`              | ShareGPT              |

A file is read row by row; at most some hundred rows are in memory.
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

from wavecoder.errors import ConfigError, MissingExtraError
from wavecoder.records import Instance, Message, Rejected, digest
from wavecoder.train.config import Mix

__all__ = ["Conversation", "from_instance", "read_mix"]

_COLUMNS = ("instruction", "input", "output", "response", "messages", "conversations")
_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
_CHUNK = 2**20  # characters of a JSON list read at a time
_BATCH = 256  # rows of a table turned into Python at a time


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
    for number, row in enumerate(_file(mix.path) if mix.path is not None else _hub(mix), 1):
        if row is _BLANK:
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
    if mix.path is not None and (keys := _keys_of_one(mix.path)) is not None:
        raise ConfigError(
            f"{source} is one JSON object, of {', '.join(keys[:20]) or 'nothing'}. Give its list "
            f"of rows alone, or an object a line."
        )
    raise ConfigError(f"No row of {source} can be trained on; the first: {first.detail} {_WANTED}")


_FORM = ("not_a_row", "missing_field")
"""Reasons that say something of a dataset's form; the others, of a row's content."""
_WANTED = (
    "Give one with instruction and output (or response), with messages, or with conversations."
)
_BLANK = object()
"""A line that is no row, and is counted."""


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
    if isinstance(row, _Fault):
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


@dataclass(frozen=True, slots=True)
class _Fault:
    """A row that cannot be read."""

    detail: str


_ENCODING = "it is not in UTF-8; save the file in that"


def _file(path: Path) -> Iterator[Any]:
    """Yield the rows of a file.

    Raises:
        ConfigError: It cannot be read, or is of no known form.
    """
    try:
        if path.name.lower().endswith(".parquet"):
            yield from _table(path)
        elif _is_json(path):
            with _opened(path) as file:
                yield from _json(path, file)
        else:
            raise ConfigError(
                f"{path} is in no form that is known by its name. Give a .json, .jsonl (.gz) or "
                f".parquet file."
            )
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise ConfigError(
            f"{path} cannot be read: {reason}. Mend its path, or get it again."
        ) from error


def _is_json(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".json", ".jsonl"))


def _opened(path: Path) -> IO[bytes]:
    packed = path.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _keys_of_one(path: Path) -> list[str] | None:
    """Return the keys of a file that is one JSON object, rows and all; None where it is not."""
    if not _is_json(path):
        return None
    try:
        with _opened(path) as file:
            found = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    return [str(key) for key in found] if isinstance(found, dict) else None


def _json(path: Path, file: IO[bytes]) -> Iterator[Any]:
    """Yield the items of a JSON list, or the values of JSON lines, `_BLANK` for a blank one."""
    begin = file.read(_CHUNK)
    file.seek(0)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{path} is in UTF-16, and JSON is wanted in UTF-8. Save it in that.")
    if begin.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
        yield from _items(path, file)
        return
    for line in file:
        text = line.removeprefix(codecs.BOM_UTF8).strip()
        yield _value(text) if text else _BLANK


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except UnicodeDecodeError:
        return _Fault(_ENCODING)
    except (ValueError, RecursionError) as error:
        return _Fault(f"it is no JSON ({_first_line(error)})")


def _items(path: Path, file: IO[bytes]) -> Iterator[Any]:
    """Yield the items of a JSON list one by one, as they are read."""
    reader = io.TextIOWrapper(file, encoding="utf-8-sig")
    decoder = json.JSONDecoder()
    row, ended = 1, False
    try:
        text = reader.read(_CHUNK)
        at = text.index("[") + 1
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if text[at : at + 1] == "]":
                return
            try:
                value, end = decoder.raw_decode(text, at)
            except ValueError:
                if ended:
                    raise
                end = len(text)
            if end == len(text) and not ended:
                # A number may go on where the text that was read ends. Twice as much each time: a
                # long item is not parsed from its start again and again.
                more = reader.read(max(_CHUNK, len(text) - at))
                text, at, ended = text[at:] + more, 0, not more
                continue
            yield value
            at, row = end, row + 1
    except (ValueError, RecursionError) as error:
        why = _ENCODING if isinstance(error, UnicodeDecodeError) else _first_line(error)
        raise ConfigError(
            f"{path} is a JSON list that cannot be read at row {row}: {why}. Mend it, or get it "
            f"again."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _table(path: Path) -> Iterator[Any]:
    """Yield the rows of a parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = _known(str(path), file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH, columns=names):
                yield from batch.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as parquet: {_first_line(error)}. Get it again."
        ) from error


def _hub(mix: Mix) -> Iterator[Any]:
    """Yield the rows of a dataset on the hub."""
    if find_spec("datasets") is None:
        raise MissingExtraError(
            f"The dataset {mix.hub} is read with the library datasets, which is not installed. "
            f"Install it: pip install 'wavecoder[hub]'."
        )
    datasets: Any = import_module("datasets")
    try:
        found = datasets.load_dataset(mix.hub, split=mix.split, revision=mix.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ConfigError(
            f"The dataset {mix.hub} does not load: {_first_line(error)}. "
            f"Check its name, its split and that the hub can be reached."
        ) from error
    names = _known(str(mix.hub), found.column_names)
    for batch in found.select_columns(names).with_format("arrow").iter(_BATCH):
        yield from batch.to_pylist()


def _known(source: str, names: list[str]) -> list[str]:
    """Return the columns that are read.

    Raises:
        ConfigError: No row can be of a known form.
    """
    has = set(names)
    answers = has & {"output", "response"}
    if not has & {"messages", "conversations"} and not ("instruction" in has and answers):
        raise ConfigError(
            f"No row of {source} can be trained on: it has the columns "
            f"{', '.join(names[:20]) or 'none'}. {_WANTED}"
        )
    return [name for name in _COLUMNS if name in has]
