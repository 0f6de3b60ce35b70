import json
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import BaseModel

from wavecoder.artifact import Artifact
from wavecoder.llm import Price, Prices
from wavecoder.records import (
    ChatReply,
    Checkpoint,
    Execution,
    FinishReason,
    Instance,
    RawCode,
    Rejected,
    RuleVerdict,
    Status,
    Trial,
    Verdict,
)
from wavecoder.stage import run_stage

COVERAGE = {
    "measured": 4,
    "distance": {
        "selected": {"mean": 0.4, "p50": 0.5, "p95": 0.9, "p99": 0.95, "max": 1.0},
        "random": {},
    },
    "near_duplicate_picks": {"selected": 0.0, "random": 0.25},
    "by_language": {"python": {"functions": 6, "selected": 2, "distance": {"p95": 0.8125}}},
}


class Given:
    """A stage that gives the outcomes it was given, each for the tokens of `usage`."""

    data_version, streaming = 1, False

    class Config(BaseModel):
        pass

    def __init__(self, name, writes, outcomes, radii, usage, identity, files):
        self.usage = usage
        self.files = files
        self.given_identity = identity
        self.name, self.writes = name, writes
        self.config = self.Config()
        self.outcomes = outcomes
        self.radii = radii

    def identity(self):
        return self.given_identity

    def inputs(self, ctx):
        return self.outcomes

    def run(self, inputs, ctx):
        outcomes = list(inputs)
        if self.radii is not None:
            np.save(ctx.files / "radii.npy", np.array(self.radii, dtype=np.float32))
            (ctx.files / "coverage.json").write_text(json.dumps(COVERAGE))
        for path, text in self.files.items():
            (ctx.files / path).parent.mkdir(exist_ok=True)
            (ctx.files / path).write_text(text)
        for outcome in outcomes:
            for model, (prompt, completion) in self.usage.items():
                reply = ChatReply(
                    text="",
                    finish_reason=FinishReason.STOP,
                    prompt_tokens=prompt,
                    completion_tokens=completion,
                    seconds=0.0,
                )
                ctx.used(model, reply)
            yield outcome


def raw_code(number: int, language: str = "python", code: str = "") -> RawCode:
    code = code or f"def f{number}(a):\n    return a + {number}"
    return RawCode(
        id=f"raw{number}",
        language=language,
        name=f"f{number}",
        code=code,
        docstring=None,
        source="package:stdlib",
        path=f"lib/m{number}.py",
        start_line=number,
        end_line=number + 1,
        content_hash=f"h{number}",
    )


def instance(
    raw: RawCode,
    task: str = "generation",
    rules: dict[str, bool] | None = None,
    **changes: object,
) -> Instance:
    verdict = None
    if rules is not None:
        verdict = Verdict(
            rules=tuple(
                RuleVerdict(rule=rule, passed=passed, reason=f"because {rule}")
                for rule, passed in rules.items()
            ),
            passed=all(rules.values()),
            analysis="rule 1: yes",
        )
    fields = {
        "id": raw.id,
        "task": task,
        "language": raw.language,
        "target_language": None,
        "instruction": f"Write {raw.name}.",
        "information": None,
        "solution": f"solution of {raw.name}",
        "raw_code": raw,
        "bug": None,
        "reply": f"instruction: Write {raw.name}.",
        "verdict": verdict,
        "generator": "writer@1",
        "discriminator": "judge@2" if verdict else None,
        "round": 1,
        "attempt": 0,
        "example_ids": ("good-1", "bad-1"),
    }
    return Instance(**{**fields, **changes})


def refused(one: Instance, reason: str) -> Rejected:
    detail = f"because of {reason}"
    return Rejected(
        id=one.id, reason=reason, detail=detail, task=one.task, reply=one.reply, instance=one
    )


def bare(number: int, reason: str, reply: str | None = None, task: str | None = None) -> Rejected:
    detail = f"because of {reason}"
    return Rejected(id=f"raw{number}", reason=reason, detail=detail, reply=reply, task=task)


def trial(
    benchmark: str,
    number: int,
    published: str | None = "passed",
    strict: str | None = "same",
    index: int = 0,
    **changes: object,
) -> Trial:
    """A trial of the problem of that number, with the verdicts named."""
    family, _, language = benchmark.partition("-")
    model = changes.get("model", "")
    verdicts = {"published": published, "strict": published if strict == "same" else strict}
    fields = {
        "id": f"{model}/" * bool(model) + f"{benchmark}:{family.title()}/{number}:{index}",
        "benchmark": benchmark,
        "task_id": f"{family.title()}/{number}",
        "language": language or "python",
        "index": index,
        "completion": "a completion",
        "program": "a program",
        **{
            mode: Execution(status=Status(verdict), seconds=1, cpu_seconds=1, isolated=True)
            for mode, verdict in verdicts.items()
            if verdict is not None
        },
    }
    return Trial(**{**fields, **changes})


@pytest.fixture
def build() -> SimpleNamespace:
    """The functions above, for tests that make records of their own."""
    return SimpleNamespace(
        raw_code=raw_code,
        instance=instance,
        refused=refused,
        bare=bare,
        trial=trial,
        checkpoints=checkpoints,
    )


@pytest.fixture
def measure(make_artifact) -> Callable[..., Artifact]:
    """Make an artifact of `evaluate` from trials, and from benchmarks of which all pass."""

    folders = (f"evaluate-{number}" for number in count())

    def make(*outcomes, whole=(), **identity):
        trials = [trial(name, n) for name in whole for n in range(500 if name == "mbpp" else 164)]
        return make_artifact(
            "evaluate",
            Trial,
            [*trials, *outcomes],
            usage={},
            identity=identity,
            folder=next(folders),
        )

    return make


def checkpoints(*rows: tuple[str, int, dict[str, float]]) -> str:
    """`checkpoints.json` of a base and of variants, each with its dialogues and weights."""
    base = Checkpoint(name="base", model="/models/tiny", label="tiny", dialogues=0)
    variants = [
        Checkpoint(
            name=name,
            model=f"{name}/checkpoint",
            label=f"tiny, {name}",
            dialogues=dialogues,
            weights=weights,
        )
        for name, dialogues, weights in rows
    ]
    return json.dumps([one.model_dump() for one in (base, *variants)])


@pytest.fixture
def measure_trained(make_artifact) -> Callable[..., Artifact]:
    """Make an artifact of `evaluate` of a run's checkpoints.

    `passed` has for each model and benchmark how many of its first problems pass, of how many.
    """

    def make(variants, passed, outcomes=(), **identity):
        trials = [
            trial(benchmark, number, "passed" if number < right else "wrong", model=model)
            for model, of in passed.items()
            for benchmark, (right, problems) in of.items()
            for number in range(problems)
        ]
        return make_artifact(
            "evaluate",
            Trial,
            [*trials, *outcomes],
            usage={},
            identity={"model": "trained", "prompt": "chat", "temperature": 0.0, **identity},
            files={"checkpoints.json": checkpoints(*variants)},
        )

    return make


@pytest.fixture
def make_artifact(make_context) -> Callable[..., Artifact]:
    """Make the artifact of a stage from its outcomes."""

    def make(
        name, writes, outcomes, radii=None, usage=None, identity=None, folder=None, files=None
    ):
        usage = {"writer@1": (10, 2)} if usage is None else usage
        given = Given(name, writes, outcomes, radii, usage, identity or {}, files or {})
        return run_stage(given, make_context(name, folder=folder))

    return make


@pytest.fixture
def prices() -> Prices:
    """The prices of the writer alone, in USD per million tokens."""
    return Prices({"writer": Price(prompt=1, completion=2, source="contract", date="2026-11-10")})


@pytest.fixture
def upstream(make_artifact) -> dict[str, Artifact]:
    """A run of 8 functions, 6 of them selected, with 3 accepted instances and 3 refusals."""
    raw = [raw_code(0), raw_code(1), raw_code(2, "java"), *(raw_code(n) for n in range(3, 8))]
    collected = [*raw, bare(8, "too_long"), bare(9, "too_long"), bare(10, "duplicate")]
    selected = [*raw[:6], bare(6, "not_selected"), bare(7, "not_selected")]
    generated = [
        instance(raw[0], "generation", {"answers": True, "complete": True}),
        instance(raw[1], "summarization", {"accurate": True}),
        instance(raw[2], "generation", {"answers": True, "complete": True}),
        refused(
            instance(raw[3], "generation", {"answers": True, "complete": False}), "rule_complete"
        ),
        refused(instance(raw[4], "repair"), "not_different"),
        bare(5, "no_sections", reply="I am sorry.", task="summarization"),
    ]
    return {
        "collect": make_artifact("collect", RawCode, collected, usage={}),
        "select": make_artifact(
            "select", RawCode, selected, [3.0, 2.5, 2.5, 1.0, 0.5, 0.25], usage={}
        ),
        "generate": make_artifact("generate", Instance, generated),
    }
