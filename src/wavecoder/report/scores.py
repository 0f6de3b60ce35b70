"""What the trials of an `evaluate` artifact amount to, model by model, benchmark by benchmark.

The artifact is read once and its completions are dropped as they pass. `published.yaml` says how
many problems a benchmark has: a score over fewer compares with no published figure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from wavecoder.artifact import Artifact
from wavecoder.errors import ArtifactError
from wavecoder.records import Checkpoint, Mode, Status, Trial
from wavecoder.report.metrics import Paired, Score, paired, score, score_by

__all__ = [
    "BASE",
    "BenchmarkScores",
    "Comparison",
    "Results",
    "Scores",
    "checkpoints_in",
    "published",
    "published_text",
    "read_results",
    "score_figures",
]

BASE = "base"
"""Name of the checkpoint that the others were tuned from."""
_CHECKPOINTS = TypeAdapter(list[Checkpoint])

_KS = (1, 10, 100)
_BUGS_ARE_SHOWN = ("humanevalfix", "humanevalfixdocs")
"""Elsewhere a problem has a kind of bug too, but no model is shown the buggy solution."""


@dataclass(frozen=True)
class BenchmarkScores:
    """One benchmark's scores by both rules."""

    name: str
    """`humaneval`, `humanevalfix-go`."""
    family: str
    """The name without its language, where it has one."""
    language: str
    size: int | None
    """Problems that the benchmark has; None: not known."""
    problems: int
    """Problems of which a sample was to be had."""
    samples: tuple[int, int]
    """Samples a problem, the fewest and the most, missing ones among them."""
    missing: Counter[str]
    """Samples without a completion, by reason."""
    by_mode: Mapping[Mode, Mapping[int, Score]]
    """Scores by rule and k; only rules by which something was executed."""
    by_bug: Mapping[Mode, Mapping[str, Score]]
    """pass@1 by rule and kind of bug."""
    differ: int
    """Programs that pass by one rule and not by the other; none by `harness`."""
    unsandboxed: int
    """Executions that ran without a sandbox."""

    @property
    def whole(self) -> bool:
        """Whether all of the benchmark was asked, and the published rule gave a score.

        Samples that were lost, to `harness` or as no model replied, are said beside it.
        """
        found = self.by_mode.get(Mode.PUBLISHED)
        return found is not None and found[1].value is not None and self.problems == self.size

    @property
    def alike(self) -> bool:
        """Whether both rules were asked and give the same scores."""
        kinds = {tuple((one.value, one.problems) for one in of.values()) for of in self.modes}
        return len(self.by_mode) == len(Mode) and len(kinds) == 1 and not self.differ

    @property
    def modes(self) -> Sequence[Mapping[int, Score]]:
        """The scores of each rule."""
        return list(self.by_mode.values())


@dataclass(frozen=True)
class Scores:
    """The scores of a model."""

    identity: Mapping[str, Any]
    """What decided the trials, as the manifest says it."""
    benchmarks: Sequence[BenchmarkScores]
    """In the order in which they were measured."""
    checkpoint: Checkpoint | None = None
    """Which of a run's models it is; None where there is one model, or answers made elsewhere."""

    @property
    def model(self) -> str:
        """Return the checkpoint's name; empty where there is none."""
        return "" if self.checkpoint is None else self.checkpoint.name

    def named(self, name: str) -> BenchmarkScores | None:
        """Return the scores of a benchmark, or None."""
        return next((one for one in self.benchmarks if one.name == name), None)

    def average(self, family: str, mode: Mode) -> float | None:
        """Return the mean pass@1 over all languages; None unless all of them have a score."""
        languages = published()["languages"]
        found = {one.language: one for one in self.benchmarks if one.family == family}
        values = [
            found[name].by_mode[mode][1].value
            for name in languages
            if name in found and mode in found[name].by_mode
        ]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(languages) else None


@dataclass(frozen=True)
class Comparison:
    """A model's pass@1 of a benchmark beside its base's, by one rule."""

    model: str
    benchmark: str
    mode: Mode
    base: float
    value: float
    paired: Paired


@dataclass(frozen=True)
class Results:
    """What an artifact measured: one model, or several of a run in the order of training."""

    identity: Mapping[str, Any]
    models: Sequence[Scores]
    comparisons: Sequence[Comparison]
    """Of every model with the base, where that was measured too."""

    @property
    def named(self) -> bool:
        """Whether the models have names, as those of a run's own `train` do."""
        return any(one.model for one in self.models)

    @property
    def benchmarks(self) -> Sequence[str]:
        """Return the names of all benchmarks, in the order in which they were measured."""
        return list(dict.fromkeys(one.name for of in self.models for one in of.benchmarks))

    @property
    def families(self) -> Sequence[str]:
        """Return the families of all benchmarks."""
        return list(dict.fromkeys(one.family for of in self.models for one in of.benchmarks))


@cache
def published() -> Mapping[str, Any]:
    """Return what others published, and the sizes of the benchmarks."""
    found: dict[str, Any] = yaml.safe_load(published_text())
    return found


def published_text() -> str:
    """Return the file of published figures, as it is written."""
    return files("wavecoder.report").joinpath("published.yaml").read_text("utf-8")


@dataclass
class _Gathered:
    """What is known of a benchmark while its trials are read."""

    trials: list[Trial] = field(default_factory=list)
    samples: Counter[str] = field(default_factory=Counter)
    """By problem."""
    missing: Counter[str] = field(default_factory=Counter)


def checkpoints_in(artifact: Artifact) -> list[Checkpoint]:
    """Return the checkpoints that an artifact of `train` or `evaluate` lists; else none.

    Raises:
        ArtifactError: The list is damaged.
    """
    path = artifact.files / "checkpoints.json"
    if not path.exists():
        return []
    try:
        return _CHECKPOINTS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtifactError(
            f"{path} is damaged: it is no list of checkpoints. Make the artifact again with "
            f"--on-existing replace."
        ) from error


def read_results(artifact: Artifact) -> Results:
    """Return what an artifact of `evaluate` measured.

    Raises:
        ArtifactError: A file is missing or damaged.
        RecordError: A row is no trial.
    """
    checkpoints = checkpoints_in(artifact)
    gathered: dict[str, dict[str, _Gathered]] = {one.name: {} for one in checkpoints} or {"": {}}
    for trial in artifact.records(Trial):
        one = gathered[trial.model].setdefault(trial.benchmark, _Gathered())
        one.samples[trial.task_id] += 1
        # The texts may be long, and no score looks at them.
        one.trials.append(trial.model_copy(update={"completion": "", "program": ""}))
    for rejected in artifact.rejected():
        # Ids are `benchmark:problem:index`, behind `model/` where models have names, which have no
        # slash; a problem's own may have a colon in it.
        model, own = "", rejected.id
        if checkpoints:
            model, _, own = own.partition("/")
        name, _, rest = own.partition(":")
        one = gathered[model].setdefault(name, _Gathered())
        one.samples[rest.rpartition(":")[0]] += 1
        one.missing[rejected.reason] += 1
    identity = artifact.manifest.identity
    models = [
        Scores(identity, [_scores(name, one) for name, one in gathered[of.name].items()], of)
        for of in checkpoints
    ]
    if not checkpoints:
        models = [Scores(identity, [_scores(name, one) for name, one in gathered[""].items()])]
    return Results(identity, models, list(_comparisons(models, gathered)))


def _comparisons(
    models: Sequence[Scores], gathered: Mapping[str, Mapping[str, _Gathered]]
) -> Iterator[Comparison]:
    """Yield every model beside the base, benchmark by benchmark and rule by rule."""
    for base in (one for one in models if one.model == BASE):
        for name, scores in product(gathered[BASE], models):
            ours, theirs = scores.named(name), base.named(name)
            if scores is base or ours is None or theirs is None:
                continue
            for mode in (mode for mode in ours.by_mode if mode in theirs.by_mode):
                value, before = ours.by_mode[mode][1].value, theirs.by_mode[mode][1].value
                if value is None or before is None:
                    continue
                trials = (gathered[of.model][name].trials for of in (scores, base))
                found = paired(*trials, mode=mode)
                yield Comparison(scores.model, name, mode, before, value, found)


def _scores(name: str, one: _Gathered) -> BenchmarkScores:
    language = next((trial.language for trial in one.trials), "")
    family = name.removesuffix(f"-{language}") if language else name.partition("-")[0]
    modes = [mode for mode in Mode if any(mode in trial.executions for trial in one.trials)]
    most = max(one.samples.values())
    ks = [k for k in _KS if k == 1 or k <= most]
    executions = [found for trial in one.trials for found in trial.executions.values()]
    return BenchmarkScores(
        name=name,
        family=family,
        language=language,
        size=published()["problems"].get(family),
        problems=len(one.samples),
        samples=(min(one.samples.values()), most),
        missing=one.missing,
        by_mode={mode: {k: _score(one.trials, family, mode, k) for k in ks} for mode in modes},
        by_bug={mode: _by_bug(one.trials, mode) for mode in modes}
        if family in _BUGS_ARE_SHOWN
        else {},
        differ=sum(map(_differs, one.trials)),
        unsandboxed=sum(not found.isolated for found in executions),
    )


def _score(trials: Iterable[Trial], family: str, mode: Mode, k: int) -> Score:
    # HumanEvalExplain's own figure is the mean over programs, one for each description.
    pooled = family == "humanevalexplain" and k == 1
    return score(trials, mode=mode, k=k, pooled=pooled)


def _by_bug(trials: Iterable[Trial], mode: Mode) -> dict[str, Score]:
    return score_by(
        (trial for trial in trials if trial.bug_type), lambda trial: trial.bug_type, mode=mode
    )


def _differs(trial: Trial) -> bool:
    statuses = {execution.status for execution in trial.executions.values()}
    return len(statuses) > 1 and Status.PASSED in statuses and Status.HARNESS not in statuses


def score_figures(results: Results) -> Iterator[tuple[str, float]]:
    """Yield the figures of the report, a name and a value each."""
    for scores in results.models:
        of = f"{scores.model}/" if scores.model else ""
        for name, value in _figures(scores):
            kind, _, rest = name.partition("/")
            yield f"{kind}/{of}{rest}", value
    for one in results.comparisons:
        of = f"{one.model}/{one.benchmark}/{one.mode}"
        yield f"gained/{of}", one.paired.gained
        yield f"lost/{of}", one.paired.lost


def _figures(scores: Scores) -> Iterator[tuple[str, float]]:
    """Yield the figures of one model."""
    for one in scores.benchmarks:
        for mode, by_k in one.by_mode.items():
            for k, found in by_k.items():
                if found.value is not None:
                    yield f"pass@{k}/{one.name}/{mode}", found.value
            counts = by_k[1].statuses.items()
            yield from (
                (f"verdicts/{one.name}/{mode}/{of}", count) for of, count in counts if count
            )
        if len(one.by_mode) > 1:
            yield f"differ/{one.name}", one.differ
        if one.unsandboxed:
            yield f"unsandboxed/{one.name}", one.unsandboxed
    for family, mode in product(dict.fromkeys(one.family for one in scores.benchmarks), Mode):
        value = scores.average(family, mode)
        if value is not None:
            yield f"pass@1/{family}/{mode}", value
