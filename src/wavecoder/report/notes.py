"""What a reader must know beside the scores, in sentences."""

from collections.abc import Iterable, Mapping
from typing import Any

from wavecoder.records import Mode
from wavecoder.report.scores import BASE, BenchmarkScores, Results

__all__ = ["about", "notes"]


def about(results: Results) -> str:
    """Return who answered and how it was asked, from a manifest's identity; else nothing."""
    identity = results.identity
    if identity.get("answers"):
        return f"Answers made elsewhere, with the digest {identity['answers']}."
    if not identity.get("model"):
        return ""
    heat = identity.get("temperature")
    drawn = "greedy" if not heat else f"temperature {heat:g}, top_p {identity.get('top_p'):g}"
    who, asked = f"Model {identity['model']}", f"the prompt {identity.get('prompt')}"
    if results.named:
        labels = (f"{of.name} ({of.label})" for one in results.models if (of := one.checkpoint))
        who = f"Models {', '.join(labels)}"
        other = identity.get("base_prompt")
        if other and other != identity.get("prompt") and results.models[0].model == BASE:
            asked += f", {BASE} by {other}"
    return f"{who}, asked by {asked}, {drawn}, seed {identity.get('seed')}."


def notes(results: Results) -> list[str]:
    """Return what a reader must know to trust the scores, a sentence each.

    What is true of every model is said once.
    """
    found = [
        (scores.model, note)
        for scores in results.models
        for one in scores.benchmarks
        for note in _notes(one, scores.identity)
    ]
    models = {scores.model for scores in results.models}
    said: dict[str, set[str]] = {}
    for model, note in found:
        said.setdefault(note, set()).add(model)
    return list(
        dict.fromkeys(note if said[note] == models else f"{model}: {note}" for model, note in found)
    )


def _notes(one: BenchmarkScores, identity: Mapping[str, Any]) -> Iterable[str]:
    if one.unsandboxed:
        yield (
            f"{one.name}: {_counted(one.unsandboxed, 'program run')} without a sandbox, with all "
            f"the rights of the user, so what they say of themselves may be forged."
        )
    limit = identity.get("limit")
    if one.size is not None and one.problems < one.size:
        why = f"cut by limit {limit}" if limit else "no others were answered"
        yield (
            f"{one.name}: only {one.problems} of its {one.size} problems, {why}; no published "
            f"figure is beside it."
        )
    elif one.size is None and limit:
        yield f"{one.name}: at most its first {_counted(limit, 'problem')}, cut by limit {limit}."
    if one.missing:
        reasons = ", ".join(f"{reason} {count}" for reason, count in one.missing.items())
        yield (
            f"{one.name}: {_counted(one.missing.total(), 'completion')} missing, as no model "
            f"replied ({reasons}); they count neither as passed nor as failed."
        )
    for rule, lost, unscored in _lost(one):
        over = f", and {_counted(unscored, 'problem')} left without a score" if unscored else ""
        yield (
            f"{one.name}: by {rule}, {_counted(lost, 'run')} broken by the machine and counted "
            f"neither way{over}."
        )
    if one.by_mode and Mode.PUBLISHED not in one.by_mode:
        yield (
            f"{one.name}: run by the strict rule alone, and published figures go by the "
            f"benchmark's own, so none is beside it."
        )


def _lost(one: BenchmarkScores) -> Iterable[tuple[str, int, int]]:
    """Yield by which rule how many runs, and problems with them, were lost to the machine."""
    lost = {mode: (by_k[1].harness, by_k[1].unmeasured) for mode, by_k in one.by_mode.items()}
    if len(lost) > 1 and len(set(lost.values())) == 1:
        found = {"either rule": lost[Mode.STRICT]}
    else:
        found = {f"the {mode} rule": counts for mode, counts in lost.items()}
    return ((rule, *counts) for rule, counts in found.items() if counts[0])


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
