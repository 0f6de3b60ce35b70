"""What must be installed for programs of a language to be run, and where the box finds it.

A language's module has a cached `toolchain()`, which looks once and says in a sentence what is
missing. Only commands of the system count: a box shows programs nothing of a home.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from wavecoder.errors import ConfigError

__all__ = ["Toolchain", "find_command", "missing"]

_PATH = "/usr/local/bin:/usr/bin:/bin"  # as in a box


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What was found for a language."""

    name: str
    """The language."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """Path by a command's name, the same on the host and in the box."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Folders of the host that a box must show, by their path in it (`Job.folders`)."""


def find_command(name: str, *, language: str, package: str) -> str:
    """Return the path of a command that a box can run.

    Args:
        name: What it is called.
        language: The language it is needed for, as a person writes it.
        package: The Debian package that has it.

    Raises:
        ConfigError: It is not installed.
    """
    found = shutil.which(name, path=_PATH)
    if found is None:
        elsewhere = shutil.which(name)
        what = f"{name} is not installed" + (" for the whole system" if elsewhere else "")
        raise missing(language, what, f"the Debian package {package}: apt-get install {package}")
    return found


def missing(language: str, what: str, remedy: str) -> ConfigError:
    """Return the error to raise where a toolchain is not complete.

    Args:
        language: As a person writes it.
        what: What is not there, a clause.
        remedy: What to install, and how.
    """
    return ConfigError(f"Programs in {language} cannot be run here: {what}. Install {remedy}.")
