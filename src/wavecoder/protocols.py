"""Every swap point on one page. Each docstring carries the smallest implementation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from wavecoder.records import ChatReply, ChatRequest, Problem, RawCode, Record, Rejected

if TYPE_CHECKING:
    from random import Random
    from threading import Event

    import numpy as np

    from wavecoder.sandbox import Job, Report
    from wavecoder.stage import Context
    from wavecoder.train.job import Job as TrainingJob
    from wavecoder.train.job import Outcome

__all__ = [
    "Benchmark",
    "ChatModel",
    "Embedder",
    "Filter",
    "Limits",
    "Progress",
    "Sandbox",
    "Selector",
    "Source",
    "Stage",
    "Trainer",
]


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
    only the inputs that are left. False: a killed run starts again from the first input; what is
    dear the stage keeps under `ctx.files` by itself. Inputs and outcomes may then be `Rows`, many
    at once, where single records would be too slow."""
    writes: ClassVar[type[Record]]
    config: Any
    """A frozen pydantic model that forbids unknown keys: the stage's table of the recipe.

    A stage that reads artifacts of other runs names their folders in an attribute `reads`. One that
    needs something from elsewhere has a method `fetch`, called before any stage of a run begins: a
    base model that cannot be had is said before anything is paid for."""

    def identity(self) -> Mapping[str, object]:
        """Return everything beside code and upstream that decides the output, as JSON values."""

    def inputs(self, ctx: "Context") -> Iterable[Any]:
        """Return the inputs; a `Rejected` among them counts as an input and is passed on."""

    def run(self, inputs: Iterable[Any], ctx: "Context") -> Iterator[Any]:
        """Yield one record or `Rejected` for each input, under the input's id."""


class Source(Protocol):
    """Where raw code comes from, in pieces that can be read in any process.

    ```python
    class Lines:
        class Config(BaseModel, extra="forbid", frozen=True):
            path: Path

        def __init__(self, config: Config):
            self.config = config
            self.label = f"lines:{config.path.name}"

        def identity(self):
            return {"path": self.config.path.name, "size": self.config.path.stat().st_size}

        def pieces(self):
            yield self.config.path

        def read(self, piece):
            for line in piece.read_text().splitlines():
                yield RawCode(code=line, ...)
    ```
    """

    label: str
    """What the records name as their `source`: `directory:src`."""

    def identity(self) -> Mapping[str, object]:
        """Return what stands for the source's content in a fingerprint, without reading it all."""

    def pieces(self) -> Iterator[Any]:
        """Yield what can be read apart, in an order of its own: a batch of files, a shard.

        A piece is small, can be pickled, and holds at most a few minutes' work.
        """

    def read(self, piece: Any) -> Iterator[RawCode | Rejected]:
        """Yield every function in a piece, and a `Rejected` for every file that gave none.

        The ids are unique within the source.
        """


class Filter(Protocol):
    """A rule that keeps or rejects raw code.

    ```python
    class TooLong:
        class Config(BaseModel, extra="forbid", frozen=True):
            most: int = 800

        def __init__(self, config: Config):
            self.config = config  # as it will stand in the fingerprint

        def check(self, raw):
            n = len(raw.code)
            return ("too_long", f"{n} characters") if n > self.config.most else None
    ```
    """

    config: Any
    """The options, with whatever else decides the rule's answers filled in."""

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return (reason slug, detail), or None to keep it."""


class Embedder(Protocol):
    """Raw code becomes vectors.

    ```python
    class Lengths:
        class Config(BaseModel, extra="forbid", frozen=True):
            pass

        def __init__(self, config: Config):
            self.config = config

        def identity(self):
            return {}

        def fit(self, sample, seed):
            pass

        def embed(self, raw_codes):
            return np.array([[len(raw.code)] for raw in raw_codes], dtype=np.float32)
    ```
    """

    config: Any
    """The options; what decides no vector (a batch size, an address) is excluded from a dump.

    An embedder may also say, as attributes, how it likes to be used: `at_once` (functions it is
    given at a time), `parallel` (copies of it may work in several processes), `cached` (its vectors
    are worth keeping on disk, as they do not depend on `fit`), `dimensions` (how long they are),
    `free` (it works on this machine, so that code with a secret in it may be shown to it).
    """

    def identity(self) -> Mapping[str, object]:
        """Return what decides the vectors beside the config: the revision of a model's files."""

    def fit(self, sample: Sequence[RawCode], seed: int) -> None:
        """Learn what depends on the corpus, from a sample; most embedders learn nothing."""

    def embed(self, raw_codes: Sequence[RawCode]) -> "np.ndarray":
        """Return float32 vectors of shape (len(raw_codes), dimensions).

        After `fit`, a function's vector depends on the function alone. Called with a few thousand
        functions at a time; batches inside are the embedder's own matter.
        """


class Selector(Protocol):
    """Which rows of a matrix stand for all of them.

    ```python
    class Last:
        class Config(BaseModel, extra="forbid", frozen=True):
            pass

        def __init__(self, config: Config):
            self.config = config

        def select(self, vectors, k, *, rng, initial=(), groups=None, quotas=None, on_pick):
            return Selection(np.arange(len(vectors))[-k:], np.empty(0, np.float32))
    ```
    """

    config: Any

    def select(
        self,
        vectors: "np.ndarray",
        k: int,
        *,
        rng: "Random",
        initial: Sequence[int] = (),
        groups: "np.ndarray | None" = None,
        quotas: "np.ndarray | None" = None,
        on_pick: Callable[[int], None],
    ) -> Any:
        """Return a `wavecoder.select.kcenter.Selection`: `k` distinct rows, the best first.

        Args:
            vectors: Shape (n, d), float32 or float16; may be a file, mapped.
            k: How many rows.
            rng: The only source of randomness.
            initial: Rows that count as picked before and are not picked again.
            groups: A row's group, shape (n,).
            quotas: Most rows of each group; together at least `k`.
            on_pick: Told now and then how many are picked; what it raises ends the search.
        """


@dataclass(frozen=True)
class Limits:
    """How hard models may be driven and what they may cost; nothing here decides a reply."""

    concurrency: int = 64
    """Most requests in flight to a model."""
    requests_per_minute: float | None = None
    """Most requests a minute to a model; None: as many as it takes."""
    tokens_per_minute: float | None = None
    """Most tokens a minute, prompts and replies together, for each model."""
    timeout: float = 600.0
    """Seconds a reply may take."""
    max_cost: float | None = None
    """USD that all replies in the run's ledger may cost together, other runs' included."""
    max_tokens: int | None = None
    """Tokens that all requests and replies in the run's ledger may have together."""
    prices: Path | None = None
    """A file of prices of your own."""
    max_failed: float = 0.5
    """Share of the last 100 inputs that may fail before the run stops."""
    sandbox: str = "bubblewrap"
    """Where programs run that a model wrote: a name of the group `wavecoder.sandboxes`."""
    unsandboxed: bool = False
    """Programs that a model wrote may run without isolation where there is no sandbox."""


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
    """Name and revision: what stands for the model in a fingerprint and in a request's key.

    A model may also have `drive(limits, note)`, called once before the first request with the run's
    `Limits` and with who is to be told what a person should know, and `drain()`: what is in flight
    is finished, what only waits to be sent raises StoppedError. One that costs nothing says so with
    `free = True`.
    """
    concurrency: int | None
    """Most requests worth having in flight now; None leaves it to the caller."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply.

        Raises:
            RefusedRequestError: This request can never succeed.
            FailedRequestError: It failed again and again, while others are answered.
            ModelError: The model does not answer; the run stops and can be resumed.
        """

    async def close(self) -> None:
        """Release the model; idempotent."""


class Benchmark(Protocol):
    r"""Problems with tests, in one language or in several.

    ```python
    class Doubling:
        languages = ("python",)

        def problems(self, language, path=None):
            return [
                Problem(
                    id="Doubling/0",
                    benchmark="doubling",
                    language=language,
                    prompt="def double(x):\n",
                    entry_point="double",
                    canonical_solution="    return 2 * x\n",
                    test="def check(double):\n    assert double(2) == 4\n",
                )
            ]
    ```

    The object itself, not its class, is what the entry point names.
    """

    languages: tuple[str, ...]
    """Names from `wavecoder.languages`; with more than one, a benchmark's name ends in its own."""

    def problems(self, language: str, path: Path | None = None) -> list[Problem]:
        """Return the problems in a language, in an order of their own that never changes.

        Args:
            language: One of `languages`.
            path: The data, where the caller has it; without one the benchmark finds it.

        Raises:
            ConfigError: The data is not there, or not what it should be.
        """


class Sandbox(Protocol):
    """Where programs run that a model wrote.

    ```python
    class Refusing:
        isolated, weaknesses = True, []

        def run(self, job):
            return Report(steps=(), memory=False, isolated=True, problem="it runs nothing")

        def close(self):
            pass
    ```
    """

    isolated: bool
    """False where a program could reach the host."""

    @property
    def weaknesses(self) -> Sequence[str]:
        """Return what is held less firmly here than it could be, a sentence each."""

    def run(self, job: "Job") -> "Report":
        """Run a job by itself; nothing of it is left afterwards. May be called by several threads.

        Raises:
            SandboxError: The host is at its end; no verdict on the program.
        """

    def close(self) -> None:
        """Remove what was made on the host; idempotent."""


class Trainer(Protocol):
    """Who changes a model's weights.

    ```python
    class Lazy:
        def train(self, folder, job, *, progress, stop):
            shutil.copytree(job.base, job.output / "checkpoint", dirs_exist_ok=True)
            return Outcome(status="complete")
    ```
    """

    def train(
        self, folder: Path, job: "TrainingJob", *, progress: "Progress", stop: "Event"
    ) -> "Outcome":
        """Train from a job's folder, or go on with it, until `job.output` holds a checkpoint.

        Raises:
            TrainingError: It diverged, or memory or disk were too small; the message says what
                settings would do, and the last good checkpoint stays.
            StoppedError: The user asked to stop; the same call goes on from there.
        """


class Progress(Protocol):
    """Who is told how far a stage is."""

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """A stage begins with `finished` of `total` outcomes (None: unknown) already on disk."""

    def outcome(self, reason: str | None, count: int = 1) -> None:
        """So many more outcomes: kept (None) or rejected for `reason`."""

    def step(self, what: str, done: int, total: int | None) -> None:
        """How far a part of a stage is that gives no outcomes yet: `embedded`, 3, 10."""

    def tokens(self, completion_tokens: int) -> None:
        """A model wrote that many tokens; replies that were remembered do not count."""

    def figures(self, values: Mapping[str, float | str]) -> None:
        """What the engine says of itself, words by label: `{"in flight": "64 of 64"}`.

        A label keeps its last words until the stage ends.
        """

    def note(self, text: str) -> None:
        """Something a person should read now."""

    def end(self, summary: str) -> None:
        """The stage is complete; `summary` is one line."""
