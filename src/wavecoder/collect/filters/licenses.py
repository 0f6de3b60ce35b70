"""The filter by licence: keeps code under the licences that a recipe names.

How a licence is known is told by `licenses/texts.py` (texts and headers), `metadata.py`
(package.json and its like), `names.py` (SPDX expressions) and `sources/origins.py` (which of them
counts for a file: its own header, else the nearest folder that says anything).
"""

from functools import lru_cache

from pydantic import BaseModel, ConfigDict

from wavecoder.collect.licenses.names import (
    PERMISSIVE,
    allows,
    is_permissive,
    known_licenses,
    spdx,
)
from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest
from wavecoder.records import RawCode

__all__ = ["PERMISSIVE", "Licenses", "is_permissive"]


class Licenses:
    """Rejects code whose licence is not among those wanted, or is not known."""

    class Config(BaseModel):
        """Which licences."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        licenses: str | tuple[str, ...] = "permissive"
        """`permissive` for those that ask for a notice at most (`PERMISSIVE`), or SPDX identifiers:
        `[MIT, Apache-2.0, GPL-2.0-only WITH Classpath-exception-2.0]`."""

    def __init__(self, config: Config) -> None:
        """Read the list.

        Raises:
            ConfigError: An identifier is not SPDX's.
        """
        given = config.licenses
        names = (given,) if isinstance(given, str) else given
        allowed: set[str] = set()
        for name in names:
            allowed |= PERMISSIVE if name.lower() == "permissive" else {_identifier(name)}
        # What `permissive` means is in the fingerprint, not the word alone.
        self.config = self.Config(licenses=tuple(sorted(allowed)))
        self._allows = lru_cache(maxsize=4096)(lambda text: allows(text, frozenset(allowed)))

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `license_unknown` or `license_not_allowed`."""
        if raw.license is None:
            return (
                "license_unknown",
                "nothing around it names a licence that is known",
            )
        if self._allows(raw.license):
            return None
        how = raw.license_source.value.replace("_", " ")
        return "license_not_allowed", f"its licence is {raw.license} (by the {how})"


def _identifier(name: str) -> str:
    """Return an SPDX identifier as SPDX writes it.

    Raises:
        ConfigError: It is none, or an expression of several.
    """
    found = spdx(name)
    if found is None or " AND " in found or " OR " in found:
        known = known_licenses()
        hint = nearest(name.lower(), ["permissive", *known])
        for lower, proper in known.items():
            hint = hint.replace(f"'{lower}'", f"'{proper}'")
        raise ConfigError(
            f"{name!r} is not one SPDX identifier.{hint} Write `permissive`, or identifiers as on "
            f"spdx.org/licenses: MIT, BSD-3-Clause."
        )
    return found
