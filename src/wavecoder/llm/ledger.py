"""Every reply on disk before it is used, and looked up before it is asked for again.

```python
with Ledger(Path("replies.sqlite")) as ledger:
    model = Remembering(open_model("local:qwen2.5-coder-0.5b-instruct"), ledger)
```

The file is SQLite, so `sqlite3 replies.sqlite 'select text from replies'` reads it. A committed
reply survives a killed process; a machine that loses power may lose the last few (WAL with
`synchronous=NORMAL`: the file stays whole, and what is lost is asked for again).
"""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic_core import PydanticSerializationError

from wavecoder.artifact import writing
from wavecoder.errors import ArtifactError
from wavecoder.machine import network_file_system
from wavecoder.records import ChatReply, ChatRequest, FinishReason

__all__ = ["Ledger", "key_of", "plain_text"]

_APPLICATION_ID = 0x57436C67  # "WClg"; SQLite keeps it in the file's header
_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    seconds REAL NOT NULL,
    endpoint TEXT,
    created TEXT NOT NULL
)
"""
_REPLY_COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, seconds, endpoint"
_INSERT = (
    f"INSERT OR IGNORE INTO replies (key, model, request, attempt, {_REPLY_COLUMNS}, created) "
    f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TOGETHER = 0.005  # seconds that a reply waits for others, to be written with them
# Pages of 4 kB in the log before they are moved into the file, which waits for the disk.
_CHECKPOINT_PAGES = 8_000
_WAIT_FOR_LOCK = 30.0  # seconds; another process holds it for milliseconds


class Ledger:
    """The store of replies; one connection, used from the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            ArtifactError: It cannot be opened or written, or is no ledger.
        """
        self.path = path
        self._pending: list[tuple[tuple[Any, ...], asyncio.Future[bool]]] = []
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        kind = network_file_system(path.parent)
        if kind is not None:
            raise ArtifactError(
                f"The ledger of replies {path} would be on {kind}, a network file system, where "
                f"SQLite can lose replies. Name a file on a local disk with --replies."
            )
        with self._guarded():
            # No implicit transactions: each statement commits before it returns.
            self._db = sqlite3.connect(path, timeout=_WAIT_FOR_LOCK, isolation_level=None)
        try:
            with self._guarded():
                self._prepare()
        except ArtifactError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        # Under the write lock, so that two processes that begin together do not see half of it.
        self._db.execute("BEGIN IMMEDIATE")
        (application_id,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application_id != _APPLICATION_ID and (application_id or version or tables):
            raise ArtifactError(
                f"{self.path} is a database of another program, not a ledger of replies. "
                f"Name another file for the replies."
            )
        if version not in (0, _VERSION):
            age, do = ("a newer", "Upgrade") if version > _VERSION else ("an older", "Downgrade")
            raise ArtifactError(
                f"{self.path} was made by {age} wavecoder (ledger version {version}, this one "
                f"reads {_VERSION}). {do} wavecoder, or name another file for the replies."
            )
        self._db.execute(_SCHEMA)
        self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    @staticmethod
    def key(model_identity: str, request: ChatRequest) -> str:
        """Return 32 hexadecimal digits that stand for a request to a model."""
        return key_of(model_identity, request.attempt, plain_text(request))

    def get(self, key: str) -> ChatReply | None:
        """Return the reply stored under `key`, if there is one."""
        with self._guarded():
            row = self._db.execute(
                f"SELECT {_REPLY_COLUMNS} FROM replies WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        text, finish_reason, prompt_tokens, completion_tokens, seconds, endpoint = row
        return ChatReply(
            text=text,
            finish_reason=FinishReason(finish_reason),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=seconds,
            endpoint=endpoint,
        )

    async def store(
        self, key: str, model_identity: str, attempt: int, plain: str, reply: ChatReply
    ) -> ChatReply:
        """Store a reply, in one transaction with those of the next few milliseconds.

        It is on disk when this returns. Who is cancelled meanwhile loses nothing: the reply is
        stored all the same.

        Args:
            key: Of the request, by `key_of`.
            model_identity: The model's.
            attempt: The request's.
            plain: The request, by `plain_text`.
            reply: What the model replied.

        Returns:
            The reply to use, as it is stored: the earlier one if another process was faster, so
            that all who ask get the same; lone surrogates, which no file can hold, as `?`.

        Raises:
            ArtifactError: It cannot be written.
        """
        reply = _storable(reply)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        if not self._pending:
            loop.call_later(_TOGETHER, self._flush)
        self._pending.append((_row(key, model_identity, attempt, plain, reply), turn))
        try:
            new = await turn
        except asyncio.CancelledError:
            self._flush()  # somebody may ask the same next, or the event loop end
            raise
        return reply if new else self.get(key) or reply

    def _flush(self) -> None:
        """Store what waits to be stored, and tell those who wait for it."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            stored = self._insert([row for row, _ in pending])
        except BaseException as error:
            for _, turn in pending:
                if not turn.done():
                    turn.set_exception(error)
            if not isinstance(error, ArtifactError):
                raise
            return
        # All were new, or each looks for itself: another process was faster with one of them.
        for _, turn in pending:
            if not turn.done():
                turn.set_result(stored == len(pending))

    def _insert(self, rows: list[tuple[Any, ...]]) -> int:
        """Store rows in one transaction; return how many were new."""
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                stored = self._db.executemany(_INSERT, rows).rowcount
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return stored

    def usage(self) -> dict[str, tuple[int, int]]:
        """Return the prompt and completion tokens of all replies stored, by model.

        Where the endpoint did not say, as many as there can have been: one a character, and as
        many as the request allowed.
        """
        with self._guarded():
            rows = self._db.execute(
                "SELECT model, total(coalesce(prompt_tokens, length(request))), total(coalesce("
                "completion_tokens, json_extract(request, '$.sampling.max_tokens'))) "
                "FROM replies GROUP BY model"
            ).fetchall()
        return {model: (int(prompt), int(completion)) for model, prompt, completion in rows}

    def count(self) -> int:
        """Return how many replies are stored."""
        with self._guarded():
            (count,) = self._db.execute("SELECT count(*) FROM replies").fetchone()
        return int(count)

    def close(self) -> None:
        """Store what waits to be stored, and close the file; idempotent."""
        self._flush()
        with self._guarded():
            self._db.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what SQLite says into an ArtifactError that says what to do."""
        try:
            yield
        except sqlite3.ProgrammingError:  # used after close, or from another thread: our defect
            raise
        except sqlite3.Error as error:
            # The low byte is the kind of error, the high ones refine it.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise ArtifactError(
                f"Cannot use the ledger of replies {self.path}: {error}. {_advice(code)}"
            ) from error


def plain_text(request: ChatRequest) -> str:
    """Return a request as the text that is stored and that its key stands for."""
    # Without what is None: an optional field added later leaves the keys of old requests alone.
    try:
        return request.model_dump_json(exclude_none=True, exclude={"attempt"})
    except PydanticSerializationError:  # half a character, which JSON can only escape
        return json.dumps(request.model_dump(mode="python", exclude_none=True, exclude={"attempt"}))


def key_of(model_identity: str, attempt: int, plain: str) -> str:
    """Return 32 hexadecimal digits that stand for a request, given as its plain text."""
    hashed = blake2b(f"{attempt} {model_identity}\n".encode(), digest_size=16)
    hashed.update(plain.encode())
    return hashed.hexdigest()


def _storable(reply: ChatReply) -> ChatReply:
    """Return a reply that SQLite takes: without half characters."""
    text = reply.text.encode("utf-8", "replace").decode("utf-8")
    return reply if text == reply.text else reply.model_copy(update={"text": text})


def _row(
    key: str, model_identity: str, attempt: int, plain: str, reply: ChatReply
) -> tuple[Any, ...]:
    return (
        key,
        model_identity,
        plain,
        attempt,
        reply.text,
        reply.finish_reason.value,
        reply.prompt_tokens,
        reply.completion_tokens,
        reply.seconds,
        reply.endpoint,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _advice(code: int) -> str:
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return "It is damaged or is no ledger: move it away, or name another file for the replies."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another process holds it: wait for that one, then give the same command again."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return "Check that the file and its folder can be written, or name another file."
    return "No reply stored is lost: make room on the disk, then give the same command again."
