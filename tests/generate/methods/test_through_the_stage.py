"""Each method through the real stage and engine, over a scripted model."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from wavecoder.artifact import Artifact
from wavecoder.generate import Generate
from wavecoder.generate.export import export
from wavecoder.llm import ScriptedModel
from wavecoder.records import ChatRequest, Instance
from wavecoder.report.figures import tally
from wavecoder.stage import run_stage


def oss(request: ChatRequest) -> str:
    rng = Random(request.sampling.seed)
    words = " ".join(f"word{rng.getrandbits(16)}" for _ in range(8))
    return f"[Problem] Double x, {words}.\n[Solution]\n```python\nx = 2 * x\n```"


def evol(request: ChatRequest) -> str:
    asked = request.messages[-1].content
    if "Make it harder: " not in asked:
        return "```python\nx = 1\n```"
    wrong = "\n```python\nx\n```" if "wrong code" in asked else ""
    return f"{asked.splitlines()[0]} In Roman numerals of base {request.sampling.seed}.{wrong}"


def self_instruct(request: ChatRequest) -> str:
    # What is made up again in a later round repeats what is in the database by then; in the same
    # round, what was accepted before it.
    return "Instruction: Reverse the order of the words.\nInput: a b\nOutput: b a"


@pytest.mark.parametrize(
    ("method", "answer", "accepted"),
    [
        ("oss-instruct", oss, 24),
        ("evol-instruct", evol, 24),
        ("self-instruct", self_instruct, 1),
    ],
)
def test_a_run_ends_in_instances_that_later_stages_take(
    make_context: Callable[..., Any],
    coreset: Callable[[int], dict[str, Artifact]],
    tmp_path: Any,
    method: str,
    answer: Any,
    accepted: int,
):
    upstream = coreset(24)
    table = {"generator": "local:smollm2-135m-instruct", "method": method}
    stage = Generate(Generate.Config.model_validate({**table, "round_size": 8, "lag": 1}))
    stage.generator = stage.discriminator = ScriptedModel.from_function("scripted", answer)
    artifact = run_stage(stage, make_context("generate", upstream))
    instances = list(artifact.records(Instance))
    assert len(instances) == accepted
    assert {one.task for one in instances} == {method}
    rejected = list(artifact.rejected())
    assert len(rejected) == 24 - accepted
    assert {(one.reason, one.task) for one in rejected} <= {
        ("repeats", method),
        ("near_duplicate", method),
    }
    assert export(artifact.folder, "jsonl", tmp_path / "data.jsonl") == accepted
    counts = tally(artifact, 3)
    assert counts.acceptance(method) == accepted / 24
    assert not counts.judged
