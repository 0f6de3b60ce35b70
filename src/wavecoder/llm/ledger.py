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

from wavecoder.artifact import writing
from wavecoder.errors import ArtifactError, WaveCoderError
from wavecoder.protocols import ChatModel
from wavecoder.records import ChatReply, ChatRequest, FinishReason

__all__ = ["Ledger", "Remembering"]

_APPLICATION_ID = 0x57436C67  # "WClg"; SQLite keeps it in the file's header
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    created TEXT NOT NULL
)
"""
_REPLY_COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, seconds"
_WAIT_FOR_LOCK = 30.0  # seconds; another process holds it for milliseconds


class Ledger:
    """The store of replies; one connection, used from the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            ArtifactError: It cannot be opened or written, or is no ledger.
        """
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
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
        if version > _VERSION:
            raise ArtifactError(
                f"{self.path} was made by a newer wavecoder (ledger version {version}, this one "
                f"reads {_VERSION}). Upgrade wavecoder, or name another file for the replies."
            )
        self._db.execute(_SCHEMA)
        self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    @staticmethod
    def key(model_identity: str, request: ChatRequest) -> str:
        """Return 32 hexadecimal digits that stand for a request to a model."""
        # The 0 says nothing; without it, the keys of the ledgers there are would be others.
        parts = json.dumps([model_identity, _plain(request), 0], sort_keys=True)
        return blake2b(parts.encode(), digest_size=16).hexdigest()

    def get(self, key: str) -> ChatReply | None:
        """Return the reply stored under `key`, if there is one."""
        with self._guarded():
            row = self._db.execute(
                f"SELECT {_REPLY_COLUMNS} FROM replies WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        text, finish_reason, prompt_tokens, completion_tokens, seconds = row
        return ChatReply(
            text=text,
            finish_reason=FinishReason(finish_reason),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=seconds,
        )

    def put(
        self, key: str, reply: ChatReply, *, model_identity: str, request: ChatRequest
    ) -> ChatReply:
        """Store a reply; it is on disk when this returns.

        Returns:
            The reply to use, as it is stored: the earlier one if another process was faster, so
            that all who ask get the same; lone surrogates, which no file can hold, as `?`.
        """
        row = (
            key,
            model_identity,
            json.dumps(_plain(request)),
            reply.text.encode("utf-8", "replace").decode("utf-8"),
            reply.finish_reason.value,
            reply.prompt_tokens,
            reply.completion_tokens,
            reply.seconds,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._guarded():
            self._db.execute(
                f"INSERT OR IGNORE INTO replies (key, model, request, {_REPLY_COLUMNS}, created) "
                f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        return self.get(key) or reply

    def count(self) -> int:
        """Return how many replies are stored."""
        with self._guarded():
            (count,) = self._db.execute("SELECT count(*) FROM replies").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file; idempotent."""
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


def _plain(request: ChatRequest) -> dict[str, Any]:
    # Without what is None: an optional field added later leaves the keys of old requests alone.
    return request.model_dump(mode="json", exclude_none=True)


def _advice(code: int) -> str:
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return "It is damaged or is no ledger: move it away, or name another file for the replies."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another process holds it: wait for that one, then give the same command again."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return "Check that the file and its folder can be written, or name another file."
    return "No reply stored is lost: make room on the disk, then give the same command again."


class _Flight:
    """A request on its way; others who ask the same wait for it."""

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.error: WaveCoderError | None = None


class Remembering:
    """A chat model that asks another one only for what the ledger does not hold.

    Equal requests in flight at the same time are sent once. Whoever opened the ledger closes it.
    """

    def __init__(self, model: ChatModel, ledger: Ledger) -> None:
        """Put `ledger` in front of `model`."""
        self.identity = model.identity
        self.concurrency = model.concurrency
        self.asked = 0
        """Requests sent to the model."""
        self.remembered = 0
        """Replies that came from the ledger or from an equal request in flight."""
        self._model = model
        self._ledger = ledger
        self._flights: dict[str, _Flight] = {}

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply to `request`, stored before it is returned.

        Raises:
            RefusedRequestError: This request can never succeed.
            ModelError: The model does not answer.
            ArtifactError: The ledger cannot be read or written.
        """
        key = Ledger.key(self.identity, request)
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            # Landed, or its asker was cancelled: then the first who waited asks in its place.
        stored = self._ledger.get(key)
        if stored is not None:
            self.remembered += 1
            return stored
        flight = self._flights[key] = _Flight()
        self.asked += 1
        try:
            reply = await self._model.complete(request)
            return self._ledger.put(key, reply, model_identity=self.identity, request=request)
        except WaveCoderError as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()

    async def close(self) -> None:
        """Release the model; the ledger stays open."""
        await self._model.close()
