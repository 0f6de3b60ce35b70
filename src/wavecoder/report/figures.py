"""Compute the figures of a run from what its stages left on disk.

| name                     | of       | value                                                     |
|--------------------------|----------|-----------------------------------------------------------|
| `inputs`, `kept`         | each     | records in, records kept                                  |
| `rejected/REASON`        | each     | records rejected for that reason                          |
| `tokens/prompt`, `tokens/completion` | each | tokens models read and wrote                      |
| `tokens/prompt/MODEL` …  | each     | the same for each model                                   |
| `uncounted/MODEL`        | each     | its replies without a count of tokens, if there are any   |
| `cost_usd/MODEL`, `cost_usd` | each | USD for each model, and together                          |
| `cover_radius`           | select   | cover radius once all are picked                          |
| `distance/WHO/p95` …     | select   | how far functions are from the nearest pick               |
| `near_duplicate_picks/WHO` | select | share of picks with another at a cosine of 0.95 or more   |
| `instances/TASK/LANGUAGE` | generate | accepted instances, by language of the raw code          |
| `cost_per_accepted_usd`  | generate | USD / accepted instances                                  |
| `failed`                 | generate | functions to which no model replied                       |
| `not_needed`             | generate | functions behind the target, not asked for                |
| `retried`                | generate | instances made after their round, as they failed at first |
| `acceptance`             | generate | kept / inputs, without the failed and those not needed    |
| `acceptance/TASK`        | generate | accepted / accepted and refused of the task               |
| `rules/TASK/RULE`        | generate | verdicts in which the rule passed / verdicts on the rule  |
| `verdicts`, `verdicts/passed` | generate | instances that were judged, and those that passed    |
| `level/TASK/LEVEL`       | generate, regenerate | instances of which running showed so much     |
| `solutions/WHAT`         | regenerate | `rewritten`, or the reason for which the old one stays  |
| `loss/VARIANT`           | train    | of the last step, in nats a response token                |
| `held_out_loss/VARIANT/before`, `…/after` | train | the same of what is held out             |
| `steps/VARIANT`, `trained_tokens/VARIANT` | train | steps of the optimizer, tokens they read  |
| `dialogues/task/TASK`, `dialogues/source/SOURCE` | train | dialogues, held out ones among them |
| `dialogues/held_out`     | train    | dialogues that were not trained on                        |
| `pass@K/BENCHMARK/MODE`  | evaluate | the unbiased estimate, in 0..1                            |
| `pass@1/FAMILY/MODE`     | evaluate | its mean over all six languages of HumanEvalPack          |
| `verdicts/BENCHMARK/MODE/STATUS` | evaluate | programs with that verdict, if there are any      |
| `differ/BENCHMARK`       | evaluate | programs that pass by one rule and not by the other       |
| `unsandboxed/BENCHMARK`  | evaluate | executions without a sandbox, if there are any            |
| `gained/MODEL/BENCHMARK/MODE`, `lost/…` | evaluate | problems passed oftener than by the base |

Where several models were measured, MODEL stands behind the first word: `pass@1/tuned/humaneval/…`.
A cost stands only where it is known: every price, and the tokens of every reply. A count of failed,
not needed or retried ones stands where there are any.
WHO is `selected`, or `random` for as many functions picked at random.
How long a stage took is no figure: equal runs have equal figures. The manifests say it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from typing import Any, TypeVar

import numpy as np

from wavecoder.artifact import Artifact, Tokens, read_json
from wavecoder.errors import ArtifactError
from wavecoder.llm import Price, Prices
from wavecoder.records import Figure, Instance, Level, RawCode, Rejected
from wavecoder.report.scores import read_results, score_figures
from wavecoder.report.training import read_training, training_figures

T = TypeVar("T")

__all__ = [
    "ModelCost",
    "Spending",
    "Tally",
    "cover_radii",
    "coverage",
    "figures",
    "raw_codes",
    "spending",
    "tally",
]

_JUDGED, _NEARLY_ALL = 20, 0.95  # verdicts, and the share of them that passed

NOT_NEEDED = "not_needed"
"""Reason of the functions that a target left over."""


@dataclass(frozen=True)
class ModelCost:
    """What a stage's outcomes took of one model."""

    model: str
    tokens: Tokens
    price: Price | None
    """None: unknown."""
    counted: float | None
    """USD for the tokens that were counted; None where the price is unknown."""

    @property
    def cost(self) -> float | None:
        """USD, or None where it is not known of every reply."""
        return None if self.tokens.uncounted else self.counted


@dataclass(frozen=True)
class Spending:
    """What a stage's outcomes took of all models."""

    models: tuple[ModelCost, ...]
    kept: int

    @property
    def cost(self) -> float | None:
        """USD, or None where it is not known of every model."""
        costs = [one.cost for one in self.models]
        return None if None in costs else sum(cost or 0.0 for cost in costs)

    @property
    def per_kept(self) -> float | None:
        """USD for each record kept, or None where that is not known or nothing was kept."""
        return None if self.cost is None or not self.kept else self.cost / self.kept


@dataclass
class Tally:
    """What `generate` left, counted in one pass, and some of it to show."""

    instances: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Accepted instances by task and language of the raw code."""
    accepted: Counter[str] = field(default_factory=Counter)
    """Accepted instances by task."""
    refused: Counter[str] = field(default_factory=Counter)
    """Refusals by task; a function that no task suited has none."""
    failed: Counter[str] = field(default_factory=Counter)
    """Functions to which no model replied, by reason."""
    failures: dict[str, str] = field(default_factory=dict)
    """What the first of them says, by reason."""
    not_needed: int = 0
    """Functions that were not asked for, as the target was reached without them."""
    unsuited: int = 0
    """Functions that no task suited."""
    retried: int = 0
    """Instances, accepted or refused, that failed at first and were made after their round."""
    judged: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Verdicts by task and rule, on accepted and on refused instances."""
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Those of `judged` in which the rule passed."""
    levels: Counter[tuple[str, Level]] = field(default_factory=Counter)
    """Accepted instances by task and what running their code showed, where any code was run."""
    verdicts: Counter[bool] = field(default_factory=Counter)
    """Instances that were judged, by whether they passed."""
    generators: set[str] = field(default_factory=set)
    discriminators: set[str] = field(default_factory=set)
    shown_accepted: list[Instance] = field(default_factory=list)
    """Some accepted instances, over all tasks."""
    shown_refused: list[Rejected] = field(default_factory=list)
    """Some refusals, over all reasons, those with something to read first."""

    @property
    def tasks(self) -> list[str]:
        """Return the tasks that were tried."""
        return sorted(self.accepted.keys() | self.refused.keys())

    def acceptance(self, task: str) -> float:
        """Return the share of a task's accepted and refused ones that were accepted."""
        return self.accepted[task] / (self.accepted[task] + self.refused[task])

    @property
    def rubber_stamp(self) -> bool:
        """Say whether the discriminator passed nearly all that it judged, so that it tells little.

        Of a judge that is right, so few refusals can be the merit of the checks before it;
        `wavecoder calibrate` says which it is.
        """
        seen = self.verdicts.total()
        return seen >= _JUDGED and self.verdicts[True] >= _NEARLY_ALL * seen

    @property
    def ran(self) -> bool:
        """Say whether code of accepted instances was run."""
        return any(level != Level.PARSED for _, level in self.levels)

    @property
    def settled(self) -> int:
        """Functions that were accepted or refused."""
        return self.accepted.total() + self.refused.total() + self.unsuited

    def accept(self, instance: Instance) -> None:
        """Count an accepted instance."""
        self.instances[instance.task, instance.language] += 1
        self.accepted[instance.task] += 1
        self.levels[instance.task, instance.level] += 1
        self.judge(instance)

    def refuse(self, rejected: Rejected) -> None:
        """Count a refusal, a failure, or a function that was not needed."""
        if rejected.failed:
            self.failed[rejected.reason] += 1
            self.failures.setdefault(rejected.reason, rejected.detail)
            return
        if rejected.reason == NOT_NEEDED:
            self.not_needed += 1
        elif rejected.task is None:
            self.unsuited += 1
        else:
            self.refused[rejected.task] += 1
        if rejected.instance is not None:
            self.judge(rejected.instance)

    def judge(self, instance: Instance) -> None:
        """Count what was said of an instance, and by whom."""
        task = instance.task
        self.retried += instance.retried
        self.generators.add(instance.generator)
        if instance.discriminator is not None:
            self.discriminators.add(instance.discriminator)
        if instance.verdict is None:
            return
        self.verdicts[instance.verdict.passed] += 1
        for rule in instance.verdict.rules:
            self.judged[task, rule.rule] += 1
            self.passed[task, rule.rule] += rule.passed


def figures(upstream: Mapping[str, Artifact], prices: Prices) -> list[Figure]:
    """Return every figure of a run at these prices; see the table above."""
    found: list[Figure] = []

    def add(stage: str, name: str, value: float) -> None:
        found.append(Figure(id=f"{stage}/{name}", stage=stage, name=name, value=value))

    for stage, artifact in upstream.items():
        manifest = artifact.manifest
        add(stage, "inputs", manifest.inputs)
        add(stage, "kept", manifest.kept)
        for reason, count in manifest.rejected.items():
            add(stage, f"rejected/{reason}", count)
        add(stage, "tokens/prompt", manifest.tokens.prompt)
        add(stage, "tokens/completion", manifest.tokens.completion)
        for name, value in _of_spending(spending(artifact, prices)):
            add(stage, name, value)
    of_stage: dict[str, Callable[[Artifact], Iterable[tuple[str, float]]]] = {
        "select": _of_select,
        "generate": lambda artifact: _of_generate(artifact, prices),
        "regenerate": _of_regenerate,
        "train": lambda artifact: training_figures(read_training(artifact)),
        "evaluate": lambda artifact: score_figures(read_results(artifact)),
    }
    for stage, own in of_stage.items():
        for name, value in own(upstream[stage]) if stage in upstream else ():
            add(stage, name, value)
    return found


def spending(artifact: Artifact, prices: Prices) -> Spending:
    """Return what a stage's outcomes took of each model, and what that costs.

    Raises:
        ArtifactError: The stage's list of free models is damaged.
    """
    path = artifact.files / "free.json"
    if path.exists():
        nothing = Price(prompt=0, completion=0, source="this machine", date="")
        prices = prices.with_own(dict.fromkeys(read_json(path)["models"], nothing))
    usage = artifact.manifest.usage
    models = tuple(
        ModelCost(
            model=model,
            tokens=tokens,
            price=prices.find(model),
            counted=prices.cost(model, tokens.prompt, tokens.completion),
        )
        for model, tokens in usage.items()
    )
    return Spending(models, artifact.manifest.kept)


def _of_regenerate(artifact: Artifact) -> Iterable[tuple[str, float]]:
    counts: Counter[str] = Counter()
    levels: Counter[tuple[str, Level]] = Counter()
    for instance in artifact.records(Instance):
        counts[instance.regenerated or "not_asked"] += 1
        levels[instance.task, instance.level] += 1
    for what, count in sorted(counts.items()):
        yield f"solutions/{what}", count
    for (task, level), count in sorted(levels.items()):
        yield f"level/{task}/{level}", count


def _of_spending(found: Spending) -> Iterable[tuple[str, float]]:
    for one in found.models:
        yield f"tokens/prompt/{one.model}", one.tokens.prompt
        yield f"tokens/completion/{one.model}", one.tokens.completion
        if one.tokens.uncounted:
            yield f"uncounted/{one.model}", one.tokens.uncounted
        if one.cost is not None:
            yield f"cost_usd/{one.model}", one.cost
    if found.models and found.cost is not None:
        yield "cost_usd", found.cost


def _of_generate(artifact: Artifact, prices: Prices) -> Iterable[tuple[str, float]]:
    counts, spent = tally(artifact), spending(artifact, prices)
    if spent.models and spent.per_kept is not None:
        yield "cost_per_accepted_usd", spent.per_kept
    apart = {"failed": counts.failed.total(), NOT_NEEDED: counts.not_needed}
    for name, count in {**apart, "retried": counts.retried}.items():
        if count:
            yield name, count
    if counts.settled:
        yield "acceptance", counts.accepted.total() / counts.settled
    for (task, language), count in sorted(counts.instances.items()):
        yield f"instances/{task}/{language}", count
    for task in counts.tasks:
        yield f"acceptance/{task}", counts.acceptance(task)
    for (task, rule), count in sorted(counts.judged.items()):
        yield f"rules/{task}/{rule}", counts.passed[task, rule] / count
    if counts.verdicts:
        yield "verdicts", counts.verdicts.total()
        yield "verdicts/passed", counts.verdicts[True]
    for (task, level), count in sorted(counts.levels.items()) if counts.ran else ():
        yield f"level/{task}/{level}", count


def tally(artifact: Artifact, shown: int = 0) -> Tally:
    """Return the counts of `generate`, with up to `shown` instances of each kind to show."""
    counts = Tally()
    by_task: dict[str, list[Instance]] = {}
    for instance in artifact.records(Instance):
        counts.accept(instance)
        _keep(by_task, instance.task, instance, shown)
    telling: dict[str, list[Rejected]] = {}
    bare: dict[str, list[Rejected]] = {}
    for rejected in artifact.rejected():
        counts.refuse(rejected)
        if rejected.failed or rejected.reason == NOT_NEEDED:
            continue
        tells = rejected.instance is not None or rejected.reply is not None
        _keep(telling if tells else bare, rejected.reason, rejected, shown)
    counts.shown_accepted = list(islice(_in_turn(by_task), shown))
    counts.shown_refused = list(islice(chain(_in_turn(telling), _in_turn(bare)), shown))
    return counts


def _keep(groups: dict[str, list[T]], key: str, item: T, most: int) -> None:
    """Add `item` to its group while that holds fewer than `most`."""
    group = groups.setdefault(key, [])
    if len(group) < most:
        group.append(item)


def _in_turn(groups: Mapping[str, list[T]]) -> Iterable[T]:
    """Yield the first of each group, then the second of each, and so on."""
    for row in zip_longest(*(groups[key] for key in sorted(groups))):
        yield from (item for item in row if item is not None)


def cover_radii(artifact: Artifact) -> list[float]:
    """Return the cover radius after each pick; empty where the stage left none.

    Raises:
        ArtifactError: The file is damaged.
    """
    path = artifact.files / "radii.npy"
    if not path.exists():
        return []
    try:
        radii = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArtifactError(
            f"{path} is damaged: {error}. Make the artifact again with --on-existing replace."
        ) from error
    return [float(radius) for radius in radii]


def coverage(artifact: Artifact) -> dict[str, Any]:
    """Return how well the picks stand for the others, as `select` measured it; or nothing.

    Raises:
        ArtifactError: The file is damaged.
    """
    path = artifact.files / "coverage.json"
    return read_json(path) if path.exists() else {}


def _of_select(artifact: Artifact) -> Iterable[tuple[str, float]]:
    for radius in cover_radii(artifact)[-1:]:
        yield "cover_radius", radius
    measured = coverage(artifact)
    for who, tail in measured.get("distance", {}).items():
        yield from ((f"distance/{who}/{name}", value) for name, value in tail.items())
    for who, share in measured.get("near_duplicate_picks", {}).items():
        yield f"near_duplicate_picks/{who}", share


def raw_codes(upstream: Mapping[str, Artifact], ids: Iterable[str]) -> dict[str, RawCode]:
    """Return the raw code of these ids, from the last stage that wrote raw code."""
    wanted = set(ids)
    written = [upstream[stage] for stage in ("collect", "select") if stage in upstream]
    if not wanted or not written:
        return {}
    found = (raw for raw in written[-1].records(RawCode) if raw.id in wanted)
    return {raw.id: raw for raw in islice(found, len(wanted))}
