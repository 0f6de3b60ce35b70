"""The estimate of a recipe: stages before the models are run, then a sample is asked, or not."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from wavecoder.artifact import Artifact
from wavecoder.errors import ConfigError, ModelError
from wavecoder.estimate.figures import Estimate, Range, Spent
from wavecoder.estimate.intervals import wilson
from wavecoder.estimate.projection import Projection, Usage, Usages, spent
from wavecoder.estimate.sample import (
    Call,
    Row,
    Sampling,
    Tried,
    ask,
    fed_back,
    imagined,
    most,
    places,
    replayed,
)
from wavecoder.generate import Generate
from wavecoder.llm import Ledger, Prices
from wavecoder.pipeline import Recipe, RunOptions, check_models, holding, run, stages
from wavecoder.records import Instance, RawCode, Rejected

__all__ = ["estimate"]

_CHARACTERS_PER_TOKEN = 3.5
"""Where nobody says how many tokens a text has; of Qwen2.5-Coder's tokenizer code has 4.5 in the
median (see `llm.budget`), so this counts too many rather than too few."""
_LEAST_REPLY = 0.25
"""Share of max_tokens that a reply is taken to have at least, where none was asked for."""
_LOOKED_AT = 200
"""Functions whose prompts are measured where none is asked."""
_FEW = 10
"""Of five functions the ranges held the truth in 60 of 100 samples, of 20 in 92 to 100 (a fake
endpoint, 400 functions, two attempts)."""
_INTERVAL = (
    "the ranges are 95 % intervals of the mean (Student's t, along the length of the raw code) "
    "and of the share accepted (Wilson)"
)


def estimate(recipe: Recipe, out: Path | None, options: RunOptions, *, rows: int = 20) -> Estimate:
    """Return what the models of a recipe will be asked, and what that costs.

    The stages before the models are run first, into `out`.

    Args:
        recipe: The recipe.
        out: The run's folder; None: a folder that is deleted, and the sample's replies with it.
        options: Who is told, what may be spent, where replies are kept.
        rows: Functions of the sample; 0 asks nothing.

    Raises:
        ConfigError: The recipe asks no models, or `rows` is 1.
        ModelError: The model does not answer.
        BudgetError: The sample does not fit what may be spent.
        ArtifactError: The ledger of replies is damaged, or another process works on the run.
        StoppedError: The user asked to stop.
    """
    if rows == 1 or rows < 0:
        raise ConfigError(
            f"-n is {rows}, and the spread of so few says nothing. Give 2 or more, or 0 to ask "
            f"nothing."
        )
    if recipe.generate is None:
        raise ConfigError("The recipe has no table generate, so it asks no models. Add one.")
    (stage,) = stages(recipe, "generate", "generate")
    assert isinstance(stage, Generate)
    prices = stage.prices(options.limits.prices)
    with ExitStack() as stack:
        if rows and out is None:
            options.progress.note(
                "without -o the replies of the sample are lost: a run would pay for them again"
            )
        folder = out or Path(stack.enter_context(TemporaryDirectory()))
        replies = options.replies or folder / "replies.sqlite"
        if rows:
            check_models(stage, replies, options.limits)
        upstream = _before(recipe, folder, options)
        stack.enter_context(holding(folder))
        scratch = Path(stack.enter_context(TemporaryDirectory()))
        ctx = Sampling(
            folder=scratch,
            seed=recipe.seed,
            stage=stage.name,
            upstream=upstream,
            replies=replies,
            progress=options.progress,
            stop=options.stop,
            limits=options.limits,
        )
        estimator = _Estimator(stage, ctx, prices)
        others = [name for name in ("regenerate", "evaluate") if getattr(recipe, name) is not None]
        if others:
            estimator.notes.append(
                f"only generate is counted; {' and '.join(others)} will ask a model as well"
            )
        return estimator.find(rows)


def _before(recipe: Recipe, folder: Path, options: RunOptions) -> dict[str, Artifact]:
    """Run the stages that ask no models."""
    if recipe.collect is None and recipe.select is None:
        raise ConfigError(
            "generate needs functions and no stage before it gives any; "
            "add collect and select to the recipe."
        )
    return dict(run(recipe, folder, options, last="select"))


class _Estimator:
    """The estimate of one stage over one coreset."""

    def __init__(self, stage: Generate, ctx: Sampling, prices: Prices) -> None:
        self.stage, self.ctx, self.prices = stage, ctx, prices
        self.target = stage.config.target
        self.models = list(dict.fromkeys((stage.generator.identity, stage.discriminator.identity)))
        self.lengths: list[int] = []
        """Of all functions, in characters."""
        self.sample: list[Row] = []
        self.notes: list[str] = []

    @property
    def functions(self) -> int:
        return len(self.lengths)

    def find(self, rows: int) -> Estimate:
        """Choose the sample, then ask it, or look at its prompts alone."""
        coreset = list(self.ctx.upstream.values())[-1].records(RawCode)
        if not len(coreset):
            raise ConfigError(
                "No function is left to make instances of. `wavecoder show RUN` says why each "
                "was rejected."
            )
        wanted = min(rows or _LOOKED_AT, len(coreset))
        chosen = set(places(self.stage, self.ctx, functions=len(coreset), wanted=wanted))
        # The sample is walked to its end, whatever is accepted.
        self.stage.config = self.stage.config.model_copy(update={"target": None})
        for place, raw in enumerate(coreset):
            self.lengths.append(len(raw.code))
            if place in chosen:
                self.sample.append(Row(place, raw))
        return self._asked() if rows else self._unasked()

    def _asked(self) -> Estimate:
        self._announce()
        tried = ask(self.stage, self.ctx, self.sample)
        answered = [one for one in tried if not _failed(one)]
        if len(answered) < min(2, self.functions):
            detail = next(one.outcome.detail for one in tried if isinstance(one.outcome, Rejected))
            raise ModelError(
                f"{len(tried) - len(answered)} of the {len(tried)} functions of the sample failed, "
                f"the first so: {detail} Mend that, then give the same command again."
            )
        usages = self._used(answered)
        accepted = sum(isinstance(one.outcome, Instance) for one in answered)
        acceptance = wilson(accepted, len(answered))
        if len(answered) == self.functions:
            acceptance = Range(accepted / len(answered), accepted / len(answered))
        self.notes.append(_INTERVAL)
        if len(answered) < min(_FEW, self.functions):
            self.notes.append(
                f"{len(answered)} functions are few: what is rare may not be among them, and the "
                f"truth may well lie outside of the ranges"
            )
        needed = self._needed(acceptance)
        low = high = usages
        if self.stage.config.examples == "feedback" and needed.high > len(tried):
            low, high = self._with_growth(usages, answered, needed)
        projection = Projection(
            low=low,
            high=high,
            sampled=[len(one.row.raw.code) for one in answered],
            lengths=self.lengths,
            rows=needed,
            prices=self.prices,
        )
        return Estimate(
            functions=self.functions,
            target=self.target,
            asked=len(tried),
            failed=len(tried) - len(answered),
            sample=spent([one for calls in usages for one in calls], self.prices),
            rows=needed,
            acceptance=acceptance,
            accepted=self._accepted(acceptance),
            calls=projection.calls(),
            models=projection.models(self.models),
            cost=projection.cost(),
            cost_per_accepted=projection.cost_per_accepted(acceptance),
            notes=tuple(self.notes),
        )

    def _announce(self) -> None:
        """Say what the sample takes at most, before it is asked."""
        with Ledger(self.ctx.replies) as ledger:
            imagined_calls = imagined(self.stage, self.ctx, self.sample, ledger, self.functions)
        used = spent([Usage(*one) for calls in imagined_calls for one in most(calls)], self.prices)
        if not used.calls:
            words = "every reply is there already, nothing is asked"
        else:
            cost = "cost unknown" if used.cost is None else f"${used.cost:.4f}"
            words = f"at most {used.calls:,} calls, {used.tokens:,} tokens, {cost}"
        self.ctx.progress.note(
            f"sample of {len(self.sample):,} of {self.functions:,} functions: {words}"
        )

    def _used(self, answered: Sequence[Tried]) -> Usages:
        """Return what the sample's calls used; by the length of the texts where nobody says."""
        uncounted = 0
        usages = []
        calls_of = replayed(self.stage, self.ctx, answered, self.functions)
        for one, calls in zip(answered, calls_of, strict=True):
            used = []
            for number, (model, reply) in enumerate(one.replies):
                prompt, completion = reply.prompt_tokens, reply.completion_tokens
                if prompt is None or completion is None:
                    uncounted += 1
                    asked = calls[number].characters if number < len(calls) else 0
                    used.append(Usage(model, _tokens(asked), _tokens(len(reply.text))))
                else:
                    used.append(Usage(model, prompt, completion))
            usages.append(used)
        if uncounted:
            self.notes.append(
                f"{uncounted:,} replies of the sample came without a count of tokens: "
                f"{_CHARACTERS_PER_TOKEN} characters were taken for a token"
            )
        return usages

    def _with_growth(
        self, usages: Usages, answered: Sequence[Tried], needed: Range
    ) -> tuple[Usages, Usages]:
        """Return the least and the most that the sample's calls would use in later rounds.

        There the prompts show instances of earlier rounds instead of the tasks' own examples: by
        how much longer that makes them the sample's own outcomes tell.
        """
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        for plain, fed in zip(
            replayed(self.stage, self.ctx, answered, self.functions),
            fed_back(self.stage, self.ctx, answered, self.functions),
            strict=True,
        ):
            # Other examples may end an attempt earlier; what both asked is compared.
            for one, other in zip(plain, fed, strict=False):
                if one.model == other.model:
                    before[one.model] += one.characters
                    after[one.model] += other.characters
        size, lag = self.stage.config.rounds(self.functions)
        later = 1 - min(1.0, size * lag / needed.high)
        growth = {model: 1 + later * (after[model] / before[model] - 1) for model in before}
        if later:
            told = ", ".join(
                f"{model} {100 * (factor - 1):+.1f} %" for model, factor in growth.items()
            )
            self.notes.append(
                f"prompts of later rounds show earlier instances, which may change their tokens by "
                f"({told}): counted at one end of the ranges alone"
            )
        low = {model: min(1.0, factor) for model, factor in growth.items()}
        high = {model: max(1.0, factor) for model, factor in growth.items()}
        return _scaled(usages, low), _scaled(usages, high)

    def _accepted(self, acceptance: Range) -> Range:
        found = acceptance * Range(self.functions, self.functions)
        if self.target is None:
            return found
        return Range(min(found.low, self.target), min(found.high, self.target))

    def _unasked(self) -> Estimate:
        size = len(self.sample)
        calls_of = imagined(self.stage, self.ctx, self.sample, None, self.functions)
        low = [
            [
                Usage(call.model, _tokens(call.characters), _LEAST_REPLY * call.max_tokens)
                for call in calls
                if not call.attempt
            ]
            for calls in calls_of
        ]
        high = [_longest(calls) for calls in calls_of]
        self.notes += [
            "nothing was asked: this is from the lengths of the prompts alone, of "
            f"{size:,} functions, with made-up replies",
            f"{_CHARACTERS_PER_TOKEN} characters were taken for a token; replies have a quarter of "
            f"max_tokens at the lower end and all of it at the upper one",
        ]
        if self.stage.config.attempts > 1:
            self.notes.append(
                f"one attempt a function at the lower end, {self.stage.config.attempts} at the "
                f"upper one"
            )
        if self.stage.config.examples == "feedback":
            self.notes.append("that examples of earlier rounds may be longer is left out")
        least = min(self.target or self.functions, self.functions)
        rows = Range(least, self.functions)
        projection = Projection(
            low=low,
            high=high,
            sampled=[len(row.raw.code) for row in self.sample],
            lengths=self.lengths,
            rows=rows,
            prices=self.prices,
        )
        return Estimate(
            functions=self.functions,
            target=self.target,
            asked=0,
            failed=0,
            sample=Spent(0, 0, 0.0),
            rows=rows,
            acceptance=None,
            accepted=None,
            calls=projection.calls(),
            models=projection.models(self.models),
            cost=projection.cost(),
            cost_per_accepted=None,
            notes=tuple(self.notes),
        )

    def _needed(self, acceptance: Range) -> Range:
        """Return how many functions will be tried."""
        if self.target is None:
            return Range(self.functions, self.functions)
        low = self.target / acceptance.high if acceptance.high else math.inf
        high = self.target / acceptance.low if acceptance.low else math.inf
        if high > self.functions:
            word = "is" if low > self.functions else "may be"
            need = "no end is seen" if math.isinf(high) else f"up to {math.ceil(high):,} are needed"
            self.notes.append(
                f"the coreset of {self.functions:,} functions {word} too small for the target of "
                f"{self.target:,}: {need}"
            )
        return Range(min(low, self.functions), min(high, self.functions))


def _failed(one: Tried) -> bool:
    return isinstance(one.outcome, Rejected) and one.outcome.failed


def _tokens(characters: int) -> float:
    return characters / _CHARACTERS_PER_TOKEN


def _scaled(usages: Usages, factors: Mapping[str, float]) -> Usages:
    """Return the usages with the prompts of each model longer or shorter by its factor."""
    return [
        [replace(one, prompt=one.prompt * factors.get(one.model, 1.0)) for one in calls]
        for calls in usages
    ]


def _longest(calls: Sequence[Call]) -> list[Usage]:
    """Return the calls of a function with the longest replies; later prompts repeat these."""
    found = []
    written: Counter[int] = Counter()
    for call in calls:
        prompt = _tokens(call.characters) + written[call.attempt]
        found.append(Usage(call.model, prompt, call.max_tokens))
        written[call.attempt] += call.max_tokens
    return found
