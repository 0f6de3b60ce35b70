"""The `static` embedder: a vector a token, averaged; no GPU and no torch.

```yaml
select:
  embedder:
    static: {model: minishlab/potion-base-32M}
```

Reads models of the library model2vec, from a folder or the hub: a table of token vectors with a
tokenizer, usually distilled from a sentence transformer.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ModelError
from wavecoder.records import RawCode
from wavecoder.select.embedders.model_files import ModelFiles, find_model, require
from wavecoder.select.embedders.sentence_transformer import text_of

if TYPE_CHECKING:
    from model2vec import StaticModel

__all__ = ["Static"]


class Static:
    """Embeds raw code with a model of the library model2vec; length 1 where the model says so."""

    class Config(BaseModel):
        """Which model, and what it reads; what is excluded decides no vector."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        model: Annotated[str, Field(min_length=1, exclude=True)]
        """A name on the hub, or a folder."""
        revision: Annotated[str | None, Field(exclude=True)] = None
        """The hub's commit, branch or tag; none is the newest. The commit is stored."""
        docstring: bool = False
        """Put the doc comment in front of the code."""

    free: ClassVar[bool] = True
    cached: ClassVar[bool] = False  # it is about as fast as reading the vectors back
    parallel: ClassVar[bool] = True
    at_once: ClassVar[int] = 1024

    def __init__(self, config: Config) -> None:
        """Take the options; nothing is loaded.

        Raises:
            MissingExtraError: model2vec is not installed.
        """
        require("model2vec", "embed-static", "The embedder static")
        self.config = config

    def identity(self) -> dict[str, object]:
        """Return the model's name and the digest of its files, or its commit on the hub.

        Raises:
            ModelNotFoundError: There is no such model.
        """
        return {"model": self._files.name, "revision": self._files.revision}

    def fit(self, sample: Sequence[RawCode], seed: int) -> None:
        """Learn nothing."""

    def embed(self, raw_codes: Sequence[RawCode]) -> NDArray[np.float32]:
        """Return vectors of shape (len(raw_codes), dimensions); the first call loads the model.

        Raises:
            ModelError: The model does not load.
        """
        texts = [text_of(raw, docstring=self.config.docstring) for raw in raw_codes]
        vectors = self._model.encode(
            texts,
            max_length=None,
            show_progress_bar=False,
            use_multiprocessing=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def __getstate__(self) -> dict[str, object]:
        """Leave out the loaded model, which another process loads for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    @cached_property
    def _files(self) -> ModelFiles:
        return find_model(self.config.model, self.config.revision)

    @cached_property
    def _model(self) -> "StaticModel":
        """Load the model."""
        from model2vec import StaticModel

        try:
            return StaticModel.from_pretrained(self._files.folder)
        except Exception as error:  # a damaged tokenizer raises a bare Exception
            words = str(error).partition("\n")[0].rstrip(".")
            raise ModelError(
                f"The model {self._files.name} in {self._files.folder} does not load: {words}. "
                f"Check that the library model2vec saved it."
            ) from error
