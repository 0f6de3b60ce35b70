"""The filter `contaminated`: functions that are the problem or the solution of a benchmark."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.contamination import document_of_record, first_hit, index_of, told
from wavecoder.errors import ConfigError
from wavecoder.records import RawCode

__all__ = ["Contaminated"]


class Contaminated:
    """Rejects functions of HumanEval, MBPP, their extended versions and HumanEvalPack.

    On by default: a model trained on such functions is measured on what it has seen. Looked for are
    whole texts, runs of ten words or tokens, and the structure of solutions whatever names they use
    (`wavecoder.contamination`), by an index of hashes that comes with the package. An index of your
    own is made by `wavecoder decontaminate --write-index`.
    """

    class Config(BaseModel):
        """Which benchmarks."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        index: Annotated[Path | None, Field(exclude=True)] = None
        """A file of hashes; the package's unless given."""
        checksum: str | None = None
        """Of the index. Filled in; where a recipe gives it, it must be that."""

    def __init__(self, config: Config) -> None:
        """Find the index; it is loaded at the first function.

        Raises:
            ConfigError: It is not there, is no index, or is another one than the recipe's.
        """
        self._path, checksum = index_of(config.index)
        if config.checksum not in (None, checksum):
            raise ConfigError(
                f"The index {self._path} is not that of the recipe: its checksum is {checksum}, "
                f"contaminated.checksum is {config.checksum}. Take the line out, or find the other."
            )
        self.config = config.model_copy(update={"checksum": checksum})

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `contaminated`, with the problem, the layer and the share that was found."""
        hit = first_hit(document_of_record(raw), self._path)
        return None if hit is None else ("contaminated", told(hit))
