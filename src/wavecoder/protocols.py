"""Every swap point on one page. Each docstring carries the smallest implementation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from wavecoder.records import ChatReply, ChatRequest, RawCode, Record, Rejected

if TYPE_CHECKING:
    import numpy as np

    from wavecoder.stage import Context

__all__ = ["ChatModel", "Embedder", "Filter", "Progress", "Source", "Stage"]


class Stage(Protocol):
    """One arrow of the pipeline: inputs in, one outcome for each out.

    ```python
    class Shout:
        name, data_version, streaming, writes = "shout", 1, True, RawCode

        class Config(BaseModel, extra="forbid", frozen=True):
            mark: str = "!"

        def __init__(self, config: Config):
            self.config = config

        def identity(self):
            return self.config.model_dump(mode="json")

        def inputs(self, ctx):
            return ctx.upstream["collect"].records(RawCode)

        def run(self, inputs, ctx):
            for raw in inputs:
                yield raw.model_copy(update={"name": raw.name + self.config.mark})
    ```

    `run` writes no path but under `ctx.files` and draws randomness only from `ctx.rng`.
    """

    name: ClassVar[str]
    data_version: ClassVar[int]
    """Raised when the same config and input would give other records than before."""
    streaming: ClassVar[bool]
    """True: outcomes come one by one in input order, and what a later one needs of earlier ones
    is a fold over `ctx.finished()`; a killed run goes on behind the last outcome, and `run` gets
    only the inputs that are left. False: a killed run starts again from the first input."""
    writes: ClassVar[type[Record]]
    config: Any
    """A frozen pydantic model that forbids unknown keys: the stage's table of the recipe."""

    def identity(self) -> Mapping[str, object]:
        """Return everything beside code and upstream that decides the output, as JSON values."""

    def inputs(self, ctx: "Context") -> Iterable[Any]:
        """Return the inputs; a `Rejected` among them counts as an input and is passed on."""

    def run(self, inputs: Iterable[Any], ctx: "Context") -> Iterator[Any]:
        """Yield one record or `Rejected` for each input, under the input's id."""


class Source(Protocol):
    """Where raw code comes from.

    ```python
    class OneFunction:
        class Config(BaseModel, extra="forbid", frozen=True):
            code: str

        def __init__(self, config: Config):
            self.config = config

        def identity(self):
            return {"code": self.config.code}

        def read(self):
            yield RawCode(...)
    ```
    """

    def identity(self) -> Mapping[str, object]:
        """Return what stands for the source's content in a fingerprint, without reading it all."""

    def read(self) -> Iterator[RawCode | Rejected]:
        """Yield every function found, and a `Rejected` for every file that gave none."""


class Filter(Protocol):
    """A rule that keeps or rejects raw code.

    ```python
    class TooLong:
        class Config(BaseModel, extra="forbid", frozen=True):
            most: int = 800

        def __init__(self, config: Config):
            self.config = config

        def check(self, raw):
            n = len(raw.code)
            return ("too_long", f"{n} characters") if n > self.config.most else None
    ```
    """

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return (reason slug, detail), or None to keep it."""


class Embedder(Protocol):
    """Raw code becomes vectors.

    ```python
    class Lengths:
        class Config(BaseModel, extra="forbid", frozen=True):
            pass

        def __init__(self, config: Config):
            pass

        def embed(self, raw_codes, seed):
            return np.array([[len(raw.code)] for raw in raw_codes], dtype=np.float32)
    ```
    """

    def embed(self, raw_codes: Sequence[RawCode], seed: int) -> "np.ndarray":
        """Return float32 vectors of shape (len(raw_codes), dimensions)."""


class ChatModel(Protocol):
    """Who answers prompts.

    ```python
    class Echo:
        identity, concurrency = "echo", None

        async def complete(self, request):
            text = request.messages[-1].content
            return ChatReply(text=text, finish_reason="stop", prompt_tokens=0,
                             completion_tokens=0, seconds=0.0)

        async def close(self):
            pass
    ```
    """

    identity: str
    """Name and revision: what stands for the model in a fingerprint and in a request's key."""
    concurrency: int | None
    """Most requests worth having in flight; None leaves it to the caller."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply.

        Raises:
            RefusedRequestError: This request can never succeed.
            ModelError: The model does not answer; the run stops and can be resumed.
        """

    async def close(self) -> None:
        """Release the model; idempotent."""


class Progress(Protocol):
    """Who is told how far a stage is."""

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """A stage begins with `finished` of `total` outcomes (None: unknown) already on disk."""

    def outcome(self, reason: str | None) -> None:
        """One more outcome: kept (None) or rejected for `reason`."""

    def tokens(self, completion_tokens: int) -> None:
        """A model wrote that many tokens; replies that were remembered do not count."""

    def note(self, text: str) -> None:
        """Something a person should read now."""

    def end(self, summary: str) -> None:
        """The stage is complete; `summary` is one line."""
