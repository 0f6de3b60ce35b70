"""Near-duplicates of accepted instances: alone, and through the stage in any order of replies."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import FailedRequestError, StoppedError
from wavecoder.generate import Generate
from wavecoder.generate.duplicates import AcceptedInstances
from wavecoder.generate.method import Desk, Outcome
from wavecoder.llm import ScriptedModel
from wavecoder.protocols import Limits
from wavecoder.records import (
    ChatReply,
    ChatRequest,
    FinishReason,
    Instance,
    Message,
    RawCode,
)
from wavecoder.stage import Context, retry_stage, run_stage

Make = Callable[..., Context]
Coreset = Callable[[int], dict[str, Artifact]]

RAW = RawCode(
    id="1", language="python", name="f", code="def f(): pass", docstring=None, source="s",
    path="p", start_line=1, end_line=1, content_hash="h",
)  # fmt: skip


def words(seed: int, count: int = 60) -> list[str]:
    rng = Random(seed)
    return [f"w{rng.randrange(5_000)}" for _ in range(count)]


def instance(number: object, text: str, raw: RawCode = RAW, **fields: Any) -> Instance:
    table: dict[str, Any] = {
        "id": str(number), "task": "plain", "language": "python", "target_language": None,
        "instruction": text, "information": None, "solution": "def f():\n    return 1",
        "raw_code": raw, "bug": None, "reply": text, "verdict": None, "generator": "g",
        "discriminator": None, "round": 0, "attempt": 0, "example_ids": (), **fields,
    }  # fmt: skip
    return Instance.model_validate(table)


def test_the_most_similar_accepted_instance_is_named():
    known = AcceptedInstances()
    text = words(1)
    near = [*text[:-3], "x", "y", "z"]
    assert known.add_new(instance("a", " ".join(near))) is None
    assert known.add_new(instance("b", " ".join(words(2)))) is None
    known.add(instance("c", " ".join([*text[:-1], "x"])))  # taken, whatever it repeats
    repeated = known.add_new(instance("d", " ".join(text)))
    assert repeated is not None
    assert repeated[0] == "c"
    assert 0.85 < repeated[1] < 1.0
    assert len(known) == 3


@pytest.mark.parametrize(
    "other",
    [{"task": "repair"}, {"language": "go"}, {"target_language": "rust"}],
)
def test_another_task_or_language_is_no_duplicate(other: dict[str, str]):
    known = AcceptedInstances()
    text = " ".join(words(1))
    assert known.add_new(instance("a", text)) is None
    assert known.add_new(instance("b", text, **other)) is None
    assert known.add_new(instance("c", text)) == ("a", 1.0)


def test_a_refused_one_is_nobodys_original():
    known = AcceptedInstances()
    text = words(3, 80)
    refused = 0
    for step in range(40):  # each changes one word of the one before
        text[step] = f"changed{step}"
        refused += known.add_new(instance(step, " ".join(text))) is not None
    assert len(known) == 40 - refused
    assert 2 <= len(known) < 20  # a chain compared with its last link would give 1


def test_none_of_ten_thousand_in_one_frame_is_mistaken():
    known = AcceptedInstances()
    rng = Random(0)
    frame = "Write a Python function {} that takes {} and {} and returns {} for every {}."
    for number in range(10_000):
        drawn = (f"w{rng.randrange(10_000)}" for _ in range(5))
        assert known.add_new(instance(number, frame.format(*drawn))) is None
    assert len(known) == 10_000


class Repeating:
    """A method whose answer the model decides: a number, and what has the same is much the same."""

    own_examples = ()

    def __init__(self) -> None:
        self.seen: dict[int, list[str]] = {}

    def identity(self) -> dict[str, Any]:
        return {}

    async def attempt(self, desk: Desk) -> Outcome:
        self.seen[desk.place] = list(desk.examples.instructions("plain"))
        message = Message(role="user", content=f"{desk.place}")
        reply = await desk.write(ChatRequest(messages=(message,)))
        text = words(int(reply.text), 200)
        text[desk.place % 60] = "other"
        return instance(desk.raw.id, " ".join(text), desk.raw)


def answer(asked: str) -> str:
    return str(int(asked) % 7)  # of 7 kinds


def stage(reply: Callable[[ChatRequest], Any], **config: Any) -> Generate:
    made = Generate(
        Generate.Config.model_validate({"generator": "local:smollm2-135m-instruct", **config})
    )
    made.method = Repeating()  # type: ignore[assignment]
    made.generator = made.discriminator = ScriptedModel.from_function("scripted", reply)
    return made


def contents(artifact: Artifact) -> list[bytes]:
    return [
        (artifact.folder / name).read_bytes() for name in ("records.parquet", "rejected.parquet")
    ]


class Backwards:
    """A model that answers the last of those asked at a time first."""

    identity, concurrency, free = "scripted", None, True

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.waiting: list[asyncio.Event] = []
        self.answered: list[int] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        turn = asyncio.Event()
        self.waiting.append(turn)
        if len(self.waiting) == self.at_once:
            self.waiting.pop().set()
        await turn.wait()
        asked = request.messages[-1].content
        self.answered.append(int(asked))
        if self.waiting:
            self.waiting.pop().set()
        return ChatReply(
            text=answer(asked), finish_reason=FinishReason.STOP, prompt_tokens=1,
            completion_tokens=1, seconds=0.0,
        )  # fmt: skip

    async def close(self) -> None:
        pass


def plain_answer(request: ChatRequest) -> str:
    return answer(request.messages[-1].content)


def test_the_order_of_replies_does_not_decide_which_is_the_duplicate(
    make_context: Make, coreset: Coreset, tmp_path: Path
):
    upstream = coreset(24)
    config = {"round_size": 24, "lag": 1}
    forwards = run_stage(stage(plain_answer, **config), make_context("forwards", upstream))
    model = Backwards(24)
    other = stage(plain_answer, **config)
    other.generator = other.discriminator = model  # type: ignore[assignment]
    ctx = make_context("forwards", upstream, folder="backwards")
    ctx.replies = tmp_path / "backwards.sqlite"
    ctx.limits = Limits(concurrency=24)
    backwards = run_stage(other, ctx)
    assert model.answered == list(range(23, -1, -1))
    assert contents(forwards) == contents(backwards)
    raws = [one.id for one in upstream["functions"].records(RawCode)]
    assert [one.id for one in forwards.records(Instance)] == raws[:7]
    rejected = list(forwards.rejected())
    assert {one.reason for one in rejected} == {"near_duplicate"}
    assert all(f"similar to the accepted {raws[0]}" in one.detail for one in rejected[::7])
    assert all(one.instance is not None and one.task == "plain" for one in rejected)


def test_a_stopped_run_goes_on_with_what_it_accepted(
    make_context: Make, coreset: Coreset, tmp_path: Path
):
    upstream = coreset(40)
    whole = run_stage(stage(plain_answer), make_context("generate", upstream, folder="whole"))
    ctx = make_context("generate", upstream)
    ctx.replies = tmp_path / "other.sqlite"
    for after in (4, 9, 20):

        def stopping(request: ChatRequest, after: int = after) -> str:
            if int(request.messages[-1].content) >= after:
                ctx.stop.set()
            return plain_answer(request)

        with pytest.raises(StoppedError):
            run_stage(stage(stopping), ctx)
        ctx.stop.clear()
    resumed = run_stage(stage(plain_answer), ctx)
    assert contents(resumed) == contents(whole)
    assert resumed.manifest.kept == 7


def test_a_target_counts_no_duplicates_and_begins_no_more_than_it_needs(
    make_context: Make, coreset: Coreset
):
    made = run_stage(stage(plain_answer, target=6), make_context("generate", coreset(40)))
    assert made.manifest.kept == 6
    assert made.manifest.rejected == {"not_needed": 34}
    upstream = coreset(41)
    more = run_stage(stage(plain_answer, target=8), make_context("generate", upstream, folder="8"))
    assert more.manifest.kept == 7  # there are no more kinds
    assert more.manifest.rejected == {"near_duplicate": 34}


def test_a_duplicate_is_no_example_for_others(make_context: Make, coreset: Coreset):
    made = stage(plain_answer, round_size=4, lag=1)
    run_stage(made, make_context("generate", coreset(40)))
    seen = made.method.seen[39]  # type: ignore[attr-defined]
    assert len(seen) == 7


def test_a_function_that_is_retried_is_compared_with_all_that_was_accepted(
    make_context: Make, coreset: Coreset
):
    def failing(request: ChatRequest) -> str:
        if int(request.messages[-1].content) in (3, 10):
            raise FailedRequestError("down")
        return plain_answer(request)

    upstream = coreset(20)
    ctx = make_context("generate", upstream)
    first = run_stage(stage(failing), ctx)
    assert first.manifest.rejected == {"near_duplicate": 11, "model_failed": 2}
    # 17 was accepted in place of 3 and 10, and stays.
    again = retry_stage(stage(plain_answer), make_context("generate", upstream))
    assert again is not None
    assert again.manifest.kept == first.manifest.kept == 7
    assert again.manifest.rejected == {"near_duplicate": 13}
