"""The embedder for endpoints, against a real server on a real socket that misbehaves as told."""

import asyncio
import base64
import json
import struct
import threading
import time

import numpy as np
import pytest
from aiohttp import web

from wavecoder.errors import ConfigError, ModelError, RefusedRequestError
from wavecoder.select.embedders.endpoint import Endpoint
from wavecoder.select.embedding import embed_records

KEY = "sk-secret-0123456789"


def vector(text):
    """What the server gives for a text."""
    return [len(text) / 8, float(text.count("a")), 1.0]


def embeddings(sent, make=vector):
    return [{"index": n, "embedding": make(text)} for n, text in enumerate(sent["input"])]


def data(change=lambda data: data, make=vector):
    """Answer with the embeddings, changed."""

    async def handle(request, sent):
        return web.json_response({"data": change(embeddings(sent, make))})

    return handle


def status(code, text="", **headers):
    async def handle(request, sent):
        return web.Response(status=code, text=text, headers=headers)

    return handle


def body(content):
    async def handle(request, sent):
        return web.Response(body=content, content_type="application/json")

    return handle


async def reset(request, sent):
    request.transport.abort()
    return web.Response()


async def truncated(request, sent):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"data": [')
    request.transport.close()
    return response


class Server:
    """Answers with `handlers` in turn, the last one for ever; remembers what it was asked."""

    def __init__(self):
        self.handlers = [data()]
        self.asked = []
        self.now = self.most = 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(ready,))
        self.thread.start()
        ready.wait()

    def _serve(self, ready):
        async def start():
            app = web.Application()
            app.router.add_post("/v1/embeddings", self.handle)
            self.runner = web.AppRunner(app)
            await self.runner.setup()
            await web.TCPSite(self.runner, "127.0.0.1", 0).start()
            self.port = self.runner.addresses[0][1]
            ready.set()

        self.loop.run_until_complete(start())
        self.loop.run_forever()
        self.loop.run_until_complete(self.runner.cleanup())
        self.loop.close()

    async def handle(self, request):
        sent = await request.json()
        self.asked.append((time.monotonic(), sent, request.headers.get("Authorization")))
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await handler(request, sent)
        finally:
            self.now -= 1

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def embedder(server):
    def make(**options):
        config = {"model": f"http://127.0.0.1:{server.port}/v1#tiny", **options}
        return Endpoint(Endpoint.Config(**config), first_wait=0.001)

    return make


@pytest.fixture
def codes(raw_code):
    return [raw_code("a" * (n % 7) + "b" * n, record_id=f"r{n}") for n in range(20)]


def expected(codes):
    return np.array([vector(raw.code) for raw in codes], dtype=np.float32)


def test_the_request_is_what_the_protocol_says_and_the_reply_is_read(server, embedder, codes):
    got = embedder().embed(codes)
    assert got.dtype == np.float32
    assert np.array_equal(got, expected(codes))
    ((_, sent, key),) = server.asked
    assert key is None
    assert sent == {
        "model": "tiny",
        "input": [raw.code for raw in codes],
        "encoding_format": "float",
    }


def test_requests_are_of_batch_size_and_few_at_a_time(server, embedder, codes):
    async def slow(request, sent):
        await asyncio.sleep(0.02)
        return await data()(request, sent)

    server.handlers = [slow]
    got = embedder(batch_size=3, in_flight=2).embed(codes)
    assert np.array_equal(got, expected(codes))
    assert sorted(len(sent["input"]) for _, sent, _ in server.asked) == [2, 3, 3, 3, 3, 3, 3]
    assert server.most == 2


def test_embeddings_may_come_in_any_order_and_in_base64(server, embedder, codes):
    server.handlers = [data(lambda data: data[::-1])]
    assert np.array_equal(embedder().embed(codes), expected(codes))
    server.handlers = [data(make=lambda text: encoded(vector(text)))]
    assert np.array_equal(embedder(encoding="base64").embed(codes), expected(codes))
    assert server.asked[-1][1]["encoding_format"] == "base64"


def encoded(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_options_reach_the_endpoint(server, embedder, raw_code, monkeypatch):
    monkeypatch.setenv("TINY_KEY", KEY)
    raw = raw_code("abcdef").model_copy(update={"docstring": "Doc."})
    embedder(docstring=True, max_characters=8, dimensions=3, api_key_env="TINY_KEY").embed([raw])
    ((_, sent, key),) = server.asked
    assert sent["input"] == ["Doc.\n\nab"]
    assert sent["dimensions"] == 3
    assert key == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "fault",
    [
        status(429, "slow down"),
        status(500),
        status(503, "loading"),
        reset,
        truncated,
        body(b'{"data": [{"ind'),
        body(b"[]"),
        body(b'{"data": [{"index": 0}]}'),
        body(b"[" * 100_000),
        body(b'{"data": [{"index": Infinity, "embedding": [1]}]}'),
    ],
)
def test_what_is_transient_is_tried_again(fault, server, embedder, codes):
    server.handlers = [fault, fault, data()]
    assert np.array_equal(embedder().embed(codes), expected(codes))
    assert len(server.asked) == 3


def test_the_endpoint_says_how_long_to_wait(server, embedder, codes):
    server.handlers = [status(429, "slow down", **{"Retry-After": "0.3"}), data()]
    embedder().embed(codes)
    (first, *_), (second, *_) = server.asked
    assert second - first >= 0.3


def test_a_wait_that_is_too_long_is_for_a_person_to_decide(server, embedder, codes):
    server.handlers = [status(429, "tomorrow", **{"Retry-After": "9999"})]
    with pytest.raises(ModelError, match=r"tomorrow, and asks to wait 9999 s"):
        embedder().embed(codes)


def test_after_eight_tries_it_is_an_error_and_other_requests_end(server, embedder, codes):
    server.handlers = [status(500, json.dumps({"error": {"message": "no memory"}}))]
    with pytest.raises(ModelError) as caught:
        embedder().embed(codes)
    assert len(server.asked) == 8
    assert str(caught.value) == (
        f"http://127.0.0.1:{server.port}/v1 failed this request 8 times, "
        f"at last: HTTP 500: no memory."
    )


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refused_request_names_the_longest_function(code, server, embedder, codes):
    server.handlers = [status(code, "too many tokens")]
    with pytest.raises(RefusedRequestError) as caught:
        embedder().embed(codes)
    assert len(server.asked) == 1
    assert f"longest of 24 characters, f (r19): HTTP {code}: too many tok" in str(caught.value)
    assert "max_characters" in str(caught.value)


@pytest.mark.parametrize(("code", "do"), [(401, "key"), (403, "key"), (404, "/v1"), (302, "/v1")])
def test_a_refusal_of_everything_is_not_tried_again(code, do, server, embedder, codes, monkeypatch):
    monkeypatch.setenv("TINY_KEY", KEY)
    server.handlers = [status(code, f"not with {KEY}")]
    with pytest.raises(ModelError, match=do) as caught:
        embedder(api_key_env="TINY_KEY").embed(codes)
    assert len(server.asked) == 1
    assert KEY not in str(caught.value)
    assert f"does not serve tiny (HTTP {code}: not with ***)" in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (data(lambda data: data[:-1]), r"gave 19 vectors, 19 of them different, for 20 functions"),
        (data(lambda data: [*data, data[0]]), r"gave 21 vectors, 20 of them different"),
        (data(lambda data: [data[0]] * len(data)), r"gave 20 vectors, 1 of them different"),
        (data(make=lambda t: [1.0] * (2 + (len(t) > 24))), r"3 numbers, and 2 for others for f"),
        (data(make=lambda text: []), r"no list of numbers for f \(r0\)"),
        (data(make=lambda text: [[1.0]]), r"no list of numbers for f \(r0\)"),
        (data(make=lambda text: ["x"]), r"no list of numbers"),
        (data(make=lambda text: [10**400]), r"no list of numbers"),
        (data(make=lambda text: {"a": 1}), r"no list of numbers"),
        (data(make=lambda text: "not base64!"), r"no list of numbers"),
    ],
)
def test_embeddings_that_are_none_are_one_sentence(fault, words, server, embedder, codes, raw_code):
    if "3 numbers" in words:
        codes = [*codes, raw_code("c" * 99, record_id="long")]
    server.handlers = [fault]
    with pytest.raises(ModelError, match=words):
        embedder().embed(codes)
    assert len(server.asked) == 1


def test_another_width_in_another_reply_names_the_function(server, embedder, codes):
    server.handlers = [data(), data(make=lambda text: [1.0, 2.0])]
    with pytest.raises(ModelError, match=r"2 numbers, and 3 for others for f \(r10\)"):
        embedder(batch_size=10, in_flight=1).embed(codes)


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), 1e300])
def test_what_is_no_number_is_told_by_the_driver(bad, server, embedder, codes, tmp_path):
    server.handlers = [data(make=lambda text: [bad if len(text) == 24 else 1.0])]
    with pytest.raises(ModelError, match=r"not all numbers .* for f \(r19, "):
        embed_records(codes, embedder(), tmp_path, identity={}, seed=0)


def test_the_driver_asks_once_for_a_function(server, embedder, codes, tmp_path):
    endpoint = embedder(batch_size=4)
    options = {"identity": endpoint.identity(), "seed": 0, "cache": tmp_path / "cache"}
    vectors = embed_records(codes, endpoint, tmp_path / "a", **options)
    assert np.array_equal(vectors, expected(codes))
    asked = len(server.asked)
    embed_records(codes[::-1], endpoint, tmp_path / "b", **options)
    assert len(server.asked) == asked


def test_the_identity_is_the_name_and_the_options_that_decide(monkeypatch):
    monkeypatch.setenv("TINY_KEY", KEY)
    one = Endpoint.Config(model="http://a:1/v1#tiny")
    two = Endpoint.Config(
        model="https://b/v2/embeddings#tiny", api_key_env="TINY_KEY", batch_size=2, in_flight=1
    )
    assert Endpoint(one).identity() == Endpoint(two).identity() == {"model": "tiny"}
    assert one.model_dump() == two.model_dump()
    assert Endpoint.Config(model="http://a/v1#tiny", revision="2").model_dump() != one.model_dump()


@pytest.mark.parametrize(
    "model",
    [
        "tiny",
        "http://a/v1",
        "ftp://a/v1#tiny",
        "http://u:p@a/v1#t",
        "http://[::1/v1#t",
        "http://a..b/v1#t",
        f"http://{'a' * 64}/v1#t",
    ],
)
def test_an_address_that_is_none_is_one_sentence(model):
    with pytest.raises(ConfigError, match=r"http://host:port/v1#name|api_key_env"):
        Endpoint(Endpoint.Config(model=model))


def test_a_key_that_is_not_set_is_one_sentence():
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        Endpoint(Endpoint.Config(model="http://a/v1#tiny", api_key_env="NO_SUCH_KEY"))
