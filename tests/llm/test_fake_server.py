"""The fake endpoint over real sockets: replies, every fault, limits, counts, the command."""

import asyncio
import base64
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, IncompleteRead
from itertools import combinations
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, Field

from wavecoder.artifact import Artifact
from wavecoder.errors import ConfigError
from wavecoder.generate import Generate
from wavecoder.generate.assign import assign
from wavecoder.generate.checks import Draft, first_failure
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.discriminator import discriminator_request, parse_verdict
from wavecoder.generate.examples import ExampleDatabase
from wavecoder.generate.generator import generator_request
from wavecoder.generate.method import Desk, Method, Outcome
from wavecoder.generate.methods.evol_instruct import EvolInstruct
from wavecoder.generate.methods.oss_instruct import OssInstruct
from wavecoder.generate.methods.rouge import rouge_l
from wavecoder.generate.methods.self_instruct import SelfInstruct
from wavecoder.generate.sections import Sections, parse_sections
from wavecoder.generate.task import built_in_tasks, load_task
from wavecoder.languages import LANGUAGES
from wavecoder.llm.fake.faults import FAULTS, spread
from wavecoder.llm.fake.replies import ODD_VERDICTS, Prompt, read_prompt
from wavecoder.llm.fake.server import FakeServer
from wavecoder.records import ChatReply, ChatRequest, Instance, RawCode, Sampling, Verdict, digest
from wavecoder.stage import Context, run_stage

Start = Callable[..., FakeServer]

CHAT = "/v1/chat/completions"
VERDICT = {
    "messages": [
        {"role": "system", "content": "Check it:\nrule 1: It is whole.\nrule 2: It is true."},
        {"role": "user", "content": "solution: x\nCheck it rule by rule."},
    ]
}


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **more}


@contextmanager
def connected(server: FakeServer) -> Iterator[HTTPConnection]:
    parts = urlsplit(server.url)
    assert parts.hostname
    with closing(HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        yield connection


def post(
    connection: HTTPConnection, body: object, path: str = CHAT, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, headers)
    response = connection.getresponse()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def ask(server: FakeServer, body: object, path: str = CHAT) -> dict[str, Any]:
    with connected(server) as connection:
        status, _, content = post(connection, body, path)
    assert status == 200, content
    return json.loads(content)


def text_of(completion: dict[str, Any]) -> str:
    return completion["choices"][0]["message"]["content"]


@contextmanager
def bare(server: FakeServer) -> Iterator[socket.socket]:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        yield client


def raw_request(body: object, *lines: str) -> bytes:
    data = json.dumps(body).encode()
    head = [f"POST {CHAT} HTTP/1.1", f"Content-Length: {len(data)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def read_until(client: socket.socket, end: bytes) -> bytes:
    got = b""
    while end not in got:
        more = client.recv(65536)
        assert more, got
        got += more
    return got


def read_to_end(client: socket.socket) -> bytes:
    got = b""
    while more := client.recv(65536):
        got += more
    return got


# Replies


def test_a_reply_has_the_shape_of_a_chat_completion(fake_server: Start):
    reply = ask(fake_server(), chat(model="some-model"))
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "some-model"
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["choices"][0]["message"]["role"] == "assistant"
    assert len(re.findall("```", text_of(reply))) == 2
    usage = reply["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert min(usage.values()) > 0


def test_two_servers_give_the_same_reply_and_other_requests_another_one(fake_server: Start):
    one, two = fake_server(), fake_server(latency=0.001, seed=5)
    asked = [chat(), chat(seed=1), chat(temperature=0.5), chat("bye"), chat(model="x")]
    replies = [text_of(ask(one, body)) for body in asked]
    assert replies == [text_of(ask(two, body)) for body in asked]
    assert len(set(replies)) == len(asked)
    turned = dict(reversed(chat(seed=1).items()))
    assert text_of(ask(one, turned)) == replies[1]  # the order of keys says nothing


def test_several_choices_differ_and_max_tokens_cuts(fake_server: Start):
    server = fake_server()
    choices = ask(server, chat(n=3))["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 3
    cut = ask(server, chat(max_tokens=5))
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 5


def test_a_stream_carries_the_same_text(fake_server: Start):
    server = fake_server()
    whole = ask(server, chat())
    with connected(server) as connection:
        wanted = chat(stream=True, stream_options={"include_usage": True})
        status, headers, body = post(connection, wanted)
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert post(connection, chat())[0] == 200  # the stream ended, the connection did not
    events = body.decode().removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    assert events.pop() == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks.pop()["usage"] == whole["usage"]
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert len(deltas) > 5
    assert "".join(deltas) == text_of(whole)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]


def test_embeddings_are_the_same_each_time_and_of_length_one(fake_server: Start):
    server = fake_server()
    path = "/v1/embeddings"
    both = ask(server, {"model": "e", "input": ["one", "two"]}, path)["data"]
    first, second = (item["embedding"] for item in both)
    assert first != second
    assert sum(value * value for value in first) == pytest.approx(1)
    assert ask(server, {"input": "two"}, path)["data"][0]["embedding"] == second
    short = ask(server, {"input": ["one"], "dimensions": 5}, path)["data"][0]["embedding"]
    assert len(short) == 5
    packed = ask(server, {"input": "one", "encoding_format": "base64"}, path)["data"][0]
    unpacked = struct.unpack(f"<{len(first)}f", base64.b64decode(packed["embedding"]))
    assert unpacked == pytest.approx(first)


# HTTP


def test_a_connection_is_kept_and_closed_when_asked(fake_server: Start):
    server = fake_server()
    with connected(server) as connection:
        post(connection, chat())
        used = connection.sock
        for number in range(20):
            assert post(connection, chat(seed=number))[0] == 200
        assert connection.sock is used
        _, headers, _ = post(connection, chat(), Connection="close")
        assert headers["connection"] == "close"
    with bare(server) as client:
        client.sendall(raw_request(chat(), "Connection: close"))
        assert read_to_end(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_arrive_in_any_pieces(fake_server: Start):
    server = fake_server()
    one, two = raw_request(chat("first")), raw_request(chat("second"), "Connection: close")
    with bare(server) as client:
        client.sendall(one + two)  # both at once
        together = read_to_end(client)
    with bare(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(one)):
            client.sendall(one[at : at + 1])
        client.sendall(two)
        assert read_to_end(client) == together
    assert together.count(b"HTTP/1.1 200 OK") == 2


def test_chunked_bodies_of_4_mb_and_consent_to_send_them(fake_server: Start):
    server = fake_server()
    body = json.dumps(chat("x" * 4_000_000)).encode()
    sent = ask(server, body)
    with connected(server) as connection:
        pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
        connection.request("POST", CHAT, pieces, encode_chunked=True)
        assert json.loads(connection.getresponse().read()) == sent
    with bare(server) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n"
        client.sendall(head.encode() + b"Connection: close\r\n\r\n")
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert json.loads(read_to_end(client).partition(b"\r\n\r\n")[2]) == sent


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"POST / HTTP/2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_ends(
    fake_server: Start, sent: bytes, status: int
):
    with bare(fake_server()) as client:
        client.sendall(sent)
        reply = read_to_end(client)
    assert reply.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xff",
        b"[" * 100_000,
        [],
        {},
        {"messages": []},
        {"messages": ["x"]},
        chat(model=3),
        chat(n=0),
        chat(n=10**9),
        chat(max_tokens="x"),
    ],
)
def test_a_request_of_another_shape_is_a_400_and_the_connection_stays(
    fake_server: Start, body: object
):
    server = fake_server()
    with connected(server) as connection:
        status, _, content = post(connection, body)
        assert status == 400
        assert json.loads(content)["error"]["message"].startswith("The request is not understood")
        assert post(connection, chat())[0] == 200
    assert server.stats()["refused"] == {"bad_request": 1}


def test_models_and_unknown_places(fake_server: Start):
    with connected(fake_server()) as connection:
        connection.request("GET", "/v1/models")
        assert [one["id"] for one in json.load(connection.getresponse())["data"]] == ["fake"]
        connection.request("GET", "/v2")
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (404, True)
        assert post(connection, chat(), "/v1/completions")[0] == 404


# Faults: each by what a client sees of it.


def status_of(
    status: int, code: str | None = None, wait: str | None = None
) -> Callable[[HTTPConnection], None]:
    def see(connection: HTTPConnection) -> None:
        got, headers, content = post(connection, chat())
        error = json.loads(content)["error"]
        assert (got, error["code"], headers.get("retry-after")) == (status, code, wait)
        assert error["message"]

    return see


def see_reset(connection: HTTPConnection) -> None:
    with pytest.raises(ConnectionResetError):
        post(connection, chat())


def see_hang(connection: HTTPConnection) -> None:
    connection.timeout = 0.2
    with pytest.raises(TimeoutError):
        post(connection, chat())


def see_truncated_json(connection: HTTPConnection) -> None:
    status, headers, content = post(connection, chat())
    assert (status, headers["content-length"]) == (200, str(len(content)))
    with pytest.raises(json.JSONDecodeError):
        json.loads(content)


def see_short_body(connection: HTTPConnection) -> None:
    with pytest.raises(IncompleteRead):
        post(connection, chat())


def see_bad_utf8(connection: HTTPConnection) -> None:
    content = post(connection, chat())[2]
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    assert json.loads(content.decode("utf-8", "replace"))["choices"]


def completed(check: Callable[[dict[str, Any]], bool]) -> Callable[[HTTPConnection], None]:
    def see(connection: HTTPConnection) -> None:
        status, _, content = post(connection, chat())
        assert status == 200
        assert check(json.loads(content))

    return see


def see_duplicate_keys(connection: HTTPConnection) -> None:
    found: list[str] = []

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in given]
        found.extend(name for name in set(names) if names.count(name) > 1)
        return dict(given)

    content = post(connection, chat())[2]
    assert "```" in text_of(json.loads(content, object_pairs_hook=pairs))
    assert found == ["choices"]


def see_odd_verdict(connection: HTTPConnection) -> None:
    seen = set()
    for seed in range(200):
        seen.add(text_of(json.loads(post(connection, {**VERDICT, "seed": seed})[2])))
    assert seen == {form(2) for form in ODD_VERDICTS.values()}
    assert "```" in text_of(json.loads(post(connection, chat())[2]))  # of verdicts alone


def finish(reply: dict[str, Any]) -> str:
    return reply["choices"][0]["finish_reason"]


SEEN: dict[str, Callable[[HTTPConnection], None]] = {
    "http_429": status_of(429, "rate_limit_exceeded", "7"),
    "http_429_bare": status_of(429, "rate_limit_exceeded"),
    "quota": status_of(429, "insufficient_quota"),
    "http_500": status_of(500),
    "http_503": status_of(503),
    "context_length": status_of(400, "context_length_exceeded"),
    "reset": see_reset,
    "hang": see_hang,
    "drip": completed(lambda reply: "```" in text_of(reply)),
    "truncated_json": see_truncated_json,
    "short_body": see_short_body,
    "bad_utf8": see_bad_utf8,
    "no_choices": completed(lambda reply: reply["choices"] == []),
    "length": completed(lambda reply: finish(reply) == "length" and bool(text_of(reply))),
    "content_filter": completed(lambda reply: finish(reply) == "content_filter"),
    "wrong_model": completed(lambda reply: reply["model"] not in ("", "fake")),
    "duplicate_keys": see_duplicate_keys,
    "huge": completed(lambda reply: 900_000 < len(text_of(reply)) < 1_100_000),
    "null_content": completed(lambda reply: text_of(reply) is None),
    "odd_verdict": see_odd_verdict,
}


def test_every_fault_is_seen_here():
    assert set(SEEN) == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_client_sees_the_fault(fake_server: Start, fault: str):
    server = fake_server(fault={fault: 1.0}, retry_after=7.0, drip=0.001)
    with connected(server) as connection:
        SEEN[fault](connection)
    stats = server.stats()
    assert set(stats["faults"]) == {fault}
    assert stats["requests"] == stats["ok"] + stats["faults"][fault]
    # A drip is slow and right; so is the reply that is no verdict.
    assert sum(stats["answered"].values()) == (1 if fault in ("drip", "odd_verdict") else 0)


def test_a_drip_is_a_byte_at_a_time(fake_server: Start):
    with bare(fake_server(fault={"drip": 1.0}, drip=3600.0)) as client:
        client.sendall(raw_request(chat()))
        assert read_until(client, b"{").endswith(b"\r\n\r\n{")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)


@pytest.mark.parametrize("fault", ["truncated_json", "short_body", "length", "no_choices"])
def test_streams_have_faults_too(fake_server: Start, fault: str):
    server = fake_server(fault={fault: 1.0})
    with connected(server) as connection:
        if fault == "short_body":
            with pytest.raises(IncompleteRead):
                post(connection, chat(stream=True))
            return
        body = post(connection, chat(stream=True))[2]
    assert (b"[DONE]" in body) is (fault != "truncated_json")
    if fault == "length":
        assert b'"finish_reason": "length"' in body
    if fault == "no_choices":
        assert b'"choices": []' in body
        assert b'"delta"' not in body


def test_a_status_waits_for_nothing_and_is_no_end_of_the_connection(fake_server: Start):
    with connected(fake_server(fault={"http_429": 1.0}, latency=3600.0)) as connection:
        assert post(connection, chat())[0] == 429
        assert post(connection, chat())[0] == 429


def test_asking_again_may_help_and_two_servers_fail_alike(fake_server: Start):
    def outcomes(**options: Any) -> list[int]:
        with connected(fake_server(fault={"http_500": 0.5}, **options)) as connection:
            return [post(connection, chat())[0] for _ in range(40)]

    first = outcomes()
    assert {200, 500} == set(first)
    assert first == outcomes()
    assert first != outcomes(seed=1)


def test_rates_are_spread_and_are_what_was_asked_for(fake_server: Start):
    rates = spread(0.38, {})
    assert set(rates) == set(FAULTS) - {"quota"}
    assert list(rates.values()) == pytest.approx([0.02] * 19)
    named = spread(0.18, {"reset": 0.5, "quota": 0.1})
    assert named["reset"] == 0.5
    assert named["quota"] == 0.1
    assert sum(named.values()) == pytest.approx(0.78)
    server = fake_server(fault={"http_500": 0.2, "wrong_model": 0.1})
    with connected(server) as connection:
        for seed in range(1000):
            post(connection, chat(seed=seed))
    faults = server.stats()["faults"]
    # Six standard deviations; the draws are the same every time.
    assert abs(faults["http_500"] - 200) < 76
    assert abs(faults["wrong_model"] - 100) < 57


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fault": {"http_501": 0.1}}, "There is no fault 'http_501'. Did you mean 'http_50"),
        ({"fault": {"reset": 1.5}}, "The rate of reset is 1.5. Give a share from 0 to 1."),
        ({"faults": -0.1}, "The rate of all faults is -0.1"),
        ({"fault": {"reset": 0.6, "hang": 0.6}}, "sum to 1.2. Give less, 1 in all."),
        ({"refuse": 2}, "refuse is 2. Give a share"),
        ({"latency": -1}, "latency is -1. Give a number from 0."),
        ({"latency": float("nan")}, "latency is nan"),
        ({"max_in_flight": 0}, "max_in_flight is 0. Give a whole number from 1."),
        ({"port": 70_000}, "The port is 70000"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=re.escape(words)):
        FakeServer.Options(**options)


def test_a_port_in_use_is_one_sentence(fake_server: Start):
    port = urlsplit(fake_server().url).port
    with pytest.raises(ConfigError, match=f"Port {port} is in use. Give another"):
        FakeServer(FakeServer.Options(port=port)).start()


# Limits


def test_a_key_is_asked_for(fake_server: Start):
    server = fake_server(key="right")
    with connected(server) as connection:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            status, _, content = post(connection, chat(), **headers)
            assert (status, json.loads(content)["error"]["code"]) == (401, "invalid_api_key")
            connection.request("GET", "/v1/models", headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 401
        assert post(connection, chat(), Authorization="Bearer right")[0] == 200
    assert server.stats()["refused"] == {"unauthorized": 2}


def test_requests_a_minute_are_limited(fake_server: Start):
    server = fake_server(requests_per_minute=1)
    with connected(server) as connection:
        assert post(connection, chat())[0] == 200
        status, headers, _ = post(connection, chat())
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 60
    assert server.stats()["refused"] == {"requests_per_minute": 1}


def test_requests_in_flight_are_limited(fake_server: Start):
    server = fake_server(max_in_flight=2, fault={"hang": 1.0})
    with bare(server) as one, bare(server) as two, connected(server) as third:
        for client in (one, two):
            client.sendall(raw_request(chat()))
        wait_for(lambda: server.stats()["in_flight"] == 2)
        status, headers, _ = post(third, chat())
        assert (status, headers["retry-after"]) == (429, "1")
        one.close()
        wait_for(lambda: server.stats()["in_flight"] == 1)
        third.timeout = 0.1
        third.close()
        with pytest.raises(TimeoutError):
            post(third, chat())  # it is taken, and hangs
    stats = server.stats()
    assert stats["most_in_flight"] == 3
    assert stats["refused"] == {"max_in_flight": 1}


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_replies_take_their_time(fake_server: Start):
    def seconds(**options: Any) -> float:
        with connected(fake_server(**options)) as connection:
            started = time.monotonic()
            post(connection, chat())
            return time.monotonic() - started

    # No upper bounds: the machine may be busy.
    assert seconds(latency=0.1) >= 0.1
    assert seconds(latency=0.1, jitter=0.5) >= 0.05
    assert seconds(latency=0.02, slow=1.0, slow_factor=10) >= 0.2


def test_it_goes_down_and_comes_up_on_the_same_port(fake_server: Start):
    server = fake_server(down_after=2, down_for=0.01)
    url = server.url
    with connected(server) as idle, connected(server) as connection:
        assert post(idle, chat())[0] == 200
        with pytest.raises(ConnectionResetError):
            post(connection, chat())
        with pytest.raises(OSError):
            # A connection opened before went down, too.
            idle.sock.sendall(raw_request(chat())), read_until(idle.sock, b"\r\n\r\n")

    def is_up() -> bool:
        try:
            return bool(ask(server, chat()))
        except ConnectionError:
            return False

    wait_for(is_up)
    assert server.url == url
    for _ in range(3):
        ask(server, chat())  # once is enough


def test_while_it_is_down_nobody_listens(fake_server: Start):
    server = fake_server(down_after=1, down_for=3600.0)
    with connected(server) as connection, pytest.raises(ConnectionResetError):
        post(connection, chat())
    with pytest.raises(ConnectionRefusedError):
        ask(server, chat())


def test_stats_count_what_happened(fake_server: Start):
    server = fake_server()
    replies = [ask(server, chat(seed=seed)) for seed in (1, 2, 2)]
    with connected(server) as connection:
        connection.request("GET", "/stats")
        stats = json.load(connection.getresponse())
    assert stats == server.stats()
    assert (stats["requests"], stats["ok"], stats["gone"], stats["in_flight"]) == (3, 3, 0, 0)
    assert sorted(stats["answered"].values()) == [1, 2]
    for kind in ("prompt", "completion"):
        spent = sum(reply["usage"][f"{kind}_tokens"] for reply in replies)
        assert stats["tokens"][kind] == spent


def test_whatever_goes_wrong_the_counts_add_up():
    """In one event loop with a client of another make, hundreds at a time."""
    import aiohttp

    options = FakeServer.Options(faults=0.7, fault={"hang": 0.02}, latency=0.01, drip=0.0001)

    async def main() -> tuple[dict[str, Any], int]:
        async with FakeServer(options) as server, aiohttp.TCPConnector(limit=0) as connector:
            async with aiohttp.ClientSession(connector=connector) as session:

                async def one(seed: int) -> bool:
                    url = f"{server.url}/chat/completions"
                    try:
                        async with session.post(url, json={**VERDICT, "seed": seed}) as response:
                            content = await response.read()
                        return response.status == 200 and len(content) > 0
                    except aiohttp.ClientError:
                        return False

                tasks = [asyncio.ensure_future(one(seed)) for seed in range(400)]
                while (stats := server.stats())["in_flight"] > stats["faults"].get("hang", 0) or (
                    stats["requests"] < len(tasks)
                ):
                    await asyncio.sleep(0.001)
                for task in tasks:
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
            while server.stats()["in_flight"]:
                await asyncio.sleep(0.001)
            return server.stats(), sum(one is True for one in done)

    stats, replies = asyncio.run(main())
    assert stats["requests"] == 400
    assert set(stats["faults"]) == set(FAULTS) - {"quota"}
    assert stats["requests"] == stats["ok"] + sum(stats["faults"].values())
    assert stats["ok"] <= replies < 400
    assert stats["ok"] + stats["faults"]["drip"] == sum(stats["answered"].values())


def test_a_client_that_leaves_is_counted_and_gets_no_success(fake_server: Start):
    server = fake_server(latency=3600.0)
    with bare(server) as client:
        client.sendall(raw_request(chat()))
        wait_for(lambda: server.stats()["in_flight"] == 1)
    wait_for(lambda: server.stats()["gone"] == 1)
    assert server.stats()["answered"] == {}


# Our own prompts


def raw_code(language: str = "python") -> RawCode:
    return RawCode(
        id=digest(language),
        language=language,
        name="Box.is_large?",
        code="def is_large(x):\n    if x > 3:\n        return x + 3\n    return 3",
        docstring="Says so.",
        source="test",
        path="t.py",
        start_line=1,
        end_line=4,
        content_hash=digest(language),
    )


def as_sent(request: ChatRequest) -> list[dict[str, Any]]:
    return [message.model_dump() for message in request.messages]


@pytest.mark.parametrize("name", built_in_tasks())
@pytest.mark.parametrize("language", LANGUAGES)
def test_replies_to_our_prompts_pass_the_checks(name: str, language: str):
    task = load_task(name)
    raw = raw_code("python" if name in ("translation", "repair") else language)
    targets = [language] if language != "python" else ["javascript"]
    assignment = assign(raw, 0, {name: 1.0}, {name: task}, targets, Random(0))
    assert assignment is not None
    good = [example for example in task.own_examples if example.good]
    for seed in range(3):
        request = generator_request(assignment, good, [], Sampling(seed=seed))
        reply = read_prompt(as_sent(request)).reply(seed)
        sections = parse_sections(reply)
        assert isinstance(sections, Sections), reply
        draft = Draft(assignment, sections, good)
        assert first_failure(draft) is None, reply
        instance = Instance.model_construct(
            raw_code=raw,
            target_language=assignment.target_language,
            instruction=sections.instruction,
            information=draft.information,
            solution=draft.solution,
        )
        judging = discriminator_request(task, instance, good, Sampling(seed=seed))
        prompt = read_prompt(as_sent(judging))
        assert prompt.rules == len(task.rules)
        verdict = parse_verdict(prompt.reply(seed), task.rules)
        assert isinstance(verdict, Verdict)
        assert verdict.passed
        refused = parse_verdict(prompt.reply(seed, refuse=1.0), task.rules)
        assert isinstance(refused, Verdict)
        assert [rule.passed for rule in refused.rules].count(False) == 1


@pytest.mark.parametrize("name", ODD_VERDICTS)
def test_odd_verdicts_are_never_a_wrong_yes(name: str):
    task = load_task("generation")
    verdict = parse_verdict(ODD_VERDICTS[name](len(task.rules)), task.rules)
    wrong = {"no_overall", "no_rule_but_overall_yes", "template_echoed", "answer_in_brackets"}
    if name in wrong:
        assert isinstance(verdict, str) or not verdict.passed


def test_a_share_of_verdicts_is_no(fake_server: Start):
    with connected(fake_server(refuse=0.25)) as connection:
        texts = [
            text_of(json.loads(post(connection, {**VERDICT, "seed": seed})[2]))
            for seed in range(400)
        ]
    refused = [text for text in texts if text.endswith("overall: no")]
    assert 50 < len(refused) < 150
    assert all(len(re.findall(r"rule \d: no", text)) == 1 for text in refused)


class Answer(BaseModel):
    """A rule's answer."""

    rule: int = Field(ge=1)
    answer: str = Field(pattern="yes|no", json_schema_extra={"enum": ["yes", "no"]})
    reason: str


class Judgement(BaseModel):
    """A shape with all that is honoured."""

    rules: list[Answer] = Field(min_length=2)
    size: int = Field(ge=10, le=20)
    share: float
    note: str | None
    overall: bool


def test_a_schema_is_honoured_where_the_server_can(fake_server: Start):
    schema = {"name": "judgement", "schema": Judgement.model_json_schema()}
    body = {**VERDICT, "response_format": {"type": "json_schema", "json_schema": schema}}
    with connected(fake_server()) as connection:
        status, _, content = post(connection, body)
        assert (status, b"response_format is not supported" in content) == (400, True)
    with connected(fake_server(structured=True, refuse=0.5)) as connection:
        judged = [
            Judgement.model_validate_json(
                text_of(json.loads(post(connection, {**body, "seed": seed})[2]))
            )
            for seed in range(30)
        ]
    assert {one.overall for one in judged} == {True, False}
    for one in judged:
        assert [rule.rule for rule in one.rules] == [1, 2]
        assert one.overall is all(rule.answer == "yes" for rule in one.rules)
        assert 10 <= one.size <= 20


def test_a_schema_of_sections_gets_what_the_text_would_say():
    prompt = Prompt(task="code translation", language="python", target="rust", name="f")
    names = ("task_name", "instruction", "information", "solution")
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    table = prompt.object(schema, 7)
    sections = parse_sections(prompt.reply(7))
    assert isinstance(sections, Sections)
    assert table["instruction"] == sections.instruction
    assert table["solution"] in sections.solution
    assert table["solution"].startswith("fn f_")


class Functions:
    """Stands before `generate`: small real functions."""

    name, data_version, streaming, writes, config = "functions", 1, True, RawCode, None

    def __init__(self) -> None:
        self.config = Generate.Config(generator="http://127.0.0.1:1/v1#fake")

    def identity(self) -> dict[str, object]:
        return {}

    def inputs(self, ctx: Context) -> list[RawCode]:
        base = raw_code()
        return [
            base.model_copy(
                update={
                    "id": digest(str(number)),
                    "name": f"add_{number}",
                    "code": base.code.replace("is_large", f"add_{number}").replace(
                        "3", f"{number}"
                    ),
                    "content_hash": digest(str(number)),
                }
            )
            for number in range(24)
        ]

    def run(self, inputs: object, ctx: Context) -> object:
        yield from inputs  # type: ignore[misc]


@pytest.mark.parametrize("structured", [False, True])
def test_a_run_of_generate_ends_with_most_accepted(
    make_context: Callable[..., Context], fake_server: Start, structured: bool
):
    upstream = {"functions": run_stage(Functions(), make_context("functions"))}  # type: ignore[arg-type]
    server = fake_server(structured=structured)
    tasks = dict.fromkeys(built_in_tasks(), 1.0)
    config = Generate.Config.model_validate(
        {"generator": f"{server.url}#fake", "tasks": tasks, "round_size": 6}
    )
    artifact: Artifact = run_stage(Generate(config), make_context("generate", upstream))
    accepted = list(artifact.records(Instance))
    assert {one.task for one in accepted} == set(tasks)
    # What is refused, the discriminator refuses, about a fifth.
    assert all(one.reason.startswith("rule_") for one in artifact.rejected())
    assert len(accepted) > 12
    stats = server.stats()
    assert stats["ok"] == 48  # a client may have asked for structure first
    assert set(stats["refused"]) <= {"response_format"}
    assert set(stats["answered"].values()) == {1}


@pytest.mark.parametrize("method", ["oss-instruct", "evol-instruct", "self-instruct"])
def test_a_run_of_another_method_ends_with_all_accepted(
    make_context: Callable[..., Context], fake_server: Start, method: str
):
    upstream = {"functions": run_stage(Functions(), make_context("functions"))}  # type: ignore[arg-type]
    table = {"generator": f"{fake_server().url}#fake", "method": method, "round_size": 6, "lag": 1}
    stage = Generate(Generate.Config.model_validate(table))
    artifact: Artifact = run_stage(stage, make_context("generate", upstream))
    assert [(one.reason, one.detail) for one in artifact.rejected()] == []
    assert len({one.instruction for one in artifact.records(Instance)}) == 24


@pytest.mark.parametrize("method", [OssInstruct, EvolInstruct, SelfInstruct])
@pytest.mark.parametrize("language", LANGUAGES)
def test_replies_to_the_other_methods_are_accepted_in_every_language(
    method: Callable[[GenerateConfig], Method], language: str
):
    made = method(GenerateConfig(generator="scripted:x"))

    async def reply(desk: Desk, request: ChatRequest) -> ChatReply:
        text = read_prompt(as_sent(request)).reply(request.sampling.seed)
        return ChatReply(
            text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, seconds=0.0
        )

    def outcome(number: int) -> Outcome:
        # Every second one without a doc comment, for which Evol-Instruct asks once more.
        docstring = "Says so." if number % 2 else None
        desk = Desk(
            raw=raw_code(language).model_copy(update={"docstring": docstring}),
            place=0,
            round=0,
            attempt=0,
            examples=ExampleDatabase(),
            generator="fake",
            discriminator="fake",
            random=lambda text: Random(f"{number}/{text}"),
            ask_generator=reply,
            ask_discriminator=reply,
        )
        return asyncio.run(made.attempt(desk))

    assert [type(outcome(number)) for number in range(12)] == [Instance] * 12


def test_what_is_made_up_is_too_unlike_to_be_refused_as_a_repeat():
    asked = {"role": "user", "content": "Now write task 1. Language: Python. A topic it may take."}
    made = [read_prompt([asked]).reply(number).splitlines()[0] for number in range(300)]
    alike = [rouge_l(one, other) for one, other in combinations(made, 2)]
    assert max(alike) < 0.7


# The command


@contextmanager
def command(*options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "wavecoder.cli", "fake-server", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_the_model_and_serves_until_it_is_stopped(number: signal.Signals):
    with command("--port", "0", "--fault", "wrong_model=1", "--slow", "0.5:2") as process:
        assert process.stdout
        line = process.stdout.readline().rstrip("\n")
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/v1#fake", line)
        assert match
        with closing(HTTPConnection("127.0.0.1", int(match[1]), timeout=30)) as connection:
            assert json.loads(post(connection, chat())[2])["model"] == "another-model"
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fault", "rest=0.1"], "There is no fault 'rest'. Did you mean 'reset'?"),
        (["--fault", "reset"], "--fault is 'reset'; give NAME=SHARE, such as reset=0.05."),
        (["--faults", "2"], "The rate of all faults is 2.0. Give a share from 0 to 1."),
        (["--slow", "often"], "--slow is 'often'; give SHARE:TIMES, such as 0.01:10."),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(options: list[str], words: str):
    with command("--port", "0", *options) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"wavecoder: {words}")
    assert err.count("\n") == 1


def test_a_port_in_use_ends_the_command(fake_server: Start):
    port = str(urlsplit(fake_server().url).port)
    with command("--port", port) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert (
        err == f"wavecoder: Port {port} is in use. Give another with --port, or 0 for a free one.\n"
    )
