"""A few functions of the coreset through the real method and the real models, to be read whole.

```python
ready = prepare(recipe, Path("runs/demo"), RunOptions())
for look in looks(ready, count=3):
    print(as_text(look))  # of pages.py
```

`collect` and `select` are run, or gone on with; of `generate` nothing is written but the replies,
which a later run of the same recipe in the same folder looks up and does not pay for again: it asks
the same questions, as the rounds are those of the whole coreset.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from wavecoder.artifact import Artifact, read_json
from wavecoder.errors import ConfigError, ModelError, RefusedRequestError
from wavecoder.generate.assign import assign
from wavecoder.generate.checks import CHECKS, Draft
from wavecoder.generate.examples import ExampleDatabase
from wavecoder.generate.method import Ask, Desk, Method, Outcome
from wavecoder.generate.methods.wavecoder import WaveCoder
from wavecoder.generate.sections import parse_sections
from wavecoder.generate.stage import Generate
from wavecoder.journal import Journal
from wavecoder.llm import Ledger
from wavecoder.pipeline import Recipe, RunOptions, run, stage_folder, stages
from wavecoder.records import (
    ChatReply,
    ChatRequest,
    Example,
    Instance,
    RawCode,
    Record,
    Rejected,
    Value,
)
from wavecoder.stage import Context, fingerprint

__all__ = ["Asked", "Attempt", "Look", "Ready", "looks", "prepare"]

R = TypeVar("R", bound=Record)


class Asked(Value):
    """One question to a model and its answer."""

    role: str
    """`generator` or `discriminator`."""
    model: str
    """The model's identity."""
    examples: tuple[Example, ...]
    """The examples drawn for it."""
    request: ChatRequest
    remembered: bool
    """The reply was in the ledger, and nothing was sent."""
    reply: ChatReply | None = None
    problem: str | None = None
    """Why there is no reply."""


class Attempt(Value):
    """One attempt at a function."""

    task: str | None
    asked: tuple[Asked, ...]
    draft: Instance | None
    """What the generator's reply was read as; None where it could not be read."""
    checks: dict[str, str | None]
    """What each check by program says of the draft, by slug; None: it passes. The first that fails
    refuses the draft. Empty for methods that have none."""
    outcome: Instance | Rejected


class Look(Value):
    """A function, all that was asked about it, and what became of it."""

    raw: RawCode
    place: int
    """Its place in the coreset, from 0."""
    note: str | None
    """Where a run may ask it differently."""
    attempts: tuple[Attempt, ...]
    """Empty where it was refused before any model was asked."""
    outcome: Instance | Rejected


@dataclass(frozen=True)
class Ready:
    """What a preview needs: the stage, and the coreset before it."""

    recipe: Recipe
    out: Path
    options: RunOptions
    stage: Generate
    upstream: Mapping[str, Artifact]
    fingerprint: str | None
    """Of the artifact of generate that a run would make; None where no stage stands before it."""


def prepare(recipe: Recipe, out: Path, options: RunOptions) -> Ready:
    """Open the models, then bring `collect` and `select` in the folder `out` to completion.

    Raises:
        ConfigError: The recipe does not fit, or has no stage that asks models.
        ModelNotFoundError: A model is unknown.
        StaleArtifactError: `out` holds a run of another recipe.
        StoppedError: The user asked to stop.
    """
    if recipe.generate is None:
        raise ConfigError("The recipe has no table generate, so no model is asked. Add one.")
    (found,) = stages(recipe, "generate", "generate")
    assert isinstance(found, Generate)
    before = any(name in ("collect", "select") for name in recipe.tables())
    upstream = run(recipe, out, options, last="select") if before else {}
    made = None
    for artifact in upstream.values():  # the last one counts
        made = fingerprint(found, recipe.seed, artifact.manifest.fingerprint)
    return Ready(recipe, out, options, found, upstream, made)


def looks(ready: Ready, *, count: int = 3, function: str | None = None) -> Iterator[Look]:
    """Yield functions of the coreset with all that was asked, each as soon as it is done.

    Args:
        ready: From `prepare`.
        count: How many, from the first in pick order.
        function: The id of one function, in place of the first.

    Raises:
        ConfigError: There is no such function in the coreset.
        ModelError: A model does not answer.
        StoppedError: The user asked to stop; the replies that came are kept.
    """
    options, stage, out = ready.options, ready.stage, ready.out
    method, config = stage.method, stage.config
    replies = options.replies or out / "replies.sqlite"
    with TemporaryDirectory(prefix="wavecoder-") as scratch, Ledger(replies) as ledger:
        ctx = _Elsewhere(
            folder=Path(scratch),
            seed=ready.recipe.seed,
            stage=stage.name,
            upstream=ready.upstream,
            replies=replies,
            progress=options.progress,
            stop=options.stop,
            limits=options.limits,
        )
        chosen, note = _chosen(ready, ctx, count, function)
        ctx.progress.start("preview", len(chosen), 0)
        stage.method = watching = _Watching(method, ledger)
        # Each is asked about, also where a target would be reached before it.
        stage.config = config.model_copy(update={"target": None})
        outcomes: Any = stage.run(_placed(chosen, ctx), ctx)  # a generator, ended where we are
        try:
            for (place, raw), outcome in zip(chosen, outcomes, strict=True):
                ctx.progress.outcome(outcome.reason if isinstance(outcome, Rejected) else None)
                if isinstance(outcome, Rejected) and outcome.reason == "secret":
                    hidden = {"code": "(not shown: it has a secret)", "docstring": None}
                    raw = raw.model_copy(update=hidden)
                attempts = tuple(watching.attempts.pop(raw.id, ()))
                yield Look(raw=raw, place=place, note=note, attempts=attempts, outcome=outcome)
                if place != chosen[-1][0]:
                    ctx.check_stop()
        finally:
            outcomes.close()
            stage.method, stage.config = method, config


@dataclass
class _Elsewhere(Context):
    """The context of a stage that writes no artifact; what is on disk it only looks at."""

    earlier: list[tuple[int, Any]] = field(default_factory=list)
    """Outcomes of functions before the one that is looked at, by place."""

    def finished(self, record: type[R]) -> Iterator[tuple[int, R | Rejected]]:
        """Yield the outcomes that the example database is made of."""
        yield from self.earlier


def _chosen(
    ready: Ready, ctx: _Elsewhere, count: int, function: str | None
) -> tuple[list[tuple[int, RawCode]], str | None]:
    """Return the functions with their places, and what to say of their examples."""
    stage = ready.stage
    chosen: list[tuple[int, RawCode]] = []
    ids: list[str] = []
    for place, raw in enumerate(stage.inputs(ctx)):
        ids.append(raw.id)
        if function is None or raw.id == function:
            chosen.append((place, raw))
        if len(chosen) == (count if function is None else 1):
            break
    if function is None:
        return chosen, None
    if not chosen:
        raise ConfigError(
            f"The coreset has no function with the id {function}. "
            f"`wavecoder near RUN NAME` says the id of a function, and whether it was picked."
        )
    if stage.config.examples != "feedback":
        return chosen, None
    # Its round sees the outcomes of earlier rounds; those that are on disk are taken from there.
    place, _ = chosen[0]
    size, lag = stage.config.rounds(list(ready.upstream.values())[-1].manifest.kept)
    needed = max(0, (place // size - lag + 1) * size)
    folder = stage_folder(ready.out, stage.name)
    if needed and _begun_as(folder) == ready.fingerprint:
        ctx.earlier = _outcomes(folder, ids[:needed])
    ctx.begun = place  # none of those before it is waited for
    if len(ctx.earlier) == needed:
        return chosen, None
    return chosen, (
        f"In a run its examples come from the first {needed} functions of the coreset; "
        f"{len(ctx.earlier)} of these have an outcome now, so a run may show it others."
    )


def _begun_as(folder: Path) -> str | None:
    """Return the fingerprint of the artifact in a folder, complete or begun."""
    for name in ("manifest.json", "started.json"):
        if (folder / name).exists():
            return str(read_json(folder / name).get("fingerprint"))
    return None


def _outcomes(folder: Path, ids: Sequence[str]) -> list[tuple[int, Outcome]]:
    """Return the outcomes of these functions that are on disk, with their places."""
    places = {one: place for place, one in enumerate(ids)}
    found: list[tuple[int, Outcome]] = []
    if (folder / "manifest.json").exists():
        artifact = Artifact.open(folder)
        records: list[Outcome] = [*artifact.records(Instance), *artifact.rejected()]
        found = [(places[one.id], one) for one in records if one.id in places]
    else:
        journal = Journal(folder)
        heads = [head for head in journal.heads() if head.id in places]
        for head, line in journal.lines(heads):
            record = Instance if head.kept else Rejected
            found.append((head.place, record.model_validate(line["record"])))
    return sorted(found, key=lambda one: one[0])


def _placed(chosen: Sequence[tuple[int, RawCode]], ctx: Context) -> Iterator[RawCode]:
    for place, raw in chosen:
        ctx.place = place
        yield raw


class _Watching:
    """A method that notes what another one asks, draws and makes of it."""

    def __init__(self, method: Method, ledger: Ledger) -> None:
        self.own_examples = method.own_examples
        self.attempts: dict[str, list[Attempt]] = {}
        """What was noted, by the function's id."""
        self._method = method
        self._ledger = ledger

    def identity(self) -> Mapping[str, Any]:
        return self._method.identity()

    async def attempt(self, desk: Desk) -> Outcome:
        drawn, asked = _Drawing(desk.examples), list[Asked]()
        desk.examples = drawn
        for role in ("generator", "discriminator"):
            ask = partial(self._ask, role, getattr(desk, f"ask_{role}"), drawn, asked)
            setattr(desk, f"ask_{role}", ask)
        note = partial(self._note, desk, drawn, asked)
        try:
            outcome = await self._method.attempt(desk)
        except ModelError as error:
            refused = isinstance(error, RefusedRequestError)
            reason = "model_refused" if refused else "model_failed"
            note(Rejected(id=desk.raw.id, reason=reason, detail=str(error)))
            raise
        note(outcome)
        return outcome

    async def _ask(
        self,
        role: str,
        ask: Ask,
        drawn: "_Drawing",
        asked: list[Asked],
        desk: Desk,
        request: ChatRequest,
    ) -> ChatReply:
        request = request.model_copy(update={"attempt": desk.attempt})
        identity = desk.generator if role == "generator" else desk.discriminator
        question = Asked(
            role=role,
            model=identity,
            examples=tuple(drawn.take()),
            request=request,
            remembered=self._ledger.get(Ledger.key(identity, request)) is not None,
        )
        try:
            reply = await ask(desk, request)
        except ModelError as error:
            asked.append(question.model_copy(update={"problem": str(error)}))
            raise
        asked.append(question.model_copy(update={"reply": reply}))
        return reply

    def _note(self, desk: Desk, drawn: "_Drawing", asked: list[Asked], outcome: Outcome) -> None:
        draft = outcome if isinstance(outcome, Instance) else outcome.instance or desk.draft
        noted = Attempt(
            task=desk.task,
            asked=tuple(asked),
            draft=draft,
            checks=self._checks(desk, drawn.good, asked) if draft else {},
            outcome=outcome,
        )
        self.attempts.setdefault(desk.raw.id, []).append(noted)

    def _checks(
        self, desk: Desk, good: Sequence[Example], asked: list[Asked]
    ) -> dict[str, str | None]:
        """Return what every check says of a draft, those behind the first that fails, too."""
        method, reply = self._method, asked[0].reply
        if not isinstance(method, WaveCoder) or reply is None:
            return {}
        rng = desk.rng(every_attempt=True)
        assignment = assign(desk.raw, desk.place, method.weights, method.tasks, method.targets, rng)
        sections = parse_sections(reply.text)
        if assignment is None or isinstance(sections, str):
            return {}
        draft = Draft(assignment, sections, good)
        return {slug: check(draft) for slug, check in CHECKS.items()}


class _Drawing(ExampleDatabase):
    """An example database that notes what was drawn."""

    def __init__(self, inner: ExampleDatabase) -> None:
        super().__init__()
        self._inner = inner
        self._drawn: list[Example] = []
        self.good: Sequence[Example] = ()
        """The good examples drawn first: those of the generator."""

    def take(self) -> list[Example]:
        """Return what was drawn since the last call."""
        taken, self._drawn = self._drawn, []
        return taken

    def draw(self, *place: Any, good: bool, count: int, judged: bool = False) -> Sequence[Example]:
        drawn = self._inner.draw(*place, good=good, count=count, judged=judged)
        self._drawn += drawn
        if good and not self.good:
            self.good = drawn
        return drawn

    def instructions(self, task: str) -> Iterator[str]:
        return self._inner.instructions(task)
