"""Folders of compiled libraries, made once for a compiler and kept in the cache.

A box shows them to programs read-only, so that none is compiled anew for each of them.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from wavecoder.errors import ConfigError

__all__ = ["harness", "prepared", "run"]


def harness(*names: str) -> str:
    """Return one of our texts that stand beside programs: `harness("go", "main.go")`."""
    return files("wavecoder.grading").joinpath("harness", *names).read_text("utf-8")


def prepared(language: str, made_of: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made first where it is not there.

    Args:
        language: A name from `wavecoder.languages`.
        made_of: Whatever decides its content: versions, texts.
        make: Fills an empty folder.

    Raises:
        ConfigError: It cannot be made.
    """
    cache = os.environ.get("WAVECODER_CACHE")
    root = (Path(cache) if cache else Path.home() / ".cache" / "wavecoder") / "programs"
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    folder = root / f"{language}-{digest}"
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{language}-", dir=root))
    except OSError as error:
        raise ConfigError(
            f"Libraries for programs in {language} cannot be kept in {root}: {error.strerror}. "
            f"Set WAVECODER_CACHE to a folder that can be written."
        ) from error
    try:
        make(making)
        making.chmod(0o755)
        making.rename(folder)
    except OSError as error:
        # Another process may have made it meanwhile.
        if not folder.is_dir():
            raise ConfigError(
                f"Libraries for programs in {language} cannot be written to {root}: "
                f"{error.strerror}. Make room there, or set WAVECODER_CACHE to another folder."
            ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what a compiler prints.

    Raises:
        ConfigError: It fails.
    """
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise ConfigError(
            f"{' '.join(argv[:3])} ended with status {done.returncode}: {words!r}. Look whether "
            f"the compiler and its packages are complete."
        )
    return done.stdout
