"""Addresses of the wrong scheme, and certificates not to be trusted, over real TLS sockets."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from wavecoder.errors import FailedRequestError, ModelError, RefusedRequestError
from wavecoder.llm.fake.server import FakeServer
from wavecoder.llm.route import Route

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes certificates")

_AUTHORITY = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
unique_subject = no
default_md = sha256
copy_extensions = copy
policy = any
[any]
commonName = supplied
"""
# In a process of its own: which certificates are trusted is read once.
ASK = """
import asyncio, sys
from wavecoder.errors import ModelError
from wavecoder.llm.route import Route
async def main():
    route = Route(sys.argv[1] + "/v1#tiny", "/things")
    try:
        print((await route.post({}, lambda content, seconds, address: content)).decode())
    except ModelError as error:
        print(error)
    await route.close()
asyncio.run(main())
"""


@pytest.fixture
def certify(tmp_path: Path) -> Callable[..., Path]:
    """Make a certificate that signs itself, its key in the same file."""

    def make(names: str = "IP:127.0.0.1", until: str = "20991231000000Z") -> Path:
        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

        (tmp_path / "authority").write_text(_AUTHORITY)
        (tmp_path / "index.txt").write_text("")
        (tmp_path / "serial").write_text("01")
        request = "req -new -newkey rsa:2048 -nodes -keyout key -out asked -subj /CN=tiny -addext"
        openssl(*request.split(), f"subjectAltName={names}")
        sign = "ca -batch -selfsign -notext -config authority -in asked -keyfile key -out signed"
        openssl(*sign.split(), "-startdate", "20200101000000Z", "-enddate", until)
        path = tmp_path / "certificate.pem"
        path.write_text((tmp_path / "signed").read_text() + (tmp_path / "key").read_text())
        return path

    return make


@asynccontextmanager
async def serving(certificate: Path | None) -> AsyncIterator[int]:
    """Answer POST /v1/things with `good`; gives the port."""

    async def good(request: web.Request) -> web.Response:
        return web.Response(text="good")

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_post("/v1/things", good)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def said(address: str, count: int = 1) -> str:
    """Return what is said of an address that takes nothing, the same for all who ask at once.

    One that is asked again says that it does not answer, and for how long.
    """
    route = Route(f"{address}/v1#tiny", "/things")
    posts = (route.post({}, lambda content, seconds, address: content) for _ in range(count))
    ends = await asyncio.gather(*posts, return_exceptions=True)
    await route.close()
    assert all(isinstance(end, ModelError) for end in ends), ends
    assert not any(isinstance(end, RefusedRequestError | FailedRequestError) for end in ends)
    (words,) = {str(end) for end in ends}
    assert "\n" not in words
    return words


def test_https_to_a_server_that_speaks_http_says_what_to_write():
    async def main() -> None:
        async with serving(None) as port:
            words = await said(f"https://127.0.0.1:{port}", 5)
            assert words == (
                f"https://127.0.0.1:{port}/v1 speaks http and is not written so. "
                f"Write http:// in the address."
            )

    asyncio.run(main())


def test_https_to_a_server_that_waits_for_the_rest_says_what_to_write(
    fake_server: Callable[..., FakeServer], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("wavecoder.llm.route._FIRST_CONNECT_SECONDS", 0.3)
    url = fake_server().url.removesuffix("/v1")

    async def main() -> None:
        assert "/v1 speaks http and is not" in await said(url.replace("http:", "https:"), 5)

    asyncio.run(main())


def test_http_to_a_server_that_speaks_tls_says_what_to_write(certify: Callable[..., Path]):
    async def main() -> None:
        async with serving(certify()) as port:
            words = await said(f"http://127.0.0.1:{port}", 5)
            assert words.endswith(
                "speaks https and is not written so. Write https:// in the address."
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    "words",
    [
        "<html>The plain HTTP request was sent to HTTPS port</html>",
        "Client sent an HTTP request to an HTTPS server.\n",
    ],
)
def test_a_server_that_says_in_http_that_it_wants_tls_is_believed(words: str):
    reply = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(words)}\r\n\r\n{words}".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert "speaks https and is not written so" in await said(f"http://127.0.0.1:{port}")

    asyncio.run(main())


def test_what_speaks_neither_is_not_told_from_its_scheme(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wavecoder.llm.tls._LOOK_SECONDS", 0.1)
    monkeypatch.setattr("wavecoder.llm.route._FIRST_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr("wavecoder.llm.route._CONNECT_SECONDS", 0.1)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            route = Route(f"https://127.0.0.1:{port}/v1#tiny", "/things", first_wait=0.005)
            with pytest.raises(
                ModelError, match=r"does not answer .no connection: .*Check that it"
            ):
                await route.post({}, lambda content, seconds, address: content)
            await route.close()

    asyncio.run(main())


def test_a_certificate_that_signs_itself_is_said_at_once(certify: Callable[..., Path]):
    async def main() -> None:
        async with serving(certify()) as port:
            words = await said(f"https://127.0.0.1:{port}", 5)
            assert words.startswith(
                f"https://127.0.0.1:{port}/v1 has no certificate to trust (self-signed certificate)"
            )
            assert words.endswith(
                "the certificate's file in the environment variable SSL_CERT_FILE."
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("names", "until", "words"),
    [
        ("IP:127.0.0.1", "20991231000000Z", ("good",)),
        (
            "IP:127.0.0.1",
            "20200102000000Z",
            ("(certificate has expired). Have the certificate renewed, or set the clock",),
        ),
        (
            "IP:127.0.0.2",
            "20991231000000Z",
            ("certificate is not valid for '127.0.0.1'). Write the host as", "has no certificate"),
        ),
    ],
)
def test_a_certificate_that_is_trusted_by_its_file_must_fit(
    certify: Callable[..., Path], names: str, until: str, words: tuple[str, ...]
):
    certificate = certify(names, until)

    async def main() -> None:
        async with serving(certificate) as port:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", ASK, f"https://127.0.0.1:{port}"),
                env={**os.environ, "SSL_CERT_FILE": str(certificate)},
                stdout=subprocess.PIPE,
            )
            out, _ = await process.communicate()
        assert out.count(b"\n") == 1
        assert all(one in out.decode() for one in words), out

    asyncio.run(main())
