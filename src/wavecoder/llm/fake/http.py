"""HTTP/1.1 on a bare socket, as far as the fake endpoint needs it: what comes in, what goes out."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["Answer", "BadRequestError", "Connection", "Reader", "Request"]

_LARGEST_HEAD = 1 << 16  # bytes
_LARGEST_BODY = 1 << 24
_DRIPPED = 100  # bytes of a body that come one at a time
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """A request, whole."""

    method: str
    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes
    stays: bool
    """The connection is kept for more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back for one request."""

    body: bytes
    status: int = 200
    headers: str = ""
    """More header lines, each with its line end."""
    streamed: bool = False
    """The body is a stream of events, sent in chunks."""
    kept_back: int = 0
    """Bytes at the end of the body that are promised and not sent."""

    def wire(self, *, stays: bool) -> tuple[bytes, bytes]:
        """Return head and body as they are sent."""
        kind, length = "application/json", f"Content-Length: {len(self.body)}"
        body = self.body
        if self.streamed:
            kind, length = "text/event-stream", "Transfer-Encoding: chunked"
            *events, rest = body.split(b"\n\n")
            chunks = [event + b"\n\n" for event in events] + ([rest] if rest else [])
            body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
            body += b"0\r\n\r\n"
        connection = "keep-alive" if stays else "close"
        head = (
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\nContent-Type: {kind}\r\n"
            f"{length}\r\n{self.headers}Connection: {connection}\r\n\r\n"
        )
        return head.encode("latin-1"), body[: len(body) - self.kept_back]


class BadRequestError(Exception):
    """What came is no request we take; `status` says why."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Reader:
    """Cuts the bytes of a connection into requests."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: tuple[str, str, dict[str, str], bool] | None = None
        self._at = 0  # where the body, or the next chunk of it, begins
        self._chunks = bytearray()
        self.waits_for_consent = False
        """The client holds the body back until it is told to continue."""

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._data += data

    def next(self) -> Request | None:
        """Return the next request, or None until all of it is there.

        Raises:
            BadRequestError: It is malformed or too large.
        """
        if self._head is None:
            end = self._data.find(b"\r\n\r\n")
            if end > _LARGEST_HEAD or (end < 0 and len(self._data) > _LARGEST_HEAD):
                raise BadRequestError(431, f"The headers have more than {_LARGEST_HEAD} bytes")
            if end < 0:
                return None
            self._head = _read_head(self._data[:end].decode("latin-1"))
            self._at = end + 4
            self.waits_for_consent = self._head[2].get("expect", "").lower() == "100-continue"
        method, path, headers, stays = self._head
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._read_chunks()
        else:
            body = self._read_length(headers.get("content-length", "0"))
        if body is None:
            return None
        del self._data[: self._at]
        self._head, self._chunks, self.waits_for_consent = None, bytearray(), False
        return Request(method, path, headers, body, stays)

    def _read_length(self, length: str) -> bytes | None:
        if not (length.isascii() and length.isdigit()):
            raise BadRequestError(400, f"The Content-Length is {length!r}")
        end = self._at + int(length)
        if int(length) > _LARGEST_BODY:
            raise BadRequestError(413, f"The body has more than {_LARGEST_BODY} bytes")
        if len(self._data) < end:
            return None
        body = bytes(self._data[self._at : end])
        self._at = end
        return body

    def _read_chunks(self) -> bytes | None:
        data = self._data
        while True:
            line_end = data.find(b"\r\n", self._at)
            if line_end < 0:
                return None
            digits = bytes(data[self._at : line_end]).partition(b";")[0].strip()
            try:
                size = int(digits, 16)
            except ValueError as error:
                raise BadRequestError(400, f"A chunk has the size {digits!r}") from error
            if size < 0 or len(self._chunks) + size > _LARGEST_BODY:
                raise BadRequestError(413, f"The body has more than {_LARGEST_BODY} bytes")
            if size == 0:  # trailers may follow, up to an empty line
                end = data.find(b"\r\n\r\n", line_end)
                if end < 0:
                    return None
                self._at = end + 4
                return bytes(self._chunks)
            start, end = line_end + 2, line_end + 2 + size
            if len(data) < end + 2:
                return None
            self._chunks += data[start:end]
            self._at = end + 2


class Connection(asyncio.Protocol):
    """A client's connection; it takes one request at a time, in order."""

    def __init__(
        self, handle: Callable[["Connection", Request], None], opened: set["Connection"]
    ) -> None:
        """Take where requests go.

        Args:
            handle: Gets each request and sees to it that there is an answer.
            opened: Holds the connection as long as it is open.
        """
        self._handle, self._opened = handle, opened
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._working = False
        self._stays = True
        self.timer: asyncio.TimerHandle | None = None
        """What will answer; given up when the client leaves."""
        self.gone: Callable[[], None] | None = None
        """Called once if the client leaves, or is sent away, before the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._opened.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and handle the request that they complete."""
        self._reader.feed(data)
        if not self._working:
            self._take()

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what was to be answered."""
        self._transport = None
        self._opened.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        gone, self.gone = self.gone, None
        if gone is not None:
            gone()

    def send(self, answer: Answer) -> None:
        """Send an answer; the next request may come."""
        if self._transport is None:
            return
        self.gone = self.timer = None
        head, body = answer.wire(stays=self._stays)
        self._transport.write(head + body)
        self._sent(closes=answer.kept_back > 0)

    def drip(self, answer: Answer, seconds: float, done: Callable[[], None]) -> None:
        """Send an answer whose first bytes come one at a time, and call `done` before the last.

        Args:
            answer: The answer.
            seconds: Between two bytes.
            done: Called if the client waits for all of it.
        """
        head, body = answer.wire(stays=self._stays)
        loop = asyncio.get_running_loop()

        def step(at: int) -> None:
            if self._transport is None:
                return
            if at < min(_DRIPPED, len(body) - 1):
                self._transport.write(body[at : at + 1])
                self.timer = loop.call_later(seconds, step, at + 1)
                return
            self.gone = self.timer = None
            done()
            self._transport.write(body[at:])
            self._sent(closes=False)

        if self._transport is not None:
            self._transport.write(head)
            step(0)

    def reset(self) -> None:
        """End the connection with a reset (RST), which loses what is under way."""
        if self._transport is not None:
            # Lingering for no time is what turns the end into a reset.
            linger = struct.pack("ii", 1, 0)
            bare: socket.socket = self._transport.get_extra_info("socket")
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def _take(self) -> None:
        try:
            request = self._reader.next()
        except BadRequestError as error:
            self._stays, self._working = False, True
            words = f'{{"error": {{"message": "{error}", "code": null}}}}'.encode()
            self.send(Answer(words, error.status))
            return
        if request is not None:
            self._working, self._stays = True, request.stays
            self._handle(self, request)
        elif self._reader.waits_for_consent and self._transport is not None:
            self._reader.waits_for_consent = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _sent(self, *, closes: bool) -> None:
        assert self._transport is not None
        if closes or not self._stays:
            self._transport.close()
            return
        self._working = False
        # A client may have sent its next request already; not from here, as that would recurse.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._working and self._transport is not None:
            self._take()


def _read_head(text: str) -> tuple[str, str, dict[str, str], bool]:
    """Return method, path, headers, and whether the connection is kept for more."""
    first, *lines = text.lstrip("\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequestError(400, "The first line is none of HTTP/1.1")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    wanted = headers.get("connection", "").lower()
    stays = wanted != "close" if parts[2] == "HTTP/1.1" else wanted == "keep-alive"
    return parts[0], parts[1].partition("?")[0], headers, stays
