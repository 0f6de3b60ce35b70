"""A tuned model as a folder of its own, for transformers, vLLM and the hub: `wavecoder export`.

`facts` is what its card tells; the stage writes a card with the checkpoint, an export one with
scores. What vLLM reads of it (tried with 0.32): `config.json` with `architectures`, the
safetensors, and the tokenizer with its chat template and the token that ends a reply;
`generation_config.json` may name more such tokens, and how to sample.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from pydantic import TypeAdapter

from wavecoder import __version__
from wavecoder.artifact import Artifact, writing
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.plugins import nearest
from wavecoder.records import Checkpoint, Dialogue, Instance, digest
from wavecoder.train.card import Facts, called, card
from wavecoder.train.job import Outcome

__all__ = ["export_checkpoint", "facts", "trained"]

_CHECKPOINTS = TypeAdapter(list[Checkpoint])
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
    artifact = _artifact(run)
    chosen, outcome = _chosen(artifact, variant)
    source = artifact.files / chosen.model
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise ConfigError(f"Cannot look into {out}: {error.strerror}. Name another.") from error
    if taken:
        raise ConfigError(f"{out} is there and not empty. Name a new folder, or empty that one.")
    text = card(_facts(artifact, chosen, outcome, name=out.resolve().name, scores=scores))
    partial = out.resolve().with_name(f".{out.resolve().name}.{uuid4().hex[:8]}.partial")
    with writing(out):
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.mkdir()
            for path in sorted(source.rglob("*")):
                target = partial / path.relative_to(source)
                if path.is_dir():
                    target.mkdir()
                elif path != source / "README.md":  # it names another folder, and no scores
                    _linked(path, target)
            (partial / "README.md").write_text(text, "utf-8")
            _readable(partial)
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


def _readable(folder: Path) -> None:
    """Let transformers 4, which many servers have, read a checkpoint, too.

    It knows no `rope_parameters`: it takes its own default for what turns positions, and answers
    worse without a word.
    """
    _changed(folder / "config.json", _in_both_words)
    _changed(folder / "tokenizer_config.json", _older_class)


def _changed(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write a JSON file anew, not through its link; an adapter has no `config.json`."""
    if path.is_file():
        table = _read(path, json.loads)
        path.unlink()
        path.write_text(json.dumps(change(table), indent=2, ensure_ascii=False) + "\n", "utf-8")


def _in_both_words(config: dict[str, Any]) -> dict[str, Any]:
    """Return a `config.json` with rotary positions as transformers 4 names them, too."""
    rope = config.get("rope_parameters") or {}
    if "rope_theta" not in rope:  # none, or some for each kind of layer
        return config
    # In 4 these stand by themselves, and what scales stands together.
    older = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    if rope.get("rope_type", "default") != "default":
        older["rope_scaling"] = {key: rope[key] for key in rope if key not in older}
    return {**config, **older}


def _older_class(config: dict[str, Any]) -> dict[str, Any]:
    """Return a `tokenizer_config.json` with the names that a class and tokens have in both."""
    if isinstance(config.get("extra_special_tokens"), list):
        more = {"additional_special_tokens": config["extra_special_tokens"]}
        config = {k: v for k, v in config.items() if k != "extra_special_tokens"} | more
    if config.get("tokenizer_class") != "TokenizersBackend":
        return config
    # Of its own accord 4 adds token_type_ids, which no model that continues a text takes.
    names = {"model_input_names": ["input_ids", "attention_mask"]}
    return {**names, **config, "tokenizer_class": "PreTrainedTokenizerFast"}


def _artifact(run: Path) -> Artifact:
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


def trained(artifact: Artifact) -> list[tuple[Checkpoint, Outcome]]:
    """Return the variants of an artifact of `train`, each with how its training ended.

    Raises:
        ArtifactError: A file of it cannot be read.
    """
    rows = _read(artifact.files / "checkpoints.json", _CHECKPOINTS.validate_json)
    return [
        (one, _read(artifact.files / one.name / "outcome.json", Outcome.model_validate_json))
        for one in rows
        if one.name != "base"
    ]


def _chosen(artifact: Artifact, variant: str | None) -> tuple[Checkpoint, Outcome]:
    """Return the checkpoint of a variant."""
    found = {one.name: (one, outcome) for one, outcome in trained(artifact)}
    names = list(found)
    if variant is None and len(names) == 1:
        variant = names[0]
    if variant is None:
        raise ConfigError(
            f"{artifact.folder} has {len(names)} variants. Name one of them with --variant: "
            f"{', '.join(names)}."
        )
    if variant not in found:
        raise ConfigError(
            f"There is no variant {variant!r}.{nearest(variant, names)} Variants: "
            f"{', '.join(names)}."
        )
    chosen, outcome = found[variant]
    if not (artifact.files / chosen.model).is_dir():
        raise ArtifactError(
            f"The checkpoint of {variant} is not in {artifact.files} any more. Make the artifact "
            f"again with --on-existing replace."
        )
    return chosen, outcome


def _facts(
    artifact: Artifact, chosen: Checkpoint, outcome: Outcome, *, name: str, scores: str | None
) -> Facts:
    """Return what the card of a complete artifact tells."""
    return facts(
        chosen,
        outcome,
        config=_read(artifact.folder / "config.yaml", yaml.safe_load),
        seed=artifact.manifest.seed,
        data=artifact.manifest.identity.get("data"),
        dialogues=artifact.records(Dialogue),
        upstream=_upstream(artifact),
        name=name,
        scores=scores,
        package_version=artifact.manifest.package_version,
    )


def _read(path: Path, load: Callable[[str], Any]) -> Any:
    try:
        return load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ArtifactError(
            f"{path} cannot be read. Make the artifact again with --on-existing replace."
        ) from error


def _upstream(artifact: Artifact) -> Artifact | None:
    """Return the artifact beside it that it was made from; None where there is none any more."""
    for path in sorted(artifact.folder.parent.glob("*-*generate/manifest.json")):
        found = Artifact.open(path.parent)
        if found.manifest.fingerprint == artifact.manifest.upstream:
            return found
    return None


def facts(
    chosen: Checkpoint,
    outcome: Outcome,
    *,
    config: Mapping[str, Any],
    seed: int,
    data: object,
    dialogues: Iterable[Dialogue],
    upstream: Artifact | None,
    name: str,
    scores: str | None = None,
    package_version: str | None = None,
) -> Facts:
    """Return what the card of a checkpoint tells.

    Args:
        chosen: The checkpoint.
        outcome: How its training ended.
        config: The stage's table, resolved, as plain values.
        seed: The run's random seed.
        data: What stands for the other datasets' content in the stage's identity.
        dialogues: What the stage keeps.
        upstream: The artifact whose instances were trained on, if any.
        name: The folder's.
        scores: In Markdown.
        package_version: Of wavecoder, if not the one here.
    """
    own: Mapping[str, Any] = config["variants"][chosen.name]
    place = list(config["variants"]).index(chosen.name)
    held_out, counts = _counts(dialogues, place, _licences(upstream))
    base = called(str(config["base"]))
    return Facts(
        name=name,
        base=base,
        base_revision=config.get("revision"),
        adapter=str(own["adapter"]),
        template=str(config["template"]),
        dialogues=chosen.dialogues,
        held_out=held_out,
        tokens=outcome.tokens,
        steps=outcome.steps,
        counts=counts,
        fingerprint=_fingerprint(upstream, data),
        seed=seed,
        recipe={**_recipe(config, own), "base": base},
        versions={"wavecoder": package_version or __version__, **_versions()},
        loss_before=outcome.held_out_before,
        loss_after=outcome.held_out_after,
        scores=scores,
        whole=Path(chosen.model).name != "adapter",
    )


def _fingerprint(upstream: Artifact | None, data: object) -> str:
    """Return the instances' fingerprint; with other datasets beside them, one of all."""
    instances = "" if upstream is None else upstream.manifest.fingerprint
    return digest(instances, json.dumps(data, sort_keys=True)) if data else instances


def _recipe(config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a variant's table as a recipe of its own, with no folders of this machine in it."""
    table = {**config, **own}
    for key in ("variants", "prepare_only", "gpu_memory", "nodes"):
        table.pop(key, None)
    table["data"] = [
        {**mix, "path": Path(mix["path"]).name} if mix.get("path") else mix
        for mix in config.get("data", ())
    ]
    return table


def _counts(
    dialogues: Iterable[Dialogue], place: int, licences: Mapping[str, str]
) -> tuple[int, dict[str, dict[str, int]]]:
    """Return the dialogues held out, and those trained on by task, source and licence."""
    held_out = 0
    found: dict[str, Counter[str]] = {"task": Counter(), "source": Counter(), "licence": Counter()}
    for one in dialogues:
        held_out += one.held_out
        count = one.uses[place]
        if count:
            found["task"][one.task] += count
            found["source"][Path(one.source).name if one.task == "other" else one.source] += count
            found["licence"][licences.get(one.id, "unknown")] += count
    return held_out, {what: dict(counts) for what, counts in found.items()}


def _licences(upstream: Artifact | None) -> dict[str, str]:
    """Return the licence of the raw code of each instance."""
    if upstream is None:
        return {}
    return {one.id: one.raw_code.license or "unknown" for one in upstream.records(Instance)}


def _versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed here."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
