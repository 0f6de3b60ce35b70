"""What does a call cost with each HTTP library, and how many does it make in a second?

Run: `.venv/bin/python benchmarks/http_clients.py [--in-flight 64 512] [--seconds 8]`. A fake
endpoint, in a process of its own, answers after 0.5 s; each client, in a process of its own, posts
a chat with a prompt of 6 KB and reads the reply as JSON, so many calls in flight at a time. CPU is
that of the client's process, without its start: one round of calls goes before. `sockets` writes
and reads bare bytes and is the floor; `wavecoder` is this package's client, with its retries and
limits. A library that is not installed is left out: `pip install httpx2 openai` for all.
"""

import argparse
import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from endpoint import fake_server

LATENCY = 0.5
PROMPT = "def add(one, other):\n    return one + other\n\n\n" * 130
BODY = {
    "model": "fake",
    "messages": [{"role": "user", "content": PROMPT}],
    "temperature": 0.0,
    "max_tokens": 512,
}

Call = Callable[[], Awaitable[str]]
"""Makes one call; returns the text of the reply."""


def main() -> None:
    """Print milliseconds of CPU a call and calls a second for each client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--one", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        (in_flight,) = given.in_flight
        calls = round(in_flight * given.seconds / LATENCY)
        print(json.dumps(asyncio.run(_measure(given.one, given.url, in_flight, calls))))
        return
    for in_flight in given.in_flight:
        ideal = in_flight / LATENCY
        print(f"{in_flight} in flight, ideal {ideal:.0f} calls/s")
        floor = 0.0
        for name in CLIENTS:
            if name in ("aiohttp", "httpx2", "openai") and not importlib.util.find_spec(name):
                print(f"  {name:<10} is not installed")
                continue
            with fake_server("--latency", str(LATENCY)) as url:
                found = _in_process(name, url, in_flight, given.seconds)
            cpu, rate = found["cpu_ms"], found["calls_per_second"]
            floor = floor or cpu
            print(
                f"  {name:<10} {cpu:6.3f} ms of CPU a call, {cpu / floor:5.1f} times the floor; "
                f"{rate:7.1f} calls/s, {rate / ideal:.2f} of the ideal",
                flush=True,
            )


def _in_process(name: str, url: str, in_flight: int, seconds: float) -> dict[str, float]:
    words = ["--one", name, "--url", url, "--in-flight", str(in_flight), "--seconds", str(seconds)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


async def _measure(name: str, url: str, in_flight: int, calls: int) -> dict[str, float]:
    """Make `calls` calls, at most `in_flight` at a time, and return what they took."""
    left = 0

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            assert await call()

    async with CLIENTS[name](url, in_flight) as call:
        # The first round opens the connections and loads what is loaded late.
        left = in_flight
        await asyncio.gather(*(work() for _ in range(in_flight)))
        left, began, cpu = calls, time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        cpu, seconds = time.process_time() - cpu, time.monotonic() - began
    return {"cpu_ms": 1000 * cpu / calls, "calls_per_second": calls / seconds}


def _text(content: bytes) -> str:
    return str(json.loads(content)["choices"][0]["message"]["content"])


@asynccontextmanager
async def _sockets(url: str, in_flight: int) -> AsyncIterator[Call]:
    """Open connections as they are needed, keep them, and speak just enough HTTP."""
    address = urlsplit(url)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call() -> str:
        if idle:
            reader, writer = idle.pop()
        else:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        body = json.dumps(BODY).encode()
        head = (
            f"POST {address.path}/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        told = await reader.readuntil(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200 ")
        length = int(told.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        text = _text(await reader.readexactly(length))
        idle.append((reader, writer))
        return text

    yield call
    for _, writer in idle:
        writer.close()


@asynccontextmanager
async def _wavecoder(url: str, in_flight: int) -> AsyncIterator[Call]:
    from wavecoder.llm import HttpModel
    from wavecoder.protocols import Limits
    from wavecoder.records import ChatRequest, Message, Sampling

    model = HttpModel(f"{url}#fake")
    model.drive(Limits(concurrency=in_flight), lambda text: None)
    request = ChatRequest(
        messages=(Message(role="user", content=PROMPT),), sampling=Sampling(max_tokens=512)
    )

    async def call() -> str:
        return (await model.complete(request)).text

    # It begins with fewer in flight and grows; the measurement is of a client that has grown.
    for _ in range(4):
        await asyncio.gather(*(call() for _ in range(in_flight)))
    yield call
    await model.close()


@asynccontextmanager
async def _aiohttp(url: str, in_flight: int) -> AsyncIterator[Call]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def call() -> str:
            data, headers = json.dumps(BODY).encode(), {"Content-Type": "application/json"}
            async with session.post(
                f"{url}/chat/completions", data=data, headers=headers
            ) as response:
                assert response.status == 200
                return _text(await response.read())

        yield call


@asynccontextmanager
async def _httpx2(url: str, in_flight: int) -> AsyncIterator[Call]:
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=60.0) as client:

        async def call() -> str:
            data, headers = json.dumps(BODY).encode(), {"Content-Type": "application/json"}
            response = await client.post(f"{url}/chat/completions", content=data, headers=headers)
            assert response.status_code == 200
            return _text(response.content)

        yield call


@asynccontextmanager
async def _openai(url: str, in_flight: int) -> AsyncIterator[Call]:
    openai: Any = importlib.import_module("openai")

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def call() -> str:
            reply = await client.chat.completions.create(**BODY)
            return str(reply.choices[0].message.content)

        yield call


CLIENTS = {
    "sockets": _sockets,
    "wavecoder": _wavecoder,
    "aiohttp": _aiohttp,
    "httpx2": _httpx2,
    "openai": _openai,
}


if __name__ == "__main__":
    main()
