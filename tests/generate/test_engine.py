"""The engine over models that are slow, out of order, dear or broken: what it begins, and when."""

import asyncio
import hashlib
import re
import resource
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import (
    ArtifactError,
    BudgetError,
    ConfigError,
    FailedRequestError,
    ModelError,
    RefusedRequestError,
    StoppedError,
)
from wavecoder.generate import Generate
from wavecoder.generate.engine import Engine
from wavecoder.generate.method import Desk, Outcome
from wavecoder.llm import HttpModel, Ledger, ScriptedModel
from wavecoder.llm.fake.server import FakeServer
from wavecoder.protocols import ChatModel, Limits
from wavecoder.records import (
    ChatReply,
    ChatRequest,
    Instance,
    Message,
    RawCode,
    Rejected,
    Sampling,
)
from wavecoder.stage import Context, OnExisting, run_stage

Make = Callable[..., Context]
Serve = Callable[..., FakeServer]

FILES = ("records.parquet", "rejected.parquet")


class Plain:
    """A method of one question a function; the reply `no` refuses it. What it saw is kept."""

    def __init__(self, calls: int = 1) -> None:
        self.own_examples = ()
        self.calls = calls
        self.seen: dict[int, list[str]] = {}

    def identity(self) -> dict[str, Any]:
        return {}

    async def attempt(self, desk: Desk) -> Outcome:
        raw = desk.raw
        self.seen[desk.place] = sorted(desk.examples.instructions("plain"))
        for call in range(self.calls):
            message = Message(
                role="user", content=f"{raw.name} {call} {len(self.seen[desk.place])}"
            )
            ask = desk.judge if call else desk.write
            reply = await ask(ChatRequest(messages=(message,), sampling=Sampling(max_tokens=8)))
        if reply.text == "no":
            return Rejected(id=raw.id, reason="said_no", detail="no")
        return Instance(
            id=raw.id,
            task="plain",
            language="python",
            target_language=None,
            instruction=raw.name,
            information=None,
            solution=reply.text,
            raw_code=raw,
            bug=None,
            reply=reply.text,
            verdict=None,
            generator=desk.generator,
            discriminator=None,
            round=desk.round,
            attempt=desk.attempt,
            example_ids=(),
        )


class Model:
    """Answers with a coroutine function, and notes what it was asked."""

    concurrency, free = None, True

    def __init__(self, answer: Callable[[str], Awaitable[str]], identity: str = "model") -> None:
        self.answer = answer
        self.identity = identity
        self.asked: list[str] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        asked = request.messages[-1].content
        self.asked.append(asked)
        text = await self.answer(asked)
        return ChatReply(
            text=text, finish_reason="stop", prompt_tokens=10, completion_tokens=5, seconds=0.0
        )

    async def close(self) -> None:
        pass


def number(asked: str) -> int:
    found = re.search(r"add_(\d+)", asked)
    assert found
    return int(found[1])


def chance(*parts: object) -> float:
    return int(hashlib.blake2b(repr(parts).encode(), digest_size=4).hexdigest(), 16) / 2**32


async def often(asked: str) -> str:
    """Refuse three in ten, at once."""
    return "no" if chance(number(asked)) < 0.3 else f"yes {asked}"


def plain(model: ChatModel, calls: int = 1, **config: object) -> Generate:
    stage = Generate(
        Generate.Config.model_validate({"generator": "local:smollm2-135m-instruct", **config})
    )
    stage.method = Plain(calls)  # type: ignore[assignment]
    stage.generator = stage.discriminator = model
    return stage


def served(url: str, first_wait: float = 0.002, **config: object) -> Generate:
    """The paper's method over a real socket; all waits are multiples of the first, else 0.5 s."""
    table = {"generator": f"{url}#fake", "target_languages": ["javascript"], **config}
    stage = Generate(Generate.Config.model_validate(table))
    stage.generator = stage.discriminator = HttpModel(f"{url}#fake", first_wait=first_wait)
    return stage


Coreset = Callable[[int], dict[str, Artifact]]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Every engine that is made, to look into."""
    made: list[Engine] = []

    def make(*given: Any, **rest: Any) -> Engine:
        made.append(Engine(*given, **rest))
        return made[-1]

    monkeypatch.setattr("wavecoder.generate.stage.Engine", make)
    return made


def contents(artifact: Artifact) -> list[bytes]:
    return [(artifact.folder / name).read_bytes() for name in FILES]


def ids(artifact: Artifact) -> list[str]:
    return [one.id for one in artifact.records(Instance)]


# Rounds


@pytest.mark.parametrize(
    ("inputs", "rounds"),
    [(1, (8, 1)), (100, (8, 3)), (1_000, (15, 16)), (20_000, (256, 16)), (10**6, (256, 16))],
)
def test_rounds_follow_from_the_number_of_functions(inputs: int, rounds: tuple[int, int]):
    assert Generate.Config(generator="scripted:x").rounds(inputs) == rounds


def test_rounds_are_never_more_than_16_behind_unless_told():
    config = Generate.Config(generator="scripted:x")
    found = [config.rounds(inputs) for inputs in range(0, 40_000, 7)]
    assert {8 <= size <= 256 and 1 <= lag <= 16 for size, lag in found} == {True}
    assert Generate.Config(generator="scripted:x", round_size=3, lag=40).rounds(9) == (3, 40)


@pytest.mark.parametrize(("size", "lag"), [(1, 1), (4, 1), (4, 3), (7, 2), (50, 1)])
def test_a_round_sees_all_of_the_rounds_a_lag_ago_and_no_others(
    make_context: Make, coreset: Coreset, size: int, lag: int
):
    async def shuffled(asked: str) -> str:
        await asyncio.sleep(chance("wait", asked) / 500)
        return await often(asked)

    stage = plain(Model(shuffled), round_size=size, lag=lag)
    run_stage(stage, make_context("generate", coreset(40)))
    good = [f"add_{one}" for one in range(40) if chance(one) >= 0.3]
    for place, seen in stage.method.seen.items():  # type: ignore[attr-defined]
        before = max(0, (place // size - lag + 1) * size)
        assert seen == sorted(name for name in good if int(name[4:]) < before)


def test_neither_the_order_of_replies_nor_concurrency_decides_a_byte(
    make_context: Make, coreset: Coreset, fake_server: Serve, tmp_path: Path
):
    upstream = coreset(48)
    made = []
    for concurrency, seed in ((1, 1), (7, 2), (64, 3)):
        server = fake_server(
            latency=0.002, jitter=0.9, slow=0.1, slow_factor=20, seed=seed, refuse=0.4
        )
        ctx = make_context("generate", upstream, folder=f"at-{concurrency}")
        ctx.replies = tmp_path / f"{concurrency}.sqlite"
        ctx.limits = Limits(concurrency=concurrency)
        made.append(run_stage(served(server.url, round_size=4, lag=2), ctx))
        assert server.stats()["most_in_flight"] <= concurrency
    assert 0 < made[0].manifest.kept < 48
    assert contents(made[0]) == contents(made[1]) == contents(made[2])
    own = {f"-{one.id}" for one in made[0].records(Instance)}
    shown = {one for record in made[0].records(Instance) for one in record.example_ids}
    assert any(one.endswith(tuple(own)) for one in shown)


def test_a_slow_reply_stalls_nobody_until_the_window_is_full(make_context: Make, coreset: Coreset):
    finished: set[int] = set()
    at_the_end: list[int] = []

    async def one_is_slow(asked: str) -> str:
        if number(asked) == 0:
            for _ in range(20_000):
                if len(finished) == 19:
                    break
                await asyncio.sleep(0.001)
            for _ in range(50):  # time enough to begin what should not begin
                await asyncio.sleep(0.001)
            at_the_end.extend(sorted(finished))
        finished.add(number(asked))
        return "yes"

    # Rounds 0 to 4 need no examples of round 0; round 5 waits for it.
    run_stage(plain(Model(one_is_slow), round_size=4, lag=5), make_context("generate", coreset(40)))
    assert at_the_end == list(range(1, 20))


def test_without_feedback_a_slow_reply_stalls_nobody(make_context: Make, coreset: Coreset):
    finished: set[int] = set()
    at_the_end: list[int] = []

    async def one_is_slow(asked: str) -> str:
        if number(asked) == 0:
            for _ in range(20_000):
                if len(finished) == 199:
                    break
                await asyncio.sleep(0.001)
            at_the_end.append(len(finished))
        finished.add(number(asked))
        return "yes"

    ctx = make_context("generate", coreset(200))
    ctx.limits = Limits(concurrency=4)
    run_stage(plain(Model(one_is_slow), examples="none", round_size=1, lag=1), ctx)
    assert at_the_end == [199]


def test_no_more_is_begun_than_can_soon_be_asked(
    make_context: Make, coreset: Coreset, engines: list[Engine]
):
    most = 0

    async def counting(asked: str) -> str:
        nonlocal most
        most = max(most, len(engines[0]._tasks))
        await asyncio.sleep(0)
        return "yes"

    ctx = make_context("generate", coreset(400))
    ctx.limits = Limits(concurrency=4)
    run_stage(plain(Model(counting), examples="none"), ctx)
    assert 4 <= most <= 16


@pytest.mark.parametrize("examples", ["none", "static", "feedback"])
def test_memory_does_not_grow_with_the_functions(
    make_context: Make, coreset: Coreset, engines: list[Engine], examples: str
):
    """A tenth of what the window holds is all there may be at the end, whatever there was."""
    count = 3_000
    waiting = 0

    async def counting(asked: str) -> str:
        nonlocal waiting
        waiting = max(waiting, len(engines[0]._jobs))
        return "yes"

    stage = plain(Model(counting), examples=examples, round_size=8, lag=4)
    run_stage(stage, make_context("generate", coreset(count)))
    (engine,) = engines
    assert len(engine._new) <= 40
    assert (len(engine._jobs), len(engine._tasks), len(engine._snapshots)) == (0, 0, 1)
    assert waiting <= 200
    assert len(engine.generator._flights) == 0
    assert len(engine.database) <= 100


# The target


def test_a_target_is_the_shortest_beginning_that_holds_it(make_context: Make, coreset: Coreset):
    upstream = coreset(100)
    whole = run_stage(plain(Model(often)), make_context("generate", upstream, folder="whole"))
    good = ids(whole)
    order = [raw.id for raw in upstream["functions"].records(RawCode)]
    for target in (1, 2, 13, 40, len(good)):

        async def shuffled(asked: str) -> str:
            await asyncio.sleep(chance("wait", asked) / 1_000)
            return await often(asked)

        model = Model(shuffled)
        ctx = make_context("generate", upstream, folder=f"target-{target}")
        ctx.replies = ctx.folder.with_suffix(".sqlite")
        artifact = run_stage(plain(model, target=target), ctx)
        assert ids(artifact) == good[:target]
        needed = order.index(good[target - 1]) + 1
        assert len(model.asked) == needed  # no reply is paid for that is not needed
        assert artifact.manifest.inputs == 100
        assert artifact.manifest.rejected.get("not_needed", 0) == 100 - needed
        rest = [one.id for one in artifact.rejected() if one.reason == "not_needed"]
        assert rest == order[needed:]
        assert ctx.progress.notes == []


def test_the_server_sees_no_request_behind_the_target(
    make_context: Make, coreset: Coreset, fake_server: Serve, tmp_path: Path
):
    upstream = coreset(80)
    whole_server = fake_server(refuse=0.4)
    ctx = make_context("generate", upstream, folder="whole")
    whole = run_stage(served(whole_server.url), ctx)
    server = fake_server(refuse=0.4, latency=0.005, jitter=1.0)
    ctx = make_context("generate", upstream)
    ctx.replies = tmp_path / "target.sqlite"
    artifact = run_stage(served(server.url, target=20), ctx)
    assert ids(artifact) == ids(whole)[:20]
    stats = server.stats()
    assert set(stats["answered"].values()) == {1}
    assert stats["answered"].items() <= whole_server.stats()["answered"].items()
    asked = 80 - artifact.manifest.rejected["not_needed"]
    assert stats["ok"] <= 2 * asked


def test_a_target_resumed_in_the_middle_and_a_target_raised(make_context: Make, coreset: Coreset):
    upstream = coreset(100)
    whole = run_stage(
        plain(Model(often), target=30), make_context("generate", upstream, folder="whole")
    )
    model = Model(often)
    ctx = make_context("generate", upstream)
    ctx.replies = ctx.folder.with_suffix(".sqlite")
    for after in (5, 20, 35):

        async def stopping(asked: str, after: int = after) -> str:
            if len(model.asked) >= after:
                ctx.stop.set()
            return await often(asked)

        model.answer = stopping
        with pytest.raises(StoppedError):
            run_stage(plain(model, target=30), ctx)
        ctx.stop.clear()
    model.answer = often
    artifact = run_stage(plain(model, target=30), ctx)
    assert contents(artifact) == contents(whole)
    assert len(model.asked) == len(set(model.asked)) == 100 - whole.manifest.rejected["not_needed"]
    more = run_stage(plain(model, target=50), ctx, OnExisting.REPLACE)
    assert ids(more)[:30] == ids(whole)
    assert more.manifest.kept == 50
    assert len(model.asked) == len(set(model.asked)) == 100 - more.manifest.rejected["not_needed"]


def test_a_target_that_the_coreset_does_not_hold_is_said(make_context: Make, coreset: Coreset):
    ctx = make_context("generate", coreset(20))
    artifact = run_stage(plain(Model(often), target=19), ctx)
    assert artifact.manifest.inputs == 20
    assert "not_needed" not in artifact.manifest.rejected
    (note,) = ctx.progress.notes
    kept = artifact.manifest.kept
    assert f"the 20 functions gave {kept} accepted instances, fewer than generate.target 19" in note


# Failures


def failing(asked: str) -> str:
    raise FailedRequestError(f"the prompt has {5_000 + number(asked)} tokens.")


def test_too_many_failures_stop_the_run_and_say_why(make_context: Make, coreset: Coreset):
    async def mostly(asked: str) -> str:
        if number(asked) == 3:
            raise FailedRequestError("the moon is full")
        return failing(asked) if number(asked) >= 20 else "yes"

    ctx = make_context("generate", coreset(200))
    ctx.limits = Limits(concurrency=1)
    model = Model(mostly)
    with pytest.raises(ModelError) as caught:
        run_stage(plain(model, examples="none"), ctx)
    said = str(caught.value)
    assert caught.value.exit_code == 1
    assert re.search(
        r"51 of the last 70 functions failed, 50 of them so: the prompt has 5\d+ tok", said
    )
    assert f"wavecoder failed {ctx.folder.parent} --retry" in said
    assert len(model.asked) <= 71  # one was given the slot of the last that failed
    journal = (ctx.folder / "journal.jsonl").read_text().splitlines()
    assert len(journal) == len(model.asked) >= 70  # what was finished is there
    # The same command goes on behind them, and keeps what failed as failed.
    model.answer = often
    artifact = run_stage(plain(model, examples="none"), ctx)
    assert artifact.manifest.rejected["model_failed"] == len(journal) - 19
    assert artifact.manifest.inputs == 200
    assert len(model.asked) == len(set(model.asked)) == 200


@pytest.mark.parametrize(("share", "stops"), [(0.5, False), (0.49, True), (1.0, False)])
def test_the_bound_on_failures_is_sharp(
    make_context: Make, coreset: Coreset, share: float, stops: bool
):
    async def half(asked: str) -> str:
        return failing(asked) if number(asked) % 2 else "yes"

    ctx = make_context("generate", coreset(300))
    ctx.limits = Limits(concurrency=1, max_failed=share)
    if stops:
        with pytest.raises(ModelError, match="50 of the last 100 functions failed"):
            run_stage(plain(Model(half), examples="none"), ctx)
    else:
        artifact = run_stage(plain(Model(half), examples="none"), ctx)
        assert artifact.manifest.rejected == {"model_failed": 150}


def test_one_state_each_over_a_server_with_faults(
    make_context: Make, coreset: Coreset, fake_server: Serve
):
    named = dict.fromkeys(("context_length", "content_filter", "http_500", "reset"), 0.08)
    # A tenth of a byte a moment would take long, and nothing answers a request that hangs.
    named |= {"hang": 0.0, "drip": 0.0, "http_429": 0.0, "huge": 0.0}
    server = fake_server(fault=named, faults=0.1, retry_after=0.0)
    ctx = make_context("generate", coreset(120))
    artifact = run_stage(served(server.url), ctx)
    reasons = artifact.manifest.rejected
    assert artifact.manifest.inputs == artifact.manifest.kept + sum(reasons.values()) == 120
    assert reasons["model_refused"] > 0
    assert max(server.stats()["answered"].values()) == 1  # nothing is asked twice after success
    refused = [one for one in artifact.rejected() if one.failed]
    assert all(one.task for one in refused)


def test_an_endpoint_that_is_down_for_ten_minutes_costs_no_function(
    make_context: Make, coreset: Coreset, fake_server: Serve, tmp_path: Path
):
    upstream, minute = coreset(60), 60.0 / 1_000  # a thousandth of the waits of a real run
    whole = make_context("generate", upstream, folder="whole")
    whole.replies = tmp_path / "whole.sqlite"
    undisturbed = run_stage(served(fake_server().url), whole)
    ctx = make_context("generate", upstream)
    server = fake_server(latency=0.005, down_after=40, down_for=10 * minute)
    artifact = run_stage(served(server.url, first_wait=0.5 / 1_000), ctx)
    assert contents(artifact) == contents(undisturbed)
    assert not any(one.failed for one in artifact.rejected())
    notes = [note for note in ctx.progress.notes if "does not reply" in note]  # type: ignore[attr-defined]
    assert notes and all("trying it now and then" in note for note in notes)


def test_an_endpoint_that_is_down_for_good_ends_the_run_which_goes_on_elsewhere(
    make_context: Make, coreset: Coreset, fake_server: Serve, tmp_path: Path
):
    upstream = coreset(60)
    ctx = make_context("generate", upstream)
    server = fake_server(latency=0.005, down_after=40, down_for=3_600.0)
    with pytest.raises(ModelError, match=r"does not answer \(.*; for \d+ s\)\. Check that it runs"):
        run_stage(served(server.url, first_wait=0.5 / 2_000), ctx)  # half an hour is 0.9 s
    with Ledger(ctx.replies) as ledger:
        kept = ledger.count()
    assert kept > 0
    other = fake_server()
    artifact = run_stage(served(other.url), ctx)
    assert not any(one.failed for one in artifact.rejected())
    with Ledger(ctx.replies) as ledger:
        assert other.stats()["ok"] == ledger.count() - kept  # what was there was not asked again
    whole = make_context("generate", upstream, folder="whole")
    whole.replies = tmp_path / "whole.sqlite"
    assert contents(run_stage(served(other.url), whole)) == contents(artifact)


def test_an_endpoint_that_fails_everything_ends_the_run_early_and_says_why(
    make_context: Make, coreset: Coreset, fake_server: Serve
):
    server = fake_server(fault={"http_500": 1.0})
    with pytest.raises(ModelError, match=r"51 of the last 51 functions failed.*HTTP 500: The serv"):
        run_stage(served(server.url, first_wait=0.0005), make_context("generate", coreset(300)))
    assert server.stats()["requests"] < 200 * 8


# What a run may cost


def test_a_budget_is_never_passed_and_can_be_raised(
    make_context: Make, coreset: Coreset, fake_server: Serve, tmp_path: Path
):
    upstream = coreset(40)
    server = fake_server(latency=0.002, jitter=0.9)
    ctx = make_context("generate", upstream, folder="whole")
    ctx.replies = tmp_path / "whole.sqlite"
    whole = run_stage(served(server.url), ctx)
    ctx = make_context("generate", upstream)
    spent = 0
    for most in (8_000, 30_000, 31_000, 50_000):
        ctx.limits = Limits(max_tokens=most, concurrency=5)
        with pytest.raises(BudgetError, match="--max-tokens") as caught:
            run_stage(served(server.url), ctx)
        assert caught.value.exit_code == 3
        with Ledger(ctx.replies) as ledger:
            ((prompt, completion),) = ledger.usage().values()
        assert spent <= prompt + completion <= most
        spent = prompt + completion
    assert spent > 10_000
    ctx.limits = Limits()
    artifact = run_stage(served(server.url), ctx)
    assert contents(artifact) == contents(whole)
    assert set(server.stats()["answered"].values()) == {2}  # one of each run


def test_what_was_spent_is_counted_once_for_two_endpoints_of_one_model(
    make_context: Make, coreset: Coreset, engines: list[Engine]
):
    upstream = coreset(10)
    stage = plain(Model(often), calls=2)
    run_stage(stage, make_context("generate", upstream, folder="first"))
    stage = plain(Model(often), calls=2)
    stage.discriminator = Model(often)
    artifact = run_stage(stage, make_context("generate", upstream, folder="second"))
    assert engines[0].budget.spent.tokens == engines[1].budget.spent.tokens == 300
    assert artifact.manifest.tokens.prompt == 200
    assert len(engines[1]._slots) == 2


def test_a_price_that_is_unknown_is_said_before_anything_is_asked(
    make_context: Make, coreset: Coreset, fake_server: Serve
):
    server = fake_server()
    ctx = make_context("generate", coreset(4))
    ctx.limits = Limits(max_cost=1.0)
    with pytest.raises(ConfigError, match="--max-cost needs the price of fake"):
        run_stage(served(server.url), ctx)
    assert server.stats()["requests"] == 0


# Stopping


def stopped(stage: Generate, ctx: Context, when: Callable[[], bool]) -> None:
    """Run a stage in a thread, stop it once `when` holds, and have it end by StoppedError."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            run_stage(stage, ctx)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while not when() and thread.is_alive():
        threading.Event().wait(0.005)
    ctx.stop.set()
    thread.join(60)  # what it would wait for takes an hour
    assert not thread.is_alive()
    assert [type(error) for error in raised] == [StoppedError], raised
    ctx.stop.clear()


def test_stopping_while_the_endpoint_asks_to_wait(
    make_context: Make, coreset: Coreset, fake_server: Serve, tmp_path: Path
):
    upstream = coreset(30)
    # All but the first few are told to come again in an hour.
    slow = fake_server(max_in_flight=3, retry_after=3_600.0, latency=0.02)
    ctx = make_context("generate", upstream)
    ctx.limits = Limits(concurrency=8)
    stopped(
        served(slow.url),
        ctx,
        lambda: bool(slow.stats()["refused"]) and slow.stats()["in_flight"] == 0,
    )
    with Ledger(ctx.replies) as ledger:
        assert ledger.count() == slow.stats()["ok"] >= 1
    fast = fake_server()
    artifact = run_stage(served(fast.url), ctx)
    assert fast.stats()["answered"].keys().isdisjoint(slow.stats()["answered"])
    ctx = make_context("generate", upstream, folder="whole")
    ctx.replies = tmp_path / "whole.sqlite"
    assert contents(artifact) == contents(run_stage(served(fast.url), ctx))


@pytest.mark.parametrize(
    "limits",
    [Limits(concurrency=2), Limits(requests_per_minute=1.0), Limits(tokens_per_minute=100.0)],
)
def test_stopping_while_requests_wait_for_their_turn(
    make_context: Make, coreset: Coreset, fake_server: Serve, limits: Limits
):
    server = fake_server(latency=0.3)
    ctx = make_context("generate", coreset(30))
    ctx.limits = limits
    stopped(served(server.url), ctx, lambda: server.stats()["in_flight"] > 0)
    stats = server.stats()
    assert stats["gone"] == 0 and 1 <= stats["ok"] <= 4  # what was in flight came to its end
    with Ledger(ctx.replies) as ledger:
        assert ledger.count() == stats["ok"]
    ctx.limits = Limits()
    assert run_stage(served(server.url), ctx).manifest.inputs == 30
    assert set(server.stats()["answered"].values()) == {1}


# Two models


def test_two_models_have_their_own_endpoint_and_key_and_both_see_examples(
    make_context: Make, coreset: Coreset, fake_server: Serve, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WRITES", "one")
    monkeypatch.setenv("JUDGES", "two")
    writes, judges = fake_server(key="one"), fake_server(key="two", refuse=0.4)
    stage = Generate(
        Generate.Config(
            generator=f"{writes.url}#fake",
            discriminator=f"{judges.url}#fake-2025",
            api_key_env="WRITES",
            discriminator_api_key_env="JUDGES",
            target_languages=("javascript",),
        )
    )
    ctx = make_context("generate", coreset(60))
    artifact = run_stage(stage, ctx)
    assert not writes.stats()["refused"] and not judges.stats()["refused"].get("unauthorized")
    assert artifact.manifest.usage.keys() == {"fake", "fake-2025"}
    instances = list(artifact.records(Instance))
    assert {(one.generator, one.discriminator) for one in instances} == {("fake", "fake-2025")}
    assert all(one.example_ids for one in instances)
    with sqlite3.connect(ctx.replies) as database:
        asked = database.execute("select model, request from replies").fetchall()
    turns = {
        model: max(text.count('"role":"assistant"') for name, text in asked if name == model)
        for model in ("fake", "fake-2025")
    }
    assert turns["fake"] >= 2 and turns["fake-2025"] >= 2


def test_one_address_with_two_keys_is_two_models(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONE", "one")
    monkeypatch.setenv("TWO", "two")
    table = {"generator": "http://127.0.0.1:1/v1#m", "api_key_env": "ONE"}
    same = Generate(Generate.Config.model_validate(table))
    assert same.generator is same.discriminator
    other = Generate(Generate.Config.model_validate({**table, "discriminator_api_key_env": "TWO"}))
    assert other.generator is not other.discriminator


def test_a_key_goes_to_no_other_address_than_its_own(
    make_context: Make,
    coreset: Coreset,
    fake_server: Serve,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("WRITERS", "secret-of-the-writer")
    table = {
        "generator": f"{fake_server(key='secret-of-the-writer').url}#fake",
        "api_key_env": "WRITERS",
    }
    other = fake_server(key="secret-of-the-writer")
    stage = Generate(Generate.Config.model_validate({**table, "discriminator": f"{other.url}#x"}))
    with pytest.raises(ModelError, match="401"):
        run_stage(stage, make_context("generate", coreset(4)))
    assert other.stats()["refused"]["unauthorized"] >= 1  # it came without the key


def test_that_most_failed_is_said_where_they_are_too_few_to_stop_the_run(
    make_context: Make, coreset: Coreset
):
    def refuses(request: ChatRequest) -> str:
        raise RefusedRequestError("the prompt has 9000 tokens, the context 4096")

    stage = Generate(Generate.Config(generator="local:smollm2-135m-instruct"))
    stage.generator = stage.discriminator = ScriptedModel.from_function("refuses", refuses)
    ctx = make_context("generate", coreset(6))
    assert run_stage(stage, ctx).manifest.rejected == {"model_refused": 6}
    (note,) = [one for one in ctx.progress.notes if "failed" in one]  # type: ignore[attr-defined]
    assert note.startswith("6 of the last 6 functions failed, at last: the prompt has 9000 tokens")


def test_a_reply_that_never_ends_is_not_all_in_the_record(make_context: Make, coreset: Coreset):
    endless = ScriptedModel.from_function("endless", lambda request: "word " * 200_000)
    stage = Generate(Generate.Config(generator="local:smollm2-135m-instruct"))
    stage.generator = stage.discriminator = endless
    ctx = make_context("generate", coreset(3))
    artifact = run_stage(stage, ctx)
    assert [len(one.reply or "") for one in artifact.rejected()] == [50_002] * 3
    with sqlite3.connect(ctx.replies) as database:
        stored = database.execute("select distinct length(text) from replies").fetchall()
    assert stored == [(1_000_000,)]


# Broken machinery


def test_a_defect_of_a_method_surfaces_as_itself(
    make_context: Make, coreset: Coreset, recwarn: pytest.WarningsRecorder
):
    class Broken(Plain):
        async def attempt(self, desk: Desk) -> Outcome:
            if desk.place == 7:
                raise TypeError("place 7 is not an instruction")
            return await super().attempt(desk)

    stage = plain(Model(often))
    stage.method = Broken()  # type: ignore[assignment]
    ctx = make_context("generate", coreset(40))
    with pytest.raises(TypeError, match="place 7 is not an instruction"):
        run_stage(stage, ctx)
    assert not [one for one in recwarn if issubclass(one.category, ResourceWarning)]
    assert run_stage(plain(Model(often)), ctx).manifest.inputs == 40


@pytest.mark.parametrize("given", [None, "an instance"])
def test_a_method_that_gives_no_outcome_does_not_hang(
    make_context: Make, coreset: Coreset, given: object
):
    class Broken(Plain):
        async def attempt(self, desk: Desk) -> Outcome:
            return given  # type: ignore[return-value]

    stage = plain(Model(often))
    stage.method = Broken()  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        run_stage(stage, make_context("generate", coreset(10)))


def test_a_method_that_names_another_function_is_found_out(make_context: Make, coreset: Coreset):
    class Broken(Plain):
        async def attempt(self, desk: Desk) -> Outcome:
            return Rejected(id="another", reason="no", detail="no")

    stage = plain(Model(often))
    stage.method = Broken()  # type: ignore[assignment]
    with pytest.raises(ArtifactError, match="for no input, under the id another"):
        run_stage(stage, make_context("generate", coreset(10)))


def test_a_cancelled_request_stops_the_run(make_context: Make, coreset: Coreset):
    async def cancelling(asked: str) -> str:
        raise asyncio.CancelledError

    with pytest.raises(StoppedError):
        run_stage(plain(Model(cancelling)), make_context("generate", coreset(10)))


def test_progress_that_breaks_surfaces(
    make_context: Make, coreset: Coreset, monkeypatch: pytest.MonkeyPatch
):
    async def slow(asked: str) -> str:
        while ctx.progress.notes == []:
            await asyncio.sleep(0.01)
        return "yes"

    def broken(values: object) -> None:
        ctx.progress.notes.append("broken")
        raise ZeroDivisionError("nothing done in no time")

    ctx = make_context("generate", coreset(10))
    monkeypatch.setattr(ctx.progress, "figures", broken)
    with pytest.raises(ZeroDivisionError):
        run_stage(plain(Model(slow)), ctx)


def test_a_ledger_that_cannot_be_written_is_one_sentence_and_loses_nothing(
    make_context: Make, coreset: Coreset
):
    """A limit on the size of files stands for the full disk."""
    upstream = coreset(60)
    whole = run_stage(plain(Model(often)), make_context("generate", upstream, folder="whole"))
    ctx = make_context("generate", upstream)
    ctx.replies = ctx.folder.with_suffix(".sqlite")
    ctx.limits = Limits(concurrency=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    model = Model(often)
    try:
        with pytest.raises(ArtifactError, match="Cannot use the ledger"):
            run_stage(plain(model), ctx)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    before = len(model.asked)
    assert before < 60
    artifact = run_stage(plain(model), ctx)
    assert contents(artifact) == contents(whole)
    # Only the replies that could not be kept are asked for again.
    assert len(model.asked) - len(set(model.asked)) <= 2


def test_a_reply_that_is_lost_while_stopping_is_said(
    make_context: Make, coreset: Coreset, monkeypatch: pytest.MonkeyPatch
):
    ctx = make_context("generate", coreset(10))

    async def stopping(asked: str) -> str:
        ctx.stop.set()
        while not refusing:
            await asyncio.sleep(0.01)
        return "yes"

    refusing: list[bool] = []
    stop = Engine._stop

    def stopped_now(self: Engine) -> None:
        refusing.append(True)
        stop(self)

    def full(self: Ledger, rows: object) -> int:
        raise ArtifactError("Cannot use the ledger of replies: the disk is full.")

    monkeypatch.setattr(Engine, "_stop", stopped_now)
    monkeypatch.setattr(Ledger, "_insert", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        run_stage(plain(Model(stopping)), ctx)


def test_a_scripted_model_needs_no_server(make_context: Make, coreset: Coreset):
    model = ScriptedModel.from_function("scripted", lambda request: "yes")
    assert run_stage(plain(model), make_context("generate", coreset(3))).manifest.kept == 3
