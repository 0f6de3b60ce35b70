"""Where a base model is on this machine, as a folder that transformers loads.

A folder is taken as it is, a name is fetched from the hub. `local:NAME` and `local:FILE.gguf` are
GGUF files: `python -m wavecoder.train.bases FILE FOLDER` reads their weights back into bfloat16
and saves them once in the cache folder, in a process of its own, as that needs torch.
"""

import fcntl
import importlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavecoder.artifact import writing
from wavecoder.errors import ConfigError, MissingExtraError, ModelNotFoundError
from wavecoder.llm import catalogue
from wavecoder.llm.checkpoint import content

__all__ = ["check", "content", "load_tokenizer", "locate"]

_LOCAL = "local:"


def check(base: str) -> None:
    """Make sure, without reading weights, that `locate` has somewhere to look.

    Raises:
        ConfigError: The folder holds an adapter, or no model.
        ModelNotFoundError: Nothing within reach has that name.
    """
    if base.startswith(_LOCAL):
        name = _local_name(base)
        if not _is_path(name):
            catalogue.check_origin(name)
    elif Path(base).expanduser().is_dir():
        _check_folder(Path(base).expanduser())
    else:
        _check_hub_name(base)


def locate(base: str, revision: str | None) -> Path:
    """Return the folder of a base model, absolute.

    Args:
        base: A folder, `local:NAME`, `local:FILE.gguf`, or a name on the hub.
        revision: Of a name on the hub: a commit; None: the newest.

    Raises:
        ConfigError: The folder holds an adapter, or no model.
        ModelNotFoundError: Nothing within reach has that name.
        MissingExtraError: A library that reads it is not installed.
        ArtifactError: The cache folder cannot be written.
    """
    if base.startswith(_LOCAL):
        return _dequantised(_local_name(base))
    folder = Path(base).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return folder.resolve()
    _check_hub_name(base)
    return _fetched(base, revision)


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a base, as transformers loads it; torch is not needed.

    Raises:
        ConfigError: There is none, or it does not load.
        MissingExtraError: transformers is not installed.
    """
    _need("transformers")
    transformers: Any = importlib.import_module("transformers")
    try:
        return transformers.AutoTokenizer.from_pretrained(folder)
    # What a damaged file raises depends on the library that reads it: json, tokenizers (a bare
    # Exception), sentencepiece.
    except Exception as error:
        raise ConfigError(
            f"The tokenizer in {folder} cannot be loaded: {_words(error)}. Put the tokenizer.json "
            f"and tokenizer_config.json of the base model there."
        ) from error


def _check_folder(folder: Path) -> None:
    if (folder / "config.json").is_file():
        return
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        try:
            under = json.loads(adapter.read_text("utf-8")).get("base_model_name_or_path")
        except (OSError, ValueError, AttributeError):
            under = None
        raise ConfigError(
            f"{folder} holds an adapter, which is no base model. Name its own base, "
            f"{under or 'see its adapter_config.json'}, or merge the two first and name the result."
        )
    raise ConfigError(
        f"{folder} holds no model: there is no config.json. Name the folder that transformers "
        f"saved."
    )


def _check_hub_name(base: str) -> None:
    if base.count("/") != 1 or base.startswith((".", "/", "~")):
        raise ModelNotFoundError(
            f"There is no folder {base}. Name a folder that transformers saved, local:NAME, or "
            f"a model on the hub as owner/name."
        )


def _local_name(base: str) -> str:
    name = base.removeprefix(_LOCAL)
    if "?" in name:
        raise ConfigError(
            f"The base {base} has options behind a question mark, which are for generating. "
            f"Leave them out."
        )
    if _is_path(name) and not catalogue.is_file(Path(name).expanduser()):
        raise ModelNotFoundError(f"There is no file {name}. Name a .gguf file, or local:NAME.")
    return name


def _is_path(name: str) -> bool:
    return name.endswith(".gguf") or "/" in name


def _need(*libraries: str) -> None:
    for library in libraries:
        if find_spec(library) is None:
            raise MissingExtraError(
                f"Fine-tuning needs {library}, which is not installed. "
                f"Install it: pip install 'wavecoder[train]'."
            )


def _fetched(base: str, revision: str | None) -> Path:
    _need("huggingface_hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # As in the catalogue: the HTTP library's error and OSError; ValueError: no such name can be.
    hub_errors = (*HfHubHTTPError.__bases__, RuntimeError, ValueError)
    kept = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        folder = Path(snapshot_download(base, revision=revision, allow_patterns=kept))
    except hub_errors as error:
        raise ModelNotFoundError(
            f"Cannot fetch the base {base} from the hub: {_words(error)}. Check the name and the "
            f"connection, accept its licence and set HF_TOKEN where it asks for that, or name a "
            f"folder that holds it."
        ) from error
    _check_folder(folder)
    return folder.resolve()


def _dequantised(name: str) -> Path:
    """Return the folder with a GGUF file's weights, made at the first call."""
    if _is_path(name):
        file = Path(name).expanduser()
        name = file.stem
    else:
        file = catalogue.locate(name)
    folder = catalogue.cache_folder() / "checkpoints" / f"{name}-{catalogue.file_sha256(file)[:12]}"
    if (folder / "config.json").is_file():
        return folder.resolve()
    _need("transformers", "torch", "gguf")
    partial = folder.with_name(folder.name + ".partial")
    with writing(folder):
        partial.mkdir(parents=True, exist_ok=True)
        # Another process may be making the same folder: wait for it, then use its work.
        with (partial.parent / (folder.name + ".lock")).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "config.json").is_file():
                _convert(file, partial)
                partial.replace(folder)
            shutil.rmtree(partial, ignore_errors=True)
    return folder.resolve()


def _convert(file: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "wavecoder.train.bases", str(file.resolve()), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(
            f"The weights of {file} cannot be read: {lines[-1].rstrip('.')}. Name a GGUF file of "
            f"an architecture that transformers reads, or a folder that transformers saved."
        )


def _words(error: Exception) -> str:
    """Return the first sentence of an error's first line."""
    first = (str(error).strip().splitlines() or [""])[0].removeprefix("Got: ")
    return first.partition(". ")[0][:300].rstrip(" .") or type(error).__name__


def _save(file: Path, folder: Path) -> None:
    """Save a GGUF file's weights and tokenizer as transformers saves them."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    transformers.logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16)
    # The weights are plain numbers now; neither saving nor who loads them may look for a quantiser.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    _save(Path(sys.argv[1]), Path(sys.argv[2]))
