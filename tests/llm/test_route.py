"""How an endpoint is asked until it replies, against real servers that misbehave as told."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web

from wavecoder.errors import FailedRequestError, ModelError, RefusedRequestError, StoppedError
from wavecoder.llm.fake.server import FakeServer
from wavecoder.llm.route import Route, TransientError
from wavecoder.protocols import Limits

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Start = Callable[..., FakeServer]

KEY = "sk-secret-0123456789"
CHAT = "/chat/completions"
NOBODY = "http://127.0.0.1:9/v1"


def raw(content: bytes, seconds: float, address: str) -> bytes:
    return content


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[str]:
    """Serve POST /v1/things; gives the address."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await handle(request)

    app = web.Application()
    app.router.add_post("/v1/things", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def use(
    handle: Handler,
    use: Callable[[Route], Awaitable[Any]],
    *,
    path: str = "/v1",
    notes: list[str] | None = None,
    **limits: Any,
) -> Any:
    """Return what `use` makes of a route to a server that answers with `handle`."""

    async def main() -> Any:
        async with serving(handle) as address:
            route = Route(
                f"{address}{path}#tiny", "/things", api_key_env="TINY_KEY", first_wait=0.001
            )
            said: list[str] = [] if notes is None else notes
            route.drive(Limits(**limits), said.append)
            try:
                return await use(route)
            finally:
                await route.close()

    return asyncio.run(main())


def ask(handle: Handler, read: Any = raw, *, path: str = "/v1", **words: str) -> Any:
    return use(handle, lambda route: route.post({"n": 1}, read, **words), path=path)


def answer(status: int, text: str = "x", **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return handle


class Turns:
    """Answers with `handlers` in turn, the last one for ever."""

    def __init__(self, *handlers: Handler) -> None:
        self.handlers = list(handlers)
        self.asked = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await request.read()
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return await handler(request)


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.close()
    return response


async def no_http(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"\0\xff not HTTP\r\n\r\n")
    request.transport.close()
    return web.Response()


async def no_gzip(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"plain", headers={"Content-Encoding": "gzip"})


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/things", "/v1/things/"])
def test_the_path_may_be_in_the_address_and_the_query_is_sent_but_not_shown(path):
    async def handle(request):
        return web.Response(text=f"{request.path_qs} {await request.text()}")

    sent = ask(handle, path=f"{path}?version=2")
    assert sent == b'/v1/things?version=2 {"model":"tiny","n":1}'
    route = Route(f"http://host:1{path}?version=2#a/b", "/things")
    assert (route.address, route.name) == ("http://host:1/v1", "a/b")


def test_several_addresses_are_shown_with_their_one_name():
    route = Route("http://a:1/v1, https://b/v1#tiny", "/things")
    assert (route.address, route.name) == ("http://a:1/v1, https://b/v1", "tiny")


# What is tried again


def test_a_reply_that_cannot_be_read_is_tried_again():
    read = []

    def third(content, seconds, address):
        assert seconds > 0 and address.startswith("http://127.0.0.1")
        read.append(content)
        if len(read) < 3:
            raise TransientError("not yet")
        return "good"

    assert ask(answer(200), third) == "good"
    assert read == [b"x"] * 3


def test_a_reply_that_is_never_read_fails_after_8_tries_and_is_said_without_the_key():
    turns = Turns(answer(200, f"Bearer {KEY}"))

    def never(content, seconds, address):
        raise TransientError(f"it is {content!r}")

    words = r"/v1 failed this request 8 times, at last: it is b'Bearer \*\*\*'\.$"
    with pytest.raises(FailedRequestError, match=words):
        ask(turns, never)
    assert turns.asked == 8


@pytest.mark.parametrize("fault", [answer(500), answer(408), answer(599), cut, no_gzip])
def test_what_is_the_requests_own_fault_fails_it_after_8_tries(fault):
    turns = Turns(fault)
    with pytest.raises(FailedRequestError, match="8 times"):
        ask(turns)
    assert turns.asked == 8


@pytest.mark.parametrize("fault", [reset, no_http, hang, answer(504)])
def test_a_request_that_silences_an_endpoint_when_it_is_alone_fails(fault):
    turns = Turns(answer(200, "first"), fault)

    async def both(route):
        assert await route.post({}, raw) == b"first"
        with pytest.raises(FailedRequestError, match="8 times"):
            await route.post({}, raw)
        turns.handlers = [answer(200, "last")]
        return await route.post({}, raw)

    assert use(turns, both, timeout=0.05) == b"last"
    assert turns.asked == 10


def test_a_request_that_fails_beside_others_that_are_answered_is_the_only_one_to_fail():
    async def handle(request):
        if (await request.json())["n"] in (7, 57):
            return await reset(request)
        await asyncio.sleep(0.002)
        return web.Response(text="good")

    async def many(route):
        posts = [route.post({"n": n}, raw) for n in range(100)]
        return await asyncio.gather(*posts, return_exceptions=True)

    ends = use(handle, many)
    failed = [n for n, end in enumerate(ends) if isinstance(end, FailedRequestError)]
    assert failed == [7, 57]
    assert ends.count(b"good") == 98


@pytest.mark.parametrize("handle", [no_http, reset, answer(503), answer(502), answer(504)])
def test_an_endpoint_that_never_answers_is_one_sentence_without_the_query(handle):
    with pytest.raises(ModelError, match=r"does not answer \(.*\)\. Check that it runs") as caught:
        ask(handle, path="/v1?key=a+/secret")
    assert not isinstance(caught.value, FailedRequestError)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_nobody_there_is_asked_for_the_time_of_60_waits_and_said():
    async def main() -> None:
        route = Route(f"{NOBODY}#tiny", "/things", first_wait=0.005)
        began = time.monotonic()
        posts = [route.post({}, raw) for _ in range(20)]
        ends = await asyncio.gather(*posts, return_exceptions=True)
        assert time.monotonic() - began >= 60 * 0.005
        assert all(isinstance(end, ModelError) for end in ends)
        assert "127.0.0.1:9/v1 does not answer (the connection failed: " in str(ends[0])
        await route.close()

    asyncio.run(main())


def test_when_it_goes_down_and_comes_up_nothing_fails_or_is_asked_twice(fake_server: Start):
    server = fake_server(latency=0.005, down_after=40, down_for=0.5)

    async def main() -> list[object]:
        route = Route(f"{server.url}#fake", CHAT, first_wait=0.02)
        # Of what is taken while it goes down, some is held and never answered.
        route.drive(Limits(timeout=2.0), lambda note: None)
        posts = [route.post(chat(n), raw) for n in range(300)]
        ends = await asyncio.gather(*posts, return_exceptions=True)
        await route.close()
        return ends

    assert all(isinstance(end, bytes) for end in asyncio.run(main()))
    stats = server.stats()
    assert len(stats["answered"]) == 300
    # Counted twice is a reply that was under way when the connection was reset: it never arrived.
    assert sum(stats["answered"].values()) - 300 < 64


def chat(seed: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], "seed": seed}


# Several addresses


def test_the_load_is_shared(fake_server: Start):
    one, other = fake_server(latency=0.01), fake_server(latency=0.01)

    async def main() -> None:
        route = Route(f"{one.url},{other.url}#fake", CHAT)
        await asyncio.gather(*(route.post(chat(n), raw) for n in range(200)))
        await route.close()

    asyncio.run(main())
    counts = [server.stats()["ok"] for server in (one, other)]
    assert sum(counts) == 200 and min(counts) >= 40


@pytest.mark.parametrize("bad", ["down", "wrong key", "wrong path"])
def test_where_one_of_two_is_of_no_use_the_other_takes_the_load(fake_server: Start, bad: str):
    good, other = fake_server(latency=0.002), fake_server(key="another" * (bad == "wrong key"))
    address = {"down": NOBODY, "wrong key": other.url, "wrong path": f"{other.url}/x"}[bad]
    notes: list[str] = []

    async def main() -> None:
        route = Route(f"{address},{good.url}#fake", CHAT, api_key_env="TINY_KEY", first_wait=0.01)
        route.drive(Limits(), notes.append)
        await asyncio.gather(*(route.post(chat(n), raw) for n in range(300)))
        await route.close()

    asyncio.run(main())
    assert good.stats()["ok"] == 300
    if bad != "down":
        (note,) = notes
        assert "does not serve fake (HTTP 40" in note and "go on without it" in note
        assert other.stats()["requests"] <= 32


def test_where_both_refuse_every_request_the_last_one_ends_the_run(fake_server: Start):
    one, other = fake_server(key="a"), fake_server(key="b")

    async def main() -> None:
        route = Route(f"{one.url},{other.url}#fake", CHAT, api_key_env="TINY_KEY")
        with pytest.raises(ModelError, match=r"does not serve fake \(HTTP 401.*Check the key"):
            await route.post(chat(1), raw)
        with pytest.raises(ModelError, match="HTTP 401"):
            await route.post(chat(2), raw)
        await route.close()

    asyncio.run(main())


# What it wants


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "nan", "soon"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_cannot_be_read_is_none(status, date):
    assert ask(Turns(answer(status, **{"Retry-After": date}), answer(200))) == b"x"


@pytest.mark.parametrize("value", ["0", "-5", "-1e99", "Mon, 01 Jan 2001 00:00:00 GMT", "0.2"])
def test_a_wait_that_is_short_or_over_is_kept(value):
    turns, times = Turns(answer(429, **{"Retry-After": value}), answer(200)), []

    async def handle(request):
        times.append(time.monotonic())
        return await turns(request)

    assert ask(handle) == b"x"
    assert times[1] - times[0] >= (0.2 if value == "0.2" else 0.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        ("7200", 3600),
        ("1e99", 3600),
        # By the clock of the endpoint: ours may be wrong by years, as it is here.
        ("Mon, 01 Jan 2001 00:02:00 GMT", 120),
        ("Mon, 01 Jan 2001 00:03:00", 180),
    ],
)
def test_a_long_wait_is_said_and_left_when_the_run_is_stopped(value, seconds):
    turns = Turns(
        answer(429, "busy", **{"Retry-After": value, "Date": "Mon, 01 Jan 2001 00:00:00 GMT"})
    )

    async def stopped(route):
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        route.drive(Limits(), said.set_result)
        posts = [asyncio.create_task(route.post({}, raw)) for _ in range(5)]
        note = await said
        route.drain()
        ends = await asyncio.gather(*posts, return_exceptions=True)
        assert all(isinstance(end, StoppedError) for end in ends)
        return note

    words = f"asks to wait {seconds} s (HTTP 429: busy)."
    assert use(turns, stopped).endswith(words)


@pytest.mark.parametrize(
    "used_up",
    [
        answer(429, '{"error": {"message": "no", "code": "insufficient_quota"}}'),
        answer(429, '{"error": {"message": "You exceeded your current quota, please check."}}'),
        answer(402, "Payment required"),
        answer(400, '{"error": {"message": "Your credit balance is too low to use the API."}}'),
    ],
)
def test_a_quota_that_is_used_up_is_waited_for_and_said_and_no_error(used_up):
    turns, notes = Turns(*[used_up] * 18, answer(200)), []

    async def many(route):
        return await asyncio.gather(*(route.post({}, raw) for _ in range(30)))

    assert use(turns, many, notes=notes) == [b"x"] * 30
    assert turns.asked == 48
    assert notes and all("the quota is used up (HTTP 4" in note for note in notes)
    assert len(notes) <= 4  # one a pause, not one a request


def test_a_refusal_that_repeats_a_request_about_quotas_is_none_of_a_quota():
    words = "too long: " + "x" * 300 + " insufficient_quota"
    with pytest.raises(RefusedRequestError):
        ask(answer(400, words))


def test_pushes_without_a_wait_fail_nothing_and_are_said():
    turns, notes = Turns(*[answer(429)] * 200, answer(200)), []

    async def many(route):
        return await asyncio.gather(*(route.post({}, raw) for _ in range(30)))

    assert use(turns, many, notes=notes) == [b"x"] * 30
    assert turns.asked == 230
    assert any(
        "takes no more requests now (HTTP 429: x); trying it now and then" in note for note in notes
    )


def test_an_endpoint_with_few_places_is_soon_asked_for_as_many(fake_server: Start):
    server = fake_server(max_in_flight=6, latency=0.01, retry_after=0.0)

    async def main() -> None:
        route = Route(f"{server.url}#fake", CHAT, first_wait=0.01)
        await asyncio.gather(*(route.post(chat(n), raw) for n in range(400)))
        assert route.limit < 32
        await route.close()

    asyncio.run(main())
    stats = server.stats()
    assert stats["ok"] == 400
    assert stats["refused"]["max_in_flight"] < 200


def test_replies_that_come_too_late_cut_the_limit_and_are_asked_for_again():
    working = asyncio.Semaphore(4)  # as a model with 4 slots and a queue
    late: Counter[int] = Counter()

    async def handle(request):
        n = (await request.json())["n"]
        late[n] += 1
        async with working:
            await asyncio.sleep(0.02)
        return web.Response(text="good")

    async def many(route):
        ends = await asyncio.gather(*(route.post({"n": n}, raw) for n in range(120)))
        return ends, route.limit

    ends, limit = use(handle, many, timeout=0.3, concurrency=120)
    assert ends == [b"good"] * 120
    assert limit < 120


@pytest.mark.parametrize("limits", [{"requests_per_minute": 3_000}, {"tokens_per_minute": 3e5}])
def test_no_more_is_sent_a_minute_than_allowed(limits):
    times = []

    async def handle(request):
        times.append(time.monotonic())
        return web.Response(text="x")

    async def many(route):
        began = time.monotonic()
        await asyncio.gather(*(route.post({}, raw, tokens=100.0) for _ in range(30)))
        return began

    began = use(handle, many, **limits)
    # Fifty a second; a tenth of a second may be caught up with.
    for number, at in enumerate(sorted(times)):
        assert at - began >= number / 50 - 0.1
    assert len(times) == 30


# What is refused


def test_a_refusal_says_of_what_and_what_to_do():
    with pytest.raises(RefusedRequestError) as caught:
        ask(answer(413, "too long"), what="two functions", do="Cut them.")
    assert str(caught.value) == "tiny refuses two functions: HTTP 413: too long. Cut them."
    with pytest.raises(RefusedRequestError) as caught:
        ask(answer(413, "too long"))
    assert str(caught.value) == "tiny refuses the request: HTTP 413: too long."


@pytest.mark.parametrize("status", [201, 301, 401, 403, 404, 405])
def test_what_refuses_everything_ends_the_run_before_a_reply_and_the_request_after(status):
    turns = Turns(answer(status, "no", Location=f"{NOBODY}/things"), answer(200))

    async def both(route):
        with pytest.raises(ModelError, match=f"does not serve tiny .HTTP {status}: no") as caught:
            await route.post({}, raw)
        assert not isinstance(caught.value, RefusedRequestError)
        await route.post({}, raw)
        turns.handlers = [answer(status, "no")]
        with pytest.raises(RefusedRequestError, match=f"HTTP {status}: no"):
            await route.post({}, raw)

    use(turns, both)
    assert turns.asked == 3


def test_a_key_is_not_shown_where_the_words_are_cut_off():
    with pytest.raises(RefusedRequestError) as caught:
        ask(answer(400, "x" * 290 + KEY))
    assert "sk-" not in str(caught.value)


def test_words_that_are_too_deep_to_read_are_shown_as_they_are():
    with pytest.raises(RefusedRequestError, match=r"HTTP 400: \[{300}\.$"):
        ask(answer(400, "[" * 100_000))


# Stopping, cancelling, closing


def test_drain_lets_what_is_in_flight_finish_and_nothing_else():
    arrived, go = asyncio.Event(), asyncio.Event()

    async def handle(request):
        arrived.set()
        await go.wait()
        return web.Response(text="x") if (await request.json())["n"] else web.Response(status=500)

    async def stopped(route):
        posts = [asyncio.create_task(route.post({"n": n}, raw)) for n in range(36)]
        await arrived.wait()
        while route._gate.endpoints[0].in_flight < 32:
            await asyncio.sleep(0)
        route.drain()
        go.set()
        ends = await asyncio.gather(*posts, return_exceptions=True)
        with pytest.raises(StoppedError):
            await route.post({}, raw)
        return ends

    ends = use(handle, stopped)
    # The first one failed and would have been tried again; the last ones never went.
    assert [type(end) for end in ends] == [StoppedError, *[bytes] * 31, *[StoppedError] * 4]


def test_drain_before_the_first_request_lets_nothing_out():
    async def stopped(route):
        route.drain()
        with pytest.raises(StoppedError):
            await route.post({}, raw)

    turns = Turns(answer(200))
    use(turns, stopped)
    assert turns.asked == 0


@pytest.mark.parametrize("seed", range(5))
def test_requests_may_be_cancelled_at_any_moment(fake_server: Start, seed: int):
    server = fake_server(
        latency=0.003, faults=0.5, fault={"hang": 0.0}, retry_after=0.01, drip=1e-5
    )
    random = Random(seed)

    async def main() -> None:
        route = Route(f"{server.url}#fake", CHAT, first_wait=0.005)
        route.drive(Limits(concurrency=8, requests_per_minute=60_000), lambda text: None)
        posts = [asyncio.create_task(route.post(chat(n), raw)) for n in range(150)]
        for _ in range(60):
            await asyncio.sleep(random.choice([0.0, 0.001]))
            random.choice(posts).cancel()
        ends = await asyncio.wait_for(asyncio.gather(*posts, return_exceptions=True), timeout=60)
        kinds = {type(end) for end in ends}
        assert kinds <= {
            bytes, asyncio.CancelledError, RefusedRequestError, FailedRequestError
        }  # fmt: skip
        assert [one.in_flight for one in route._gate.endpoints] == [0]
        await route.close()

    asyncio.run(main())


def test_a_limit_from_outside_is_not_swallowed_where_it_ends_with_ours():
    async def both(route):
        loop = asyncio.get_running_loop()
        # Nothing runs while both limits end, so that they are seen in the same turn of the loop.
        loop.call_later(0.1, time.sleep, 0.15)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await route.post({}, raw)
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0

    use(hang, both, timeout=0.2)


def test_a_closed_route_can_be_used_in_another_event_loop():
    async def down(route: Route) -> None:
        with pytest.raises(ModelError, match="does not answer"):
            await route.post({}, raw)
        await route.close()
        await route.close()

    route = Route(f"{NOBODY}#tiny", "/things", first_wait=0.001)
    for _ in range(3):
        asyncio.run(down(route))


def test_a_route_that_was_drained_or_cut_off_is_used_again_after_it_is_closed(fake_server: Start):
    server = fake_server(latency=0.01)
    route = Route(f"{server.url}#fake", CHAT)

    async def cut_off() -> None:
        posts = [asyncio.create_task(route.post(chat(n), raw)) for n in range(50)]
        await posts[0]
        route.drain()
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        await route.close()

    async def whole() -> None:
        await asyncio.gather(*(route.post(chat(n), raw) for n in range(50)))
        await route.close()

    for run in (cut_off, whole, cut_off, whole):
        asyncio.run(run())
