"""What is wrong with an address that no connection begins to: its scheme, or its certificate."""

import asyncio
import re
import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from wavecoder.llm.gate import Endpoint

__all__ = ["address_problem", "says_https", "speaks"]

_LOOK_SECONDS = 3.0
"""A server that takes longer to begin is taken for silent."""
_MOST_BYTES = 4096
# What nginx and Go say to plain HTTP on a port that is for TLS.
_WRONG_SCHEME = re.compile(r"HTTP request (?:was sent )?to (?:an )?HTTPS", re.IGNORECASE)


class _Fault(NamedTuple):
    """Codes that OpenSSL gives (x509_vfy.h), and what a person can do then."""

    codes: tuple[int, ...]
    do: str


_FAULTS = (
    _Fault(
        (18, 19, 20, 21),  # signed by itself, or by somebody unknown here
        "If it is yours, name the certificate's file in the environment variable SSL_CERT_FILE.",
    ),
    _Fault((9, 10), "Have the certificate renewed, or set the clock of this machine."),
    _Fault((62, 64), "Write the host as the certificate names it."),
)


async def address_problem(endpoint: Endpoint, error: Exception) -> str | None:
    """Return what no later request will find otherwise, and what to do; None: it may pass.

    Args:
        endpoint: One that never replied. It is looked at, once, over a connection of its own, over
            which no key is sent.
        error: Why the connection failed, as aiohttp says it.
    """
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        wrong = error.certificate_error
        if isinstance(wrong, ssl.SSLCertVerificationError):
            does = (fault.do for fault in _FAULTS if wrong.verify_code in fault.codes)
            do = next(does, "Have the certificate mended.")
            return f"has no certificate to trust ({wrong.verify_message.rstrip('.')}). {do}"
    of_tls = isinstance(error, aiohttp.ClientSSLError)
    nobody = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError | socket.gaierror
    )
    if nobody:
        return None
    if endpoint.look is None:
        endpoint.look = asyncio.create_task(_other_scheme(endpoint.url))
    other = await asyncio.shield(endpoint.look)
    if other is not None:
        return speaks(other)
    if of_tls:
        return f"lets no TLS connection begin ({' '.join(str(error).split())}). Check the address."
    return None


def speaks(scheme: str) -> str:
    """Return what is said of an address that is written with the other one of http and https."""
    return f"speaks {scheme} and is not written so. Write {scheme}:// in the address."


def says_https(words: str) -> bool:
    """Say whether a refusal is that of a server that wants TLS."""
    return _WRONG_SCHEME.search(words) is not None


async def _other_scheme(url: str) -> str | None:
    """Return the scheme that the server at `url` speaks, if it is not the one written there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            if parts.scheme == "https":
                return "http" if await _speaks_http(host, parts.port or 443) else None
            return "https" if await _speaks_tls(host, parts.port or 80) else None
    except OSError:  # all that TLS and the network say, and that the time is over
        return None


async def _speaks_http(host: str, port: int) -> bool:
    """Say whether a plain request gets a reply, and not that of a server that wants TLS."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while len(got) < _MOST_BYTES and (more := await reader.read(_MOST_BYTES)):
            got += more
    finally:
        writer.transport.abort()
    return got.startswith(b"HTTP/") and not says_https(got.decode("latin-1"))


async def _speaks_tls(host: str, port: int) -> bool:
    """Say whether a handshake succeeds, whoever it is with."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.transport.abort()
    return True
