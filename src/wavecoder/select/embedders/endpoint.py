"""The `endpoint` embedder: any OpenAI-compatible `/v1/embeddings`.

```yaml
select:
  embedder:
    endpoint: {model: "http://localhost:8000/v1#my-embedding-model"}
```

The part behind `#` is the model's name there. It and `revision` are its identity, as the address
does not decide the vectors. How it is asked, and asked again, is in `llm/route.py`.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ModelError
from wavecoder.llm.route import Route, TransientError
from wavecoder.records import RawCode
from wavecoder.select.embedders.sentence_transformer import text_of

__all__ = ["Endpoint"]

Vectors = NDArray[np.float32]


class Endpoint:
    """Embeds raw code by asking an HTTP endpoint; vectors of whatever length it gives them."""

    class Config(BaseModel):
        """Which model, and how it is asked; what is excluded decides no vector."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        model: Annotated[str, Field(exclude=True)]
        """`http://host:port/v1#name`."""
        api_key_env: Annotated[str | None, Field(exclude=True)] = None
        """Name of the environment variable that holds the key, if one is needed."""
        revision: str | None = None
        """A word of yours for the version that is served; another word is another model."""
        dimensions: Annotated[int | None, Field(ge=1)] = None
        """How long vectors to ask for, of a model that can shorten them."""
        docstring: bool = False
        """Put the doc comment in front of the code."""
        max_characters: Annotated[int | None, Field(ge=1)] = None
        """Characters after which a text is cut off: most endpoints refuse what is too long."""
        batch_size: Annotated[int, Field(ge=1, exclude=True)] = 64
        """Functions in a request."""
        in_flight: Annotated[int, Field(ge=1, exclude=True)] = 8
        """Most requests at a time."""
        encoding: Annotated[Literal["float", "base64"], Field(exclude=True)] = "float"
        """How numbers travel; base64 is a quarter of the bytes where the endpoint knows it."""

    cached: ClassVar[bool] = True
    parallel: ClassVar[bool] = False

    def __init__(self, config: Config, *, first_wait: float = 0.5) -> None:
        """Read the address and the key; nothing is sent.

        Args:
            config: The options.
            first_wait: Seconds before the second try; doubled before each further one.

        Raises:
            ConfigError: `model` is no address with a name, or the variable is not set.
        """
        self.config = config
        self._route = Route(
            config.model, "/embeddings", api_key_env=config.api_key_env, first_wait=first_wait
        )
        self.at_once = 4 * config.batch_size * config.in_flight

    def identity(self) -> dict[str, object]:
        """Return the model's name at the endpoint."""
        return {"model": self._route.name}

    def fit(self, sample: Sequence[RawCode], seed: int) -> None:
        """Learn nothing."""

    def embed(self, raw_codes: Sequence[RawCode]) -> Vectors:
        """Return vectors of shape (len(raw_codes), dimensions).

        Raises:
            RefusedRequestError: The endpoint refuses a function for good, in its own words.
            ModelError: It refuses every request, does not answer it in 8 tries, or gives something
                else than vectors of one length.
        """
        size = self.config.batch_size
        batches = [raw_codes[start : start + size] for start in range(0, len(raw_codes), size)]
        parts = asyncio.run(self._embed_all(batches))
        width = parts[0].shape[1] if parts else 0
        for batch, part in zip(batches, parts, strict=True):
            if part.shape[1] != width:
                self._fail_on(batch[0], f"{part.shape[1]} numbers, and {width} for others")
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    async def _embed_all(self, batches: Sequence[Sequence[RawCode]]) -> list[Vectors]:
        """Ask for all batches, a few at a time; the first failure ends all."""
        places = asyncio.Semaphore(self.config.in_flight)

        async def embed(batch: Sequence[RawCode]) -> Vectors:
            async with places:
                return await self._embed_batch(batch)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(embed(batch)) for batch in batches]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        finally:
            await self._route.close()
        return [task.result() for task in tasks]

    async def _embed_batch(self, batch: Sequence[RawCode]) -> Vectors:
        """Return the vectors of a batch."""
        texts = [text_of(raw, docstring=self.config.docstring) for raw in batch]
        body: dict[str, Any] = {
            "input": [text[: self.config.max_characters] for text in texts],
            "encoding_format": self.config.encoding,
        }
        if self.config.dimensions is not None:
            body["dimensions"] = self.config.dimensions
        longest = max(batch, key=lambda raw: len(raw.code))
        return await self._route.post(
            body,
            lambda content, seconds, address: self._read(content, batch),
            what=f"{len(batch)} functions, the longest of {len(longest.code)} characters, "
            f"{longest.name} ({longest.id})",
            do="If they are too long, set max_characters; if too many, batch_size.",
        )

    def _read(self, content: bytes, batch: Sequence[RawCode]) -> Vectors:
        """Return the vectors of a reply, in the order of the request, of one length."""
        try:
            data = json.loads(content)["data"]
            found = {int(item["index"]): item["embedding"] for item in data}
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            start = content[:60].decode("utf-8", "replace")
            raise TransientError(f"the reply holds no embeddings: {start!r}") from error
        if len(data) != len(batch) or sorted(found) != list(range(len(batch))):
            raise ModelError(
                f"{self._route.address} gave {len(data)} vectors, {len(found)} of them different, "
                f"for {len(batch)} functions, the first of them {batch[0].name} ({batch[0].id}). "
                f"Use another endpoint or model."
            )
        rows: list[Vectors] = []
        for index, raw in enumerate(batch):
            try:
                rows.append(_numbers(found[index]))
            except (ValueError, TypeError, OverflowError):
                self._fail_on(raw, "what is no list of numbers")
            if len(rows[-1]) != len(rows[0]):
                self._fail_on(raw, f"{len(rows[-1])} numbers, and {len(rows[0])} for others")
        return np.stack(rows)

    def _fail_on(self, raw: RawCode, got: str) -> NoReturn:
        raise ModelError(
            f"{self._route.address} gave {got} for {raw.name} ({raw.id}). "
            f"Use another endpoint or model."
        )


def _numbers(embedding: object) -> Vectors:
    """Read one embedding: a list, or little-endian float32 in base64."""
    if isinstance(embedding, str):
        data = base64.b64decode(embedding, validate=True)
        numbers = np.frombuffer(data, dtype="<f4").astype(np.float32)
    else:
        # null becomes NaN, and what is too large infinity: the driver refuses both.
        with np.errstate(over="ignore"):
            numbers = np.array(embedding, dtype=np.float32)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError
    return numbers
