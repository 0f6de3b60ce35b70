"""The client for endpoints, against a real server on a real socket that misbehaves as told."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from wavecoder.errors import ConfigError, FailedRequestError, ModelError, RefusedRequestError
from wavecoder.llm import HttpModel, Ledger, Remembering, open_model
from wavecoder.llm.budget import Budget, most_prompt_tokens
from wavecoder.llm.prices import Prices
from wavecoder.protocols import Limits
from wavecoder.records import ChatReply, ChatRequest, FinishReason, Message, Sampling

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KEY = "sk-secret-0123456789"
REQUEST = ChatRequest(
    messages=(Message(role="system", content="be brief"), Message(role="user", content="hi")),
    sampling=Sampling(temperature=0.5, top_p=0.9, max_tokens=33, seed=7),
)


def completion(**changes: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    return {"choices": [choice | changes.pop("choice", {})], "usage": usage} | changes


def good(**changes: Any) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(completion(**changes))

    return handle


def status(code: int, text: str = "", **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=text, headers=headers)

    return handle


def body(data: bytes) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=data, content_type="application/json")

    return handle


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


class Endpoint:
    """Answers with `handlers` in turn, the last one for ever; remembers what it was asked."""

    def __init__(self, *handlers: Handler) -> None:
        self.handlers = list(handlers)
        self.asked: list[tuple[float, dict[str, Any], str | None]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Authorization")
        self.asked.append((time.monotonic(), await request.json(), key))
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return await handler(request)

    async def handle_raw(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((time.monotonic(), await request.json(), None))
        choice = {"text": " world", "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {}})

    def run(self, use: Callable[[HttpModel], Awaitable[Any]], key: str | None = None) -> Any:
        """Serve, and `use` a model that asks here."""

        async def main() -> Any:
            app = web.Application()
            app.router.add_post("/v1/chat/completions", self.handle)
            app.router.add_post("/v1/completions", self.handle_raw)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            model = HttpModel(f"http://127.0.0.1:{port}/v1#tiny", key, first_wait=0.001)
            try:
                return await use(model)
            finally:
                await model.close()
                await model.close()
                await runner.cleanup()

        return asyncio.run(main())

    def ask(self, key: str | None = None) -> ChatReply:
        reply = self.run(lambda model: model.complete(REQUEST), key)
        assert isinstance(reply, ChatReply)
        return reply


def test_the_request_is_what_the_protocol_says_and_the_reply_is_read():
    endpoint = Endpoint(good())
    reply = endpoint.ask()
    assert (reply.text, reply.finish_reason) == ("hello", FinishReason.STOP)
    assert (reply.prompt_tokens, reply.completion_tokens) == (9, 2)
    assert reply.seconds > 0
    ((_, sent, key),) = endpoint.asked
    assert key is None
    assert sent == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 33,
        "seed": 7,
    }


def test_a_text_to_go_on_with_goes_to_completions_with_its_stop_words():
    endpoint = Endpoint(good())
    sampling = Sampling(max_tokens=5, stop=("\n\n",))
    message = Message(role="user", content="hello")
    request = ChatRequest(messages=(message,), raw=True, sampling=sampling)
    reply = endpoint.run(lambda model: model.complete(request))
    assert reply.text == " world"
    ((_, sent, _),) = endpoint.asked
    assert (sent["prompt"], sent["stop"], "messages" in sent) == ("hello", ["\n\n"], False)


def test_a_reply_cut_at_its_length_says_so():
    assert (
        Endpoint(good(choice={"finish_reason": "length"})).ask().finish_reason
        is FinishReason.LENGTH
    )


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": None}, {"prompt_tokens": -1}])
def test_usage_that_is_missing_or_makes_no_sense_is_not_known(usage):
    reply = Endpoint(good(usage=usage)).ask()
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("hello", None, None)


def test_a_reply_without_content_is_empty():
    assert Endpoint(good(choice={"message": {"content": None}})).ask().text == ""


@pytest.mark.parametrize(
    "fault",
    [
        status(429),
        status(500, "oops"),
        status(503),
        status(408),
        reset,
        truncated,
        body(b'{"choices": [{"mess'),
        body(b"\xff\xfe"),
        body(b'{"choices": []}'),
        body(b'{"choices": [{"finish_reason": "stop", "message": {"content": 5}}]}'),
        body(b'{"error": {"message": "overloaded"}}'),
        body(b"[" * 100_000),
        body(b'{"choices": [], ' + json.dumps(completion())[1:].encode()),
        body(json.dumps(completion(model="another")).encode()),
        body(b"null"),
        body(b""),
    ],
)
def test_what_is_transient_is_tried_again(fault):
    endpoint = Endpoint(fault, fault, good())
    assert endpoint.ask().text == "hello"
    assert len(endpoint.asked) == 3


def test_after_eight_tries_the_request_fails_with_the_servers_words():
    endpoint = Endpoint(status(500, '{"error": {"message": "out of\\n memory"}}'))
    with pytest.raises(FailedRequestError, match=r"8 times, at last: HTTP 500: out of memory\.$"):
        endpoint.ask()
    assert len(endpoint.asked) == 8


def test_a_reply_of_one_megabyte_and_one_that_drips_are_read(fake_server):
    server = fake_server(fault={"huge": 0.5, "drip": 0.5}, drip=1e-5)

    async def main() -> list[ChatReply]:
        model = HttpModel(f"{server.url}#fake")
        replies = await asyncio.gather(*(model.complete(asked(seed)) for seed in range(20)))
        await model.close()
        return replies

    lengths = [len(reply.text) for reply in asyncio.run(main())]
    assert max(lengths) > 900_000 and min(lengths) < 10_000


def asked(seed: int, **changes: Any) -> ChatRequest:
    sampling = REQUEST.sampling.model_copy(update={"seed": seed})
    return REQUEST.model_copy(update={"sampling": sampling, **changes})


def test_a_prompt_with_half_a_character_is_sent_as_json_can_say_it():
    endpoint = Endpoint(good())
    message = Message(role="user", content="a\ud800b")
    endpoint.run(lambda model: model.complete(asked(0, messages=(message,))))
    assert endpoint.asked[0][1]["messages"] == [{"role": "user", "content": "a\ud800b"}]


@pytest.mark.parametrize(
    ("words", "without", "instead"),
    [
        ("response_format is not supported", "response_format", None),
        ("'max_tokens' is not known, use 'max_completion_tokens'.", "max_tokens", 33),
        ('[{"type": "extra_forbidden", "loc": ["body", "seed"]}]', "seed", None),
    ],
)
def test_a_parameter_that_is_not_known_is_left_out_from_then_on(words, without, instead):
    async def handle(request: web.Request) -> web.StreamResponse:
        sent = await request.json()
        return await (status(400, words) if without in sent else good())(request)

    async def use(model: HttpModel) -> None:
        schema = {"type": "object"}
        await model.complete(asked(0, reply_schema=schema))
        both = (model.complete(asked(seed, reply_schema=schema)) for seed in (1, 2))
        await asyncio.gather(*both)

    endpoint = Endpoint(handle)
    endpoint.run(use)
    sent = [body for _, body, _ in endpoint.asked]
    assert [without in body for body in sent] == [True, False, False, False]
    assert all(body.get("max_completion_tokens") == instead for body in sent[1:])
    others = {"response_format", "max_tokens", "seed"} - {without}
    assert all(others <= set(body) for body in sent)


@pytest.mark.parametrize(
    "words", ["max_tokens is too large: 33", "please proceed with less", "maximum context length"]
)
def test_other_refusals_leave_the_parameters_alone(words):
    endpoint = Endpoint(status(400, words))
    with pytest.raises(RefusedRequestError, match=words):
        endpoint.ask()
    assert len(endpoint.asked) == 1


def test_another_model_from_the_start_ends_the_run():
    endpoint = Endpoint(good(model="tiny-mini"))
    with pytest.raises(ModelError, match=r"answers as 'tiny-mini', not as 'tiny'\. Write"):
        endpoint.ask()
    assert len(endpoint.asked) == 3


def test_another_model_after_the_right_one_fails_the_request():
    async def use(model: HttpModel) -> None:
        await model.complete(REQUEST)
        with pytest.raises(FailedRequestError, match="the reply is of 'tiny-mini', another model"):
            await model.complete(REQUEST)

    endpoint = Endpoint(good(model="tiny"), good(model="tiny-mini"))
    endpoint.run(use)
    assert len(endpoint.asked) == 9


def paid(completion_tokens: int, **changes: Any) -> Handler:
    return good(usage={"prompt_tokens": 9, "completion_tokens": completion_tokens}, **changes)


def test_what_another_model_replied_was_paid_for_and_counts(tmp_path):
    path = tmp_path / "replies.sqlite"

    async def use(model: HttpModel) -> None:
        budget = Budget(prices=Prices.load(), max_tokens=100_000)
        with Ledger(path) as ledger:
            remembering = Remembering(model, ledger, budget)
            reply = await remembering.complete(asked(0))
            assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("hello", 27, 123)
            # Another process that goes on from the ledger has the same sum.
            assert ledger.usage() == {"tiny": (27, 123)}
            assert budget.spent.tokens == 150
            with pytest.raises(FailedRequestError):
                await remembering.complete(asked(1))
            assert budget.spent.tokens == 150 + 8 * 1_009
            with pytest.raises(RefusedRequestError, match="content_filter"):
                await remembering.complete(asked(2))
            assert budget.spent.tokens == 150 + 8 * 1_009 + 9 + 5 + 9 + 7

    endpoint = Endpoint(
        paid(1, model="another"),
        paid(20, choices=[]),
        paid(102, model="tiny"),
        *[paid(1_000, model="another")] * 8,
        paid(5, model="another"),
        paid(7, choice={"finish_reason": "content_filter"}),
    )
    endpoint.run(use)


def test_another_model_from_the_start_is_paid_for_as_often_as_it_replied(tmp_path):
    async def use(model: HttpModel) -> None:
        budget = Budget(prices=Prices.load())
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            remembering = Remembering(model, ledger, budget)
            with pytest.raises(ModelError, match="answers as"):
                await remembering.complete(REQUEST)
            assert (budget.spent.tokens, ledger.count()) == (3 * 11, 0)

    Endpoint(good(model="another")).run(use)


def test_where_nobody_says_what_a_reply_of_no_use_took_the_most_is_counted(tmp_path):
    async def use(model: HttpModel) -> None:
        budget = Budget(prices=Prices.load())
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            remembering = Remembering(model, ledger, budget)
            with pytest.raises(ModelError, match="answers as"):
                await remembering.complete(REQUEST)
        assert budget.spent.tokens == most_prompt_tokens(len("be briefhi")) + 33

    Endpoint(good(model="another", usage=None)).run(use)


def test_what_waits_to_be_sent_is_not_in_flight(tmp_path):
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        arrived.release()
        await go.wait()
        return web.json_response(completion())

    async def use(model: HttpModel) -> None:
        model.drive(Limits(concurrency=3), lambda note: None)
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            remembering = Remembering(model, ledger)
            tasks = [asyncio.create_task(remembering.complete(asked(n))) for n in range(8)]
            for _ in range(3):
                await arrived.acquire()
            assert (remembering.asked, remembering.in_flight, model.in_flight) == (8, 3, 3)
            go.set()
            await asyncio.gather(*tasks)
            assert remembering.in_flight == 0

    Endpoint(slowly).run(use)


@pytest.mark.parametrize(
    ("name", "served", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("gpt-4", "gpt-4-1106-preview", True),
        ("Qwen2.5-Coder", "models/qwen2.5-coder.gguf", True),
        ("llama3", "llama3:latest", True),
        ("small-latest", "small-2506", True),
        ("flash", "flash-002", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("llama-3", "llama-3-70b", False),
        ("llama-3", "llama-3-405b", False),
        ("llama-3", "llama-31", False),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-4o", "", True),
        ("gpt-4o", None, True),
    ],
)
def test_a_dated_name_is_the_same_model_and_another_size_is_not(name, served, same):
    async def use(model: HttpModel) -> ChatReply:
        model.identity = name
        return await model.complete(REQUEST)

    endpoint = Endpoint(good(model=served))
    if same:
        assert endpoint.run(use).text == "hello"
    else:
        with pytest.raises(ModelError, match="answers as"):
            endpoint.run(use)


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_request_that_can_never_succeed_is_refused_at_once_in_the_servers_words(code):
    words = '{"error": {"message": "maximum context length is 4096 tokens."}}'
    endpoint = Endpoint(status(code, words))
    with pytest.raises(RefusedRequestError, match=r"maximum context length is 4096 tokens\.$"):
        endpoint.ask()
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("code", [301, 401, 403, 404, 405])
def test_what_would_refuse_every_request_stops_the_run_at_once(code):
    endpoint = Endpoint(status(code, "no", Location="http://127.0.0.1:9/"))
    with pytest.raises(ModelError, match=f"HTTP {code}: no.*Check the") as error:
        endpoint.ask()
    assert not isinstance(error.value, RefusedRequestError)
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls", None])
def test_other_ends_of_a_reply_are_refused(reason):
    with pytest.raises(RefusedRequestError, match=str(reason)):
        Endpoint(good(choice={"finish_reason": reason})).ask()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"error": "plain"}', "plain"),
        ('{"message": "also"}', "also"),
        ('{"detail": "fastapi"}', "fastapi"),
        ('{"detail": [{"loc": ["body"]}]}', "loc"),
        ("<html>nginx</html>", "nginx"),
        ("", "no words"),
        ("x" * 5_000, "x" * 300),
    ],
)
def test_the_servers_words_are_found_wherever_it_puts_them(content, words):
    with pytest.raises(RefusedRequestError, match=words) as error:
        Endpoint(status(400, content)).ask()
    assert len(str(error.value)) < 400


def test_nobody_there_is_said_with_the_address():
    async def main() -> None:
        model = HttpModel("http://127.0.0.1:9/v1#tiny", first_wait=0.001)
        try:
            await model.complete(REQUEST)
        finally:
            await model.close()

    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9/v1 does not answer.*Check that it runs"):
        asyncio.run(main())


def test_the_key_is_sent_and_shown_nowhere(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TINY_KEY", f"  {KEY}\n")
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def use(model: HttpModel) -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            remembering = Remembering(model, ledger)
            for seed in range(3):
                sampling = REQUEST.sampling.model_copy(update={"seed": seed})
                try:
                    await remembering.complete(REQUEST.model_copy(update={"sampling": sampling}))
                except ModelError as error:
                    shown.extend([str(error), repr(error), str(error.__cause__)])
            shown.extend([repr(model), repr(remembering), model.identity])

    endpoint = Endpoint(good(), status(401, f"Wrong key: {KEY}"), status(500, f"Bearer {KEY}"))
    endpoint.run(use, "TINY_KEY")
    assert {key for _, _, key in endpoint.asked} == {f"Bearer {KEY}"}
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"hello" in stored and KEY.encode() not in stored
    assert "Wrong key: ***" in " ".join(shown)
    assert KEY not in " ".join(shown) + caplog.text


@pytest.mark.parametrize("value", [None, "", "  ", "sk-ünicode", "sk-two\nlines"])
def test_a_key_that_is_not_there_or_no_key_is_said_without_it(monkeypatch, value):
    monkeypatch.delenv("TINY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("TINY_KEY", value)
    with pytest.raises(ConfigError, match="TINY_KEY") as error:
        open_model("http://localhost/v1#tiny", api_key_env="TINY_KEY")
    assert "sk-" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http://localhost:8000/v1", "names no model"),
        ("http://localhost:8000/v1#", "names no model"),
        ("http://localhost:99999/v1#tiny", "is no address"),
        ("http:#tiny", "is no address"),
        ("http://a/v1,localhost:8001/v1#tiny", "write http://localhost:8001/v1#tiny"),
        ("http://[::1/v1#tiny", "is no address"),
        ("https://user:secret@host/v1#tiny", "api_key_env"),
    ],
)
def test_an_address_that_is_none_is_said(spec, words):
    with pytest.raises(ConfigError, match=words) as error:
        open_model(spec)
    assert "secret" not in str(error.value)


def test_the_identity_is_the_name_and_not_the_address():
    one = open_model("http://localhost:8000/v1#Qwen/Qwen2.5")
    other = open_model("https://example.org/v1/#Qwen/Qwen2.5")
    assert one.identity == other.identity == "Qwen/Qwen2.5"
    assert one.concurrency == 32


def test_many_requests_are_in_flight_at_once():
    working = most = 0

    async def slowly(request: web.Request) -> web.StreamResponse:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0.02)
        working -= 1
        return web.json_response(completion())

    async def use(model: HttpModel) -> None:
        model.drive(Limits(concurrency=100), lambda note: None)
        await asyncio.gather(*(model.complete(REQUEST) for _ in range(600)))

    Endpoint(slowly).run(use)
    assert 64 < most <= 100
