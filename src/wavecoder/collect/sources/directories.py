"""Where raw code comes from: folders and files, or installed Python packages.

To add one: a class of the shape of `protocols.Source` under an entry point in the group
`wavecoder.sources`. The first field of its `Config` is what a recipe writes behind its name.

```yaml
sources:
  - directory: ./src                # a folder, or a single file
  - directory: [~/one, ~/repos/*]   # many; each match is a repository of its own
  - package: [requests, click]      # installed Python packages, or `stdlib`
```
"""

import platform
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.collect.authorship import VENDORED_FOLDERS
from wavecoder.collect.sources.checkouts import checkout_at, checkout_top
from wavecoder.collect.sources.files import (
    LARGEST_FILE,
    SKIPPED_FOLDERS,
    fit_for_utf8,
)
from wavecoder.collect.sources.folders import Batch, Files, Root
from wavecoder.collect.sources.origins import Origin, is_paper, look_at, readable
from wavecoder.collect.sources.places import Names, is_source, matches, spaces
from wavecoder.errors import ConfigError
from wavecoder.languages import languages_of
from wavecoder.plugins import nearest
from wavecoder.records import LicenseSource, RawCode, Rejected

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
    """The code in folders and the folders below them, or in single files.

    A git checkout tells its address and its commit; any other folder is called by its name.
    """

    class Config(BaseModel):
        """Which folders or files."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        directory: Names
        """A folder or a file, a pattern (`~/repos/*`) or a list of these; `~` is your home."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; `collect.languages` unless given."""
        largest_file: Annotated[int, Field(gt=0)] = LARGEST_FILE
        """Most bytes of a file that is opened."""
        vendored: bool = False
        """Read folders of other people's code, too: `vendor`, `third_party`."""

    def __init__(self, config: Config) -> None:
        """Find the folders and files.

        Raises:
            ConfigError: One is not there, is a file of no known language, or lies in another.
        """
        self._paths = matches(config.directory)
        for path in self._paths:
            if not is_source(path):
                raise ConfigError(
                    f"Cannot collect from the file {path}: {path.suffix or 'no suffix'} is of no "
                    f"language known here. Name a folder, or a file of source code."
                )
        self.label = self._label(self._paths[0]) if len(self._paths) == 1 else "directory:*"
        self._files = Files(
            self.label,
            self._roots,
            languages=config.languages,
            largest_file=config.largest_file,
            vendored=config.vendored,
        )

    def identity(self) -> Mapping[str, object]:
        """Return the folders' names and commits and a digest of the listing; not where they are."""
        return self._files.identity()

    def pieces(self) -> Iterator[Batch]:
        """Yield the files in batches, in order of folder and path."""
        return self._files.pieces()

    def read(self, piece: Batch) -> Iterator[RawCode | Rejected]:
        """Yield the functions of a batch, file by file."""
        return self._files.read(piece)

    def _roots(self) -> tuple[Root, ...]:
        labels = [self._label(path) for path in self._paths]
        found = zip(self._paths, labels, spaces(self.label, labels), strict=True)
        return tuple(self._root(*root) for root in found)

    def _root(self, path: Path, label: str, space: tuple[str, ...]) -> Root:
        folder = path if path.is_dir() else path.parent
        top = checkout_top(folder, _NOT_OF_THE_TREE)
        checkout = checkout_at(top) if top else None
        origin = Origin(*checkout) if checkout else Origin(label.partition(":")[2])
        return Root(str(path), label, space, origin, str(top or folder))

    def _label(self, path: Path) -> str:
        folder = path if path.is_dir() else path.parent
        return f"directory:{fit_for_utf8(folder.name or '/')}"


class Package:
    """The code of installed Python packages, found by import name and never imported."""

    class Config(BaseModel):
        """Which packages."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        package: Names
        """Import name (`json`, `xml.dom`), or `stdlib` for the running Python's library, without
        the names in `NOT_STDLIB`; or a list of these."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; `collect.languages` unless given."""
        largest_file: Annotated[int, Field(gt=0)] = LARGEST_FILE
        """Most bytes of a file that is opened."""
        vendored: bool = False
        """Read folders of other people's code, too: `_vendor`, `extern`."""

    def __init__(self, config: Config) -> None:
        """Find the packages.

        Raises:
            ConfigError: One is not installed, or not there as source.
        """
        names = tuple(dict.fromkeys(config.package))
        if "stdlib" in names and len(names) > 1:
            raise ConfigError(
                "package: stdlib stands in a list with other packages. Give it a line of its own, "
                "`- package: stdlib`, as its files are chosen by rules of their own."
            )
        self._is_stdlib = names == ("stdlib",)
        self._places = {
            name: (Path(sysconfig.get_path("stdlib")),) if self._is_stdlib else _places(name)
            for name in names
        }
        self.label = f"package:{names[0]}" if len(names) == 1 else "package:*"
        self._files = Files(
            self.label,
            self._roots,
            languages=config.languages,
            largest_file=config.largest_file,
            skip=NOT_STDLIB if self._is_stdlib else (),
            vendored=config.vendored,
        )

    def identity(self) -> Mapping[str, object]:
        """Return the packages' names and versions and a digest of the listing; not the place."""
        version = {"python": platform.python_version()} if self._is_stdlib else {}
        return {**self._files.identity(), **version}

    def pieces(self) -> Iterator[Batch]:
        """Yield the files in batches, in order of package and path."""
        return self._files.pieces()

    def read(self, piece: Batch) -> Iterator[RawCode | Rejected]:
        """Yield the functions of a batch, file by file."""
        return self._files.read(piece)

    def _roots(self) -> tuple[Root, ...]:
        places = [(name, place) for name, found in self._places.items() for place in found]
        labels = [f"package:{name}" for name, _ in places]
        return tuple(
            Root(
                str(place),
                label,
                space,
                _STDLIB if self._is_stdlib else _distribution(name.partition(".")[0]),
                str(place) if place.is_dir() and not self._is_stdlib else "",
            )
            for (name, place), label, space in zip(
                places, labels, spaces(self.label, labels), strict=True
            )
        )


_NOT_OF_THE_TREE = frozenset(SKIPPED_FOLDERS) | VENDORED_FOLDERS


_STDLIB = Origin(
    f"{platform.python_implementation().lower()}-{platform.python_version()}",
    None,
    # Known without its LICENSE.txt, which some distributions of Python leave out: two machines
    # with the same Python say the same.
    "PSF-2.0",
    LicenseSource.PACKAGE_METADATA,
)


@cache
def _distribution(top: str) -> Origin:
    """Return name, version and licence of the distribution that an import name belongs to."""
    names = sorted(set(packages_distributions().get(top, ())))
    if len(names) != 1:
        return Origin(top)  # none, or a namespace that several share
    try:
        found = distribution(names[0])
    except PackageNotFoundError:
        return Origin(top)
    folder = Path(str(found.locate_file("")))
    papers = {
        file.name: str(folder / file)
        for file in found.files or ()
        # x.dist-info/LICENSE, x.dist-info/licenses/LICENSE
        if file.parts[0].endswith("-info") and len(file.parts) < 4 and is_paper(file.name)
    }
    license = look_at(papers, lambda name: readable(papers[name])).license
    return Origin(f"{found.name}-{found.version}", None, *(license or ()))


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
    if top == "__main__":  # whatever program is running
        return None
    # The second finds what is built in, or has a finder of its own (some editable installs).
    return PathFinder.find_spec(top) or find_spec(top)
