"""What every route has in common, against a real server; the rest is tested through its users."""

import asyncio

import pytest
from aiohttp import web

from wavecoder.errors import ModelError, RefusedRequestError
from wavecoder.llm.route import Route, TransientError

KEY = "sk-secret-0123456789"


def ask(handle, read=lambda content, seconds: content, path="/v1", **words):
    """Return what `read` makes of the reply of a server that answers with `handle`."""

    async def main():
        app = web.Application()
        app.router.add_post("/v1/things", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        spec = f"http://127.0.0.1:{runner.addresses[0][1]}{path}#tiny"
        route = Route(spec, "/things", api_key_env="TINY_KEY", first_wait=0.001)
        try:
            return await route.post({"n": 1}, read, **words)
        finally:
            await route.close()
            await runner.cleanup()

    return asyncio.run(main())


def answer(status, text):
    async def handle(request):
        return web.Response(status=status, text=text)

    return handle


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TINY_KEY", KEY)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/things", "/v1/things/"])
def test_the_path_may_be_in_the_address_and_the_query_is_sent_but_not_shown(path):
    async def handle(request):
        return web.Response(text=f"{request.path_qs} {await request.text()}")

    sent = ask(handle, path=f"{path}?version=2")
    assert sent == b'/v1/things?version=2 {"model": "tiny", "n": 1}'
    route = Route(f"http://host:1{path}?version=2#a/b", "/things")
    assert (route.address, route.name) == ("http://host:1/v1", "a/b")


def test_a_reply_that_cannot_be_read_is_tried_again():
    read = []

    def third(content, seconds):
        read.append(content)
        if len(read) < 3:
            raise TransientError("not yet")
        return "good"

    assert ask(answer(200, "x"), third) == "good"
    assert read == [b"x"] * 3


def test_a_reply_that_is_never_read_is_said_without_the_key():
    def never(content, seconds):
        raise TransientError(f"it is {content!r}")

    with pytest.raises(ModelError, match=r"\(it is b'Bearer \*\*\*'; try 5 of 5\)"):
        ask(answer(200, f"Bearer {KEY}"), never)


def test_a_refusal_says_of_what_and_what_to_do():
    with pytest.raises(RefusedRequestError) as caught:
        ask(answer(413, "too long"), what="two functions", do="Cut them.")
    assert str(caught.value) == "tiny refuses two functions: HTTP 413: too long. Cut them."
    with pytest.raises(RefusedRequestError) as caught:
        ask(answer(413, "too long"))
    assert str(caught.value) == "tiny refuses the request: HTTP 413: too long."


def test_a_key_is_not_shown_where_the_words_are_cut_off():
    with pytest.raises(RefusedRequestError) as caught:
        ask(answer(400, "x" * 290 + KEY))
    assert "sk-" not in str(caught.value)


def test_words_that_are_too_deep_to_read_are_shown_as_they_are():
    with pytest.raises(RefusedRequestError, match=r"HTTP 400: \[{300}\.$"):
        ask(answer(400, "[" * 100_000))


async def no_http(request):
    request.transport.write(b"\0\xff not HTTP\r\n\r\n")
    request.transport.close()
    return web.Response()


async def no_gzip(request):
    return web.Response(body=b"plain", headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("handle", [no_http, no_gzip])
def test_a_connection_that_fails_is_one_line_without_the_query(handle):
    with pytest.raises(ModelError, match="the connection failed: 400") as caught:
        ask(handle, path="/v1?key=a+/secret")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "nan", "soon"])
def test_a_wait_that_cannot_be_read_is_none(date):
    handlers = [503, 200]

    async def handle(request):
        return web.Response(status=handlers.pop(0), headers={"Retry-After": date}, text="x")

    assert ask(handle) == b"x"


def test_a_closed_route_can_be_used_in_another_event_loop():
    async def main(route):
        with pytest.raises(ModelError, match="try 5 of 5"):
            await route.post({}, lambda content, seconds: content)
        await route.close()
        await route.close()

    route = Route("http://127.0.0.1:9/v1#tiny", "/things", first_wait=0.001)
    asyncio.run(main(route))
    asyncio.run(main(route))
