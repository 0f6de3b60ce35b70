"""Where a base model is on this machine, as a folder that transformers loads.

A folder is taken as it is, a name is fetched from the hub. `local:NAME` and `local:FILE.gguf` are
GGUF files: `python -m wavecoder.train.bases FILE FOLDER` reads their weights back into bfloat16
and saves them once in the cache folder, in a process of its own, as that needs torch.
"""

import fcntl
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavecoder.artifact import writing
from wavecoder.errors import ConfigError, MissingExtraError, ModelNotFoundError
from wavecoder.llm import catalogue
from wavecoder.llm.checkpoint import content

__all__ = ["check", "content", "load_tokenizer", "locate"]

_LOCAL = "local:"
_DAMAGED = "damaged"  # what the process that reads a GGUF file says last of one it cannot read


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
        _check_name(base)


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
    _check_name(base)
    return _fetched(base, revision)


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a base, as transformers loads it; torch is not needed.

    Raises:
        ConfigError: There is none, or it does not load.
        MissingExtraError: transformers is not installed.
    """
    _need("transformers")
    transformers: Any = importlib.import_module("transformers")
    said = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # of a type it does not know it warns, and loads it
    try:
        return transformers.AutoTokenizer.from_pretrained(folder)
    # What a damaged file raises depends on the library that reads it: json, tokenizers (a bare
    # Exception), sentencepiece.
    except Exception as error:
        has_one = any(any(folder.glob(name)) for name in ("tokenizer.*", "vocab.*", "*.model"))
        why = f"The tokenizer in {folder} cannot be loaded: {_words(error)}"
        raise ConfigError(
            f"{why if has_one else f'There is no tokenizer in {folder}'}. Put the tokenizer.json "
            f"and tokenizer_config.json of the base model there."
        ) from error
    finally:
        transformers.logging.set_verbosity(said)


def _check_folder(folder: Path) -> None:
    config = folder / "config.json"
    if config.is_file():
        try:
            if isinstance(json.loads(config.read_text("utf-8")), dict):
                return
            why = "it holds no table"
        except (OSError, ValueError) as error:
            why = str(error)
        raise ConfigError(f"{config} cannot be read: {why}. Get the base model again.")
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


def _check_name(base: str) -> None:
    """Refuse what is neither a folder nor a name on the hub."""
    if base in catalogue.entries() or (base.endswith(".gguf") and Path(base).expanduser().exists()):
        raise ConfigError(
            f"The base {base} is a GGUF file, which is read only where that is asked for. "
            f"Write {_LOCAL}{base}."
        )
    if Path(base).expanduser().exists():
        raise ConfigError(f"The base {base} is a file. Name its folder, {Path(base).parent}.")
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
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be making the same folder: wait for it, then use its work.
        with _holding(folder.with_name(folder.name + ".lock")):
            if not (folder / "config.json").is_file():
                try:
                    _convert(file, partial)
                    partial.replace(folder)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    return folder.resolve()


@contextmanager
def _holding(path: Path) -> Iterator[None]:
    """Hold a lock, whose file is there as long as somebody holds it."""
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Who held it took the file away with it: who waited has the lock of nothing then.
            if not _is_at(path, lock.fileno()):
                continue
            try:
                yield
            finally:
                path.unlink()
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _convert(file: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "wavecoder.train.bases", str(file.resolve()), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    if lines[-1] == _DAMAGED:
        raise ConfigError(f"{file} is damaged, not whole, or no GGUF file. Get it again.")
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
    transformers: Any = importlib.import_module("transformers")
    transformers.logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype="bfloat16")
    except Exception:  # of what is no GGUF file the reader tells by whatever breaks first
        if _is_damaged(file):
            sys.exit(_DAMAGED)
        raise
    # The weights are plain numbers now; neither saving nor who loads them may look for a quantiser.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _is_damaged(file: Path) -> bool:
    gguf: Any = importlib.import_module("gguf")
    try:
        gguf.GGUFReader(file)
    except Exception:  # as above
        return True
    return False


if __name__ == "__main__":
    _save(Path(sys.argv[1]), Path(sys.argv[2]))
