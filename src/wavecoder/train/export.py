"""A tuned model as a folder of its own, for transformers, vLLM and the hub: `wavecoder export`.

What vLLM reads of it (its documentation, "OpenAI-Compatible Server"): `config.json` with
`architectures`, the safetensors, the tokenizer with its chat template, and `generation_config.json`
for the token that ends a reply.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from wavecoder import __version__
from wavecoder.artifact import Artifact, writing
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.plugins import nearest
from wavecoder.records import Checkpoint, Dialogue, Instance
from wavecoder.train.card import Facts, card
from wavecoder.train.job import Outcome

__all__ = ["export_checkpoint"]

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


def export_checkpoint(
    run: Path, variant: str | None, out: Path, *, scores: str | None = None
) -> Path:
    """Copy a variant's checkpoint to `out`, whole or not at all, with its card as `README.md`.

    Files are linked where both folders are on one disk, so that they take no room twice.

    Args:
        run: The folder of a run that went through `train`, or the artifact of that stage.
        variant: Its name; None where there is only one.
        out: A folder that is not there yet, or empty.
        scores: The table of scores for the card, in Markdown.

    Returns:
        `out`.

    Raises:
        ConfigError: There is no such variant, or `out` holds something.
        ArtifactError: `train` is not complete, or the folder cannot be written.
    """
    artifact = _trained(run)
    chosen = _chosen(artifact, variant)
    source = artifact.files / chosen.model
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise ConfigError(f"Cannot look into {out}: {error.strerror}. Name another.") from error
    if taken:
        raise ConfigError(f"{out} is there and not empty. Name a new folder, or empty that one.")
    text = card(_facts(run, artifact, chosen, name=out.resolve().name, scores=scores))
    partial = out.resolve().with_name(f".{out.resolve().name}.{uuid4().hex[:8]}.partial")
    with writing(out):
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.mkdir()
            for path in sorted(source.rglob("*")):
                target = partial / path.relative_to(source)
                if path.is_dir():
                    target.mkdir()
                elif path != source / "README.md":  # PEFT's own
                    _linked(path, target)
            (partial / "README.md").write_text(text, "utf-8")
            partial.replace(out.resolve())  # over an empty folder too
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return out


def _linked(source: Path, target: Path) -> None:
    """Link a file, or copy it where it cannot be: another disk, a file system without links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _trained(run: Path) -> Artifact:
    """Return the artifact of `train` that a folder is or holds."""
    try:
        # A run's folders are numbered by their place in the pipeline: 5-train.
        inner = sorted(run.glob("*-train"))
        is_artifact = any((run / name).exists() for name in ("manifest.json", "started.json"))
    except OSError as error:
        raise ConfigError(
            f"Cannot read {run}: {error.strerror}. Give the folder of a run."
        ) from error
    if inner:
        return Artifact.open(inner[0])
    if is_artifact:
        artifact = Artifact.open(run)
        if artifact.manifest.stage == "train":
            return artifact
    raise ConfigError(
        f"{run} holds no tuned model. Give the folder of a run that went through train."
    )


def _chosen(artifact: Artifact, variant: str | None) -> Checkpoint:
    """Return the checkpoint of a variant."""
    path = artifact.files / "checkpoints.json"
    try:
        rows = [Checkpoint.model_validate(one) for one in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read. Make the artifact again with --on-existing replace."
        ) from error
    found = {one.name: one for one in rows if one.name != "base"}
    names = list(found)
    if variant is None and len(names) == 1:
        variant = names[0]
    if variant is None:
        raise ConfigError(
            f"{artifact.folder} has {len(names)} variants. Name one of them: {', '.join(names)}."
        )
    if variant not in found:
        raise ConfigError(
            f"There is no variant {variant!r}.{nearest(variant, names)} Variants: "
            f"{', '.join(names)}."
        )
    if not (artifact.files / found[variant].model).is_dir():
        raise ArtifactError(
            f"The checkpoint of {variant} is not in {artifact.files} any more. Make the artifact "
            f"again with --on-existing replace."
        )
    return found[variant]


def _facts(
    run: Path, artifact: Artifact, chosen: Checkpoint, *, name: str, scores: str | None
) -> Facts:
    """Return what the card tells, read from the artifact and from the data before it."""
    identity: Mapping[str, Any] = artifact.manifest.identity
    variants: Mapping[str, Any] = identity.get("variants") or {}
    own: Mapping[str, Any] = variants.get(chosen.name) or {}
    outcome = _outcome(artifact.files / chosen.name / "outcome.json")
    config = {key: value for key, value in identity.items() if key not in ("variants", "alpaca")}
    base = _base(artifact)
    held_out, counts = _counts(run, artifact, chosen.name)
    return Facts(
        name=name,
        base=base,
        base_revision=identity.get("revision"),
        adapter=str(own.get("adapter", identity.get("adapter", "none"))),
        template=str(identity.get("template", "alpaca")),
        dialogues=chosen.dialogues,
        held_out=held_out,
        tokens=outcome.tokens,
        steps=outcome.steps,
        counts=counts,
        fingerprint=artifact.manifest.upstream or artifact.manifest.fingerprint,
        recipe={**config, **own, "base": base},
        versions={"wavecoder": artifact.manifest.package_version or __version__, **_versions()},
        loss_before=outcome.held_out_before,
        loss_after=outcome.held_out_after,
        scores=scores,
        whole=Path(chosen.model).name != "adapter",
    )


def _outcome(path: Path) -> Outcome:
    try:
        return Outcome.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read. Make the artifact again with --on-existing replace."
        ) from error


def _base(artifact: Artifact) -> str:
    """Return the base's name as a person gave it."""
    rows = json.loads((artifact.files / "checkpoints.json").read_text("utf-8"))
    return str(rows[0]["label"])


def _counts(run: Path, artifact: Artifact, name: str) -> tuple[int, dict[str, dict[str, int]]]:
    """Return the dialogues held out, and those trained on by task, source and licence."""
    variants: Mapping[str, Any] = artifact.manifest.identity.get("variants") or {}  # type: ignore[assignment]
    place = list(variants).index(name) if name in variants else 0
    licences = _licences(run)
    held_out = 0
    found: dict[str, Counter[str]] = {"task": Counter(), "source": Counter(), "licence": Counter()}
    for one in artifact.records(Dialogue):
        held_out += one.held_out
        count = one.uses[place]
        if count:
            found["task"][one.task] += count
            found["source"][one.source] += count
            found["licence"][licences.get(one.id, "unknown")] += count
    return held_out, {what: dict(counts) for what, counts in found.items()}


def _licences(run: Path) -> dict[str, str]:
    """Return the licence of the raw code of each instance of the run."""
    found: dict[str, str] = {}
    for folder in sorted(run.glob("*-*generate")):
        if (folder / "manifest.json").exists():
            for one in Artifact.open(folder).records(Instance):
                found[one.id] = one.raw_code.license or "unknown"
    return found


def _versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed here."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
