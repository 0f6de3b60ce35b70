"""Where raw code comes from: a folder or file, or an installed Python package.

To add one: a class of the shape of `protocols.Source` under an entry point in the group
`wavecoder.sources`. The first field of its `Config` is what a recipe writes behind its name.
"""

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.collect.files import LARGEST_FILE, Files
from wavecoder.errors import ConfigError
from wavecoder.languages import languages_of
from wavecoder.plugins import nearest
from wavecoder.records import RawCode, Rejected

__all__ = ["NOT_STDLIB", "Directory", "Package"]

NOT_STDLIB = (
    # Not the library, though in its folder: tests, its installers, and what the build wrote down.
    *("test", "tests", "ensurepip", "_sysconfigdata*", "config-*", "__phello__*"),
    # Data written as code.
    "pydoc_data",
    # Programs and bindings that distributions ship apart, and what later versions left out, so
    # that two machines with the same Python collect the same functions.
    *("idlelib", "lib2to3", "distutils", "tkinter", "turtledemo", "turtle.py"),
    # Written by the administrator of the machine.
    *("sitecustomize.py", "usercustomize.py"),
)
"""Names in the standard library's folder that `package: stdlib` passes by."""


class Directory:
    """The code in a folder and the folders below it, or in a single file."""

    class Config(BaseModel):
        """Which folder or file."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        directory: Path
        """A folder or a file; `~` is your home."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; `collect.languages` unless given."""
        largest_file: Annotated[int, Field(gt=0)] = LARGEST_FILE
        """Most bytes of a file that is opened."""

    def __init__(self, config: Config) -> None:
        """Find the folder or file.

        Raises:
            ConfigError: It is not there, or it is a file of no known language.
        """
        given = config.directory.expanduser()
        try:
            path = given.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
            reason = error.strerror if isinstance(error, OSError) else "it is a link to itself"
            raise ConfigError(
                f"Cannot collect from {given}: {reason}. Check the path; a relative one starts "
                f"at the folder you are in, {Path.cwd()}."
            ) from error
        if not path.is_dir() and not languages_of(path):
            raise ConfigError(
                f"Cannot collect from the file {given}: {path.suffix or 'no suffix'} is of no "
                f"language known here. Name a folder, or a file of source code."
            )
        folder = path if path.is_dir() else path.parent
        # A record holds text fit for UTF-8; a folder's name may be any bytes.
        name = os.fsencode(folder.name or "/").decode("utf-8", "backslashreplace")
        self._files = Files(
            f"directory:{name}",
            (path,),
            languages=config.languages,
            largest_file=config.largest_file,
        )

    def identity(self) -> Mapping[str, object]:
        """Return the folder's name and a digest of its listing; not where it is."""
        return self._files.identity()

    def read(self) -> Iterator[RawCode | Rejected]:
        """Yield the functions, file by file in order of path."""
        return self._files.read()


class Package:
    """The code of an installed Python package, found by its import name and never imported."""

    class Config(BaseModel):
        """Which package."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        package: str
        """Import name (`json`, `xml.dom`), or `stdlib` for the running Python's library, without
        the names in `NOT_STDLIB`."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; `collect.languages` unless given."""
        largest_file: Annotated[int, Field(gt=0)] = LARGEST_FILE
        """Most bytes of a file that is opened."""

    def __init__(self, config: Config) -> None:
        """Find the package.

        Raises:
            ConfigError: It is not installed, or not there as source.
        """
        self._is_stdlib = config.package == "stdlib"
        self._files = Files(
            f"package:{config.package}",
            (Path(sysconfig.get_path("stdlib")),) if self._is_stdlib else _places(config.package),
            languages=config.languages,
            largest_file=config.largest_file,
            skip=NOT_STDLIB if self._is_stdlib else (),
        )

    def identity(self) -> Mapping[str, object]:
        """Return the package's name and a digest of its listing; not where it is."""
        version = {"python": platform.python_version()} if self._is_stdlib else {}
        return {**self._files.identity(), **version}

    def read(self) -> Iterator[RawCode | Rejected]:
        """Yield the functions, file by file in order of path."""
        return self._files.read()


def _places(name: str) -> tuple[Path, ...]:
    """Return where a package's files are, found without running any of its code.

    Raises:
        ConfigError: There is no such package, or none of its files is source.
    """
    top, *inner = name.split(".")
    if not all(part.isidentifier() for part in (top, *inner)):
        raise ConfigError(
            f"{name!r} is no import name of a Python package. "
            f"Write one like `json`, or `directory: {name}` for a folder."
        )
    spec = _spec(top)
    if spec is None:
        known = sorted({*packages_distributions(), *sys.stdlib_module_names})
        raise ConfigError(
            f"There is no Python package {name!r} here.{nearest(top, known)} Install it, or name "
            f"another; what is written is the name one imports."
        )
    if spec.submodule_search_locations is not None:
        found = [Path(place) for place in spec.submodule_search_locations]
    else:
        found = [Path(spec.origin)] if spec.has_location and spec.origin else []
    # `find_spec("a.b")` would import a: the parts inside are looked up as files.
    for part in inner:
        found = [near for place in found for near in (place / part, place / f"{part}.py")]
    found = [
        place for place in found if place.is_dir() or (place.is_file() and languages_of(place))
    ]
    if not found:
        what = "it is compiled or built in" if not inner else f"{top} holds no {'.'.join(inner)}"
        raise ConfigError(
            f"The Python package {name!r} is not there as source: {what}. Name another."
        )
    return tuple(found)


def _spec(top: str) -> ModuleSpec | None:
    spec = PathFinder.find_spec(top)
    if spec is None:
        try:
            spec = find_spec(top)  # built in, or with a finder of its own (some editable installs)
        except ValueError:  # __main__ and other modules that were never found
            spec = None
    return spec
