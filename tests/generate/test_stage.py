"""The stage over a scripted model: states, rounds, resuming, examples fed back."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import (
    ConfigError,
    ModelError,
    ModelNotFoundError,
    RefusedRequestError,
    StoppedError,
)
from wavecoder.generate import Generate
from wavecoder.llm import ScriptedModel
from wavecoder.protocols import Limits
from wavecoder.records import ChatRequest, Instance, RawCode
from wavecoder.stage import Context, run_stage

Make = Callable[..., Context]


def answer(request: ChatRequest) -> str:
    """A generator and a discriminator that do their work."""
    asked = request.messages[-1].content
    name = re.findall(r"add_\d+", asked)[0]
    if asked.endswith("rule by rule."):
        rules = re.findall(r"^rule (\d+): ", request.messages[0].content, re.M)
        numbers = sorted({int(number) for number in rules})
        # The function with a 3 in its name is judged bad.
        word = "no" if "3" in name else "yes"
        lines = [f"rule {number}: {word}, because {name}" for number in numbers]
        return "\n".join([*lines, f"overall: {word}"])
    task = request.messages[0].content.split("task_name: ")[1].splitlines()[0]
    solution = {
        "code generation": f"\n```python\ndef {name}(x):\n    return x + 1\n```",
        "code summarization": f"Adds a number to x, says {name}, where x is large enough.",
        "code translation": f"\n```javascript\nfunction {name}(x) {{ return x + 1; }}\n```",
        "code repair": "given",
    }[task]
    information = "none" if task == "code generation" else "given"
    return (
        f"task_name: {task}\ninstruction: Fix the Python function `{name}`, in JavaScript too."
        f"\ninformation: {information}\nsolution: {solution}"
    )


def generate(function: Callable[[ChatRequest], str] = answer, **config: object) -> Generate:
    table: dict[str, object] = {
        "generator": "local:smollm2-135m-instruct",
        "round_size": 4,
        "lag": 1,
        "tasks": dict.fromkeys(("generation", "summarization", "translation", "repair"), 1),
        "target_languages": ["javascript"],
        **config,
    }
    stage = Generate(Generate.Config.model_validate(table))
    stage.generator = stage.discriminator = ScriptedModel.from_function("scripted", function)
    return stage


@pytest.fixture
def upstream(coreset: Callable[[int], dict[str, Artifact]]) -> dict[str, Artifact]:
    return coreset(20)


def test_every_function_ends_in_one_state(make_context: Make, upstream: dict[str, Artifact]):
    artifact = run_stage(generate(), make_context("generate", upstream))
    instances = list(artifact.records(Instance))
    rejected = list(artifact.rejected())
    assert len(instances) + len(rejected) == 20 == artifact.manifest.inputs
    assert {one.task for one in instances} == {
        "generation",
        "summarization",
        "translation",
        "repair",
    }
    assert all(one.verdict and one.verdict.passed for one in instances)
    # Names with a 3 in them: 3, 13.
    assert len(rejected) == 2
    assert all(one.reason.startswith("rule_") and one.instance for one in rejected)
    for one in instances:
        if one.task == "repair":
            assert one.solution == one.raw_code.code != one.information
        if one.task in ("summarization", "translation"):
            assert one.information == one.raw_code.code
    assert artifact.manifest.tokens.completion > 0


def test_a_round_sees_the_examples_of_earlier_rounds_only(
    make_context: Make, upstream: dict[str, Artifact]
):
    artifact = run_stage(generate(), make_context("generate", upstream))
    order = {raw.id: place for place, raw in enumerate(upstream["functions"].records(RawCode))}
    fed_back = 0
    for one in artifact.records(Instance):
        assert one.round == order[one.id] // 4
        for example_id in one.example_ids:
            source = example_id.split("-", 1)[1]
            if source in order:
                fed_back += 1
                assert order[source] // 4 < one.round
    assert fed_back > 0


@pytest.mark.parametrize(("examples", "shown"), [("none", 0), ("static", 1), ("feedback", 1)])
def test_examples_can_be_switched_off(
    make_context: Make, upstream: dict[str, Artifact], examples: str, shown: int
):
    artifact = run_stage(generate(examples=examples), make_context("generate", upstream))
    ids = {one for record in artifact.records(Instance) for one in record.example_ids}
    assert bool(ids) is bool(shown)
    own = {raw.id for raw in upstream["functions"].records(RawCode)}
    assert any(one.split("-", 1)[1] in own for one in ids) is (examples == "feedback")


def test_bad_replies_are_rejected_with_their_reason_and_kept(
    make_context: Make, upstream: dict[str, Artifact]
):
    def mumble(request: ChatRequest) -> str:
        return "I am not sure what you want."

    artifact = run_stage(generate(mumble), make_context("generate", upstream))
    assert artifact.manifest.rejected == {"no_sections": 20}
    for one in artifact.rejected():
        assert one.reply == "I am not sure what you want."
        assert one.task is not None


def test_an_unreadable_verdict_is_no_yes(make_context: Make, upstream: dict[str, Artifact]):
    def polite(request: ChatRequest) -> str:
        judged = request.messages[-1].content.endswith("rule by rule.")
        return "Yes, this looks good to me!" if judged else answer(request)

    artifact = run_stage(generate(polite), make_context("generate", upstream))
    assert artifact.manifest.kept == 0
    assert artifact.manifest.rejected == {"no_verdict": 20}


def test_a_second_attempt_draws_anew(make_context: Make, upstream: dict[str, Artifact]):
    seeds: dict[str, list[int]] = {}

    def second_time_lucky(request: ChatRequest) -> str:
        asked = request.messages[-1].content
        if asked.endswith("rule by rule."):
            return answer(request)
        name = re.findall(r"add_\d+", asked)[0]
        seeds.setdefault(name, []).append(request.sampling.seed)
        return answer(request) if len(seeds[name]) == 2 else "mumble"

    artifact = run_stage(
        generate(second_time_lucky, attempts=2), make_context("generate", upstream)
    )
    assert all(one.attempt == 1 for one in artifact.records(Instance))
    assert artifact.manifest.kept == 18
    assert all(len(set(drawn)) == 2 for drawn in seeds.values())


def test_replies_are_remembered_and_the_records_are_the_same_bytes(
    make_context: Make, upstream: dict[str, Artifact]
):
    asked: list[ChatRequest] = []

    def counting(request: ChatRequest) -> str:
        asked.append(request)
        return answer(request)

    first = run_stage(generate(counting), make_context("generate", upstream, folder="a"))
    count = len(asked)
    assert count == 40
    second = run_stage(generate(counting), make_context("generate", upstream, folder="b"))
    assert len(asked) == count  # nothing is asked twice
    for name in ("records.parquet", "rejected.parquet"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


@pytest.mark.parametrize("stop_after", [1, 9, 22])
def test_stopped_and_resumed_gives_the_same_bytes(
    make_context: Make, upstream: dict[str, Artifact], tmp_path: Path, stop_after: int
):
    whole = run_stage(generate(), make_context("generate", upstream, folder="whole"))
    ctx = make_context("generate", upstream, folder="stopped")
    ctx.replies = tmp_path / "others.sqlite"
    asked = 0

    def stopping(request: ChatRequest) -> str:
        nonlocal asked
        asked += 1
        if asked == stop_after:
            ctx.stop.set()
        return answer(request)

    with pytest.raises(StoppedError):
        run_stage(generate(stopping), ctx)
    with sqlite3.connect(ctx.replies) as database:
        (stored,) = database.execute("select count(*) from replies").fetchone()
    assert stored == asked  # what was in flight was finished and kept
    ctx.stop.clear()
    resumed = run_stage(generate(stopping), ctx)
    assert asked == 40
    for name in ("records.parquet", "rejected.parquet"):
        assert (whole.folder / name).read_bytes() == (resumed.folder / name).read_bytes()
    assert whole.manifest.tokens == resumed.manifest.tokens


def test_a_model_that_breaks_loses_nothing(make_context: Make, upstream: dict[str, Artifact]):
    asked = 0

    def breaking(request: ChatRequest) -> str:
        nonlocal asked
        asked += 1
        if asked == 15:
            raise ModelError("the endpoint is gone")
        return answer(request)

    ctx = make_context("generate", upstream)
    ctx.limits = Limits(concurrency=1)
    with pytest.raises(ModelError):
        run_stage(generate(breaking, round_size=20), ctx)
    assert asked == 15  # the rest of the round is not asked for any more
    artifact = run_stage(generate(breaking, round_size=20), ctx)
    assert artifact.manifest.kept == 18
    assert asked == 41  # forty that were answered and the one that broke


def test_a_refused_request_is_not_tried_again(make_context: Make, upstream: dict[str, Artifact]):
    asked = 0

    def refusing(request: ChatRequest) -> str:
        nonlocal asked
        asked += 1
        raise RefusedRequestError("the prompt has 5000 tokens, the context 4096")

    artifact = run_stage(generate(refusing, attempts=3), make_context("generate", upstream))
    assert artifact.manifest.rejected == {"model_refused": 20}
    assert asked == 20


def test_the_order_of_tasks_in_the_recipe_decides_nothing(
    make_context: Make, upstream: dict[str, Artifact]
):
    one, two = (
        run_stage(generate(tasks=tasks), make_context("generate", upstream, folder=folder))
        for folder, tasks in (
            ("a", {"repair": 1, "summarization": 2}),
            ("b", {"summarization": 2, "repair": 1}),
        )
    )
    assert one.manifest.fingerprint == two.manifest.fingerprint
    assert one.manifest.records_sha256 == two.manifest.records_sha256


def test_unknown_names_are_one_sentence():
    with pytest.raises(ModelNotFoundError, match=r"qwen2\.5-coder-0\.5b-instruct"):
        Generate(Generate.Config(generator="local:qwen2.5-coder-0.5b-instuct"))
    with pytest.raises(ConfigError, match="Did you mean 'repair'"):
        Generate(Generate.Config(generator="local:smollm2-135m-instruct", tasks={"repiar": None}))


def test_the_prompts_are_part_of_the_identity(tmp_path: Path):
    from wavecoder.generate.task import load_task

    one = generate().identity()
    assert one["tasks"]["repair"]["generator"]["system"] == load_task("repair").generator.system  # type: ignore[index]
    assert generate(attempts=2).identity() != one
