"""The checkpoints that `train` left, opened to be measured one after the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wavecoder.artifact import Artifact
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.llm import open_model
from wavecoder.plugins import nearest
from wavecoder.protocols import ChatModel
from wavecoder.records import Checkpoint

__all__ = ["TRAINED", "Opened", "open_checkpoints", "read_checkpoints"]

TRAINED = "trained"
"""What `evaluate.model` says for the checkpoints of the run's own `train`."""

_ROWS = TypeAdapter(tuple[Checkpoint, ...])

Opened = tuple[Checkpoint, ChatModel]


def read_checkpoints(upstream: Mapping[str, Artifact]) -> tuple[tuple[Checkpoint, ...], Path]:
    """Return the checkpoints of a run's `train`, base first, and the folder of its files.

    Raises:
        ConfigError: The run has no `train`.
        ArtifactError: Its list of checkpoints cannot be read.
    """
    if "train" not in upstream:
        raise ConfigError(
            "evaluate.model is trained, and no train stands before it: add a table train to the "
            "recipe, or name a model: checkpoint:FOLDER, local:NAME, http://host:port/v1#name."
        )
    files = upstream["train"].files
    path = files / "checkpoints.json"
    try:
        found = _ROWS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no list of checkpoints"
        raise ArtifactError(
            f"Cannot read {path}: {why}. Run train again with --on-existing replace."
        ) from error
    return found, files


def open_checkpoints(
    upstream: Mapping[str, Artifact], wanted: Sequence[str] | None
) -> dict[str, Opened]:
    """Return the checkpoints to measure by name, in the order of training; none is loaded yet.

    Args:
        upstream: The artifacts of the stages before.
        wanted: Names of those to measure; None: all.

    Raises:
        ConfigError: The run has no `train`, or no checkpoint of a name.
        ArtifactError: The list of checkpoints cannot be read.
        ModelNotFoundError: A checkpoint's folder is not there.
        MissingExtraError: The extra `checkpoint` is not installed.
    """
    found, files = read_checkpoints(upstream)
    names = [one.name for one in found]
    for name in wanted or ():
        if name not in names:
            raise ConfigError(
                f"evaluate.checkpoints names {name!r}, which train did not make."
                f"{nearest(name, names)} Checkpoints: {', '.join(names)}."
            )
    return {
        one.name: (one, open_model(f"checkpoint:{files / one.model}"))
        for one in found
        if wanted is None or one.name in wanted
    }
