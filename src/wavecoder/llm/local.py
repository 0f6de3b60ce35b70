"""llama.cpp in this process: `local:qwen2.5-coder-0.5b-instruct`, `local:models/my.gguf`.

One slot and no prompt cache, so that a reply is a function of its request and of nothing else:
with two or more slots a reply depends on what else is in the batch, and with the prompt cache on
what was asked before. On 2 cores it costs nothing: 2 and 4 slots took as long as 1 for the same
work. On a large machine or a GPU, `local:NAME?slots=4` works on four requests at a time; as this
can change the bytes of the replies, it is part of the model's identity. So can another CPU or
another version of llama.cpp, which are not; the ledger keeps the replies it has.

A slot holds 4096 tokens, prompt and reply together. The weights are loaded at the first request.
"""

import asyncio
import importlib
import os
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from wavecoder.errors import (
    ConfigError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    RefusedRequestError,
)
from wavecoder.llm import catalogue
from wavecoder.plugins import nearest
from wavecoder.records import ChatReply, ChatRequest, FinishReason

__all__ = ["LocalModel"]

_CONTEXT = 4096  # tokens of a slot
_BATCH = 256  # tokens of a prompt between two chances to stop; larger ones are no faster on a CPU
_NO_LOG = -1  # below llama.cpp's lowest level


class LocalModel:
    """A GGUF model in llama.cpp, driven through its server's own request handler.

    That server also listens on 127.0.0.1, on a port the system chooses, which it cannot be told
    not to. It is locked with a random key that is thrown away, so nobody else can ask it.
    """

    free = True

    def __init__(self, spec: str, api_key_env: str | None = None) -> None:
        """Find the model named by `spec`, `local:NAME[?slots=N]`; the key is not used.

        A file named by its path is read once for its SHA-256; nothing is loaded.

        Raises:
            ModelNotFoundError: There is no such model, or its file is no GGUF file.
            ConfigError: An option behind the question mark is unknown or mistyped.
            MissingExtraError: The extra `local` is not installed.
        """
        name, _, options = spec.partition(":")[2].partition("?")
        self._name = name
        self._slots = _slots(spec, options)
        self._path: Path | None = None
        if name.endswith(".gguf") or "/" in name:
            self._path = _expanded(name)
            identity = _file_identity(self._path)
        else:
            catalogue.check_origin(name)
            identity = f"{name}@{catalogue.find(name).sha256[:16]}"
        self.identity = identity if self._slots == 1 else f"{identity} slots={self._slots}"
        self.concurrency: int | None = self._slots
        self._llama = _import_llama()
        self._pool = ThreadPoolExecutor(self._slots, thread_name_prefix="llama")
        self._server: asyncio.Future[Any] | None = None
        self._closing = threading.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; the first call loads the model.

        Raises:
            RefusedRequestError: The request is too long, or the model's chat template refuses it.
            ModelError: The model cannot be loaded, or fails.
        """
        if self._closing.is_set():
            raise ModelError(f"The model {self.identity} is closed. Open it anew.")
        loop = asyncio.get_running_loop()
        if self._server is None:
            self._server = loop.run_in_executor(self._pool, self._load)
        server = await asyncio.shield(self._server)
        abandoned = threading.Event()
        try:
            return await loop.run_in_executor(self._pool, self._ask, server, request, abandoned)
        except asyncio.CancelledError:
            abandoned.set()
            raise

    async def close(self) -> None:
        """Abandon what is in flight and free the weights; idempotent."""
        self._closing.set()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._server = None

    def _load(self) -> Any:
        path = self._path or catalogue.locate(self._name)
        params = self._llama.CommonParams()
        params.model.path = str(path)
        params.n_ctx = _CONTEXT * self._slots
        params.n_parallel = self._slots
        params.n_batch = _BATCH
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.warmup = False
        params.cpuparams.n_threads = _cores()
        params.cpuparams_batch.n_threads = _cores()
        params.verbosity = _NO_LOG
        params.offline = True
        params.hostnames = ["127.0.0.1"]
        params.api_keys = [secrets.token_hex(16)]
        params.endpoint_slots = False
        params.ui = False
        params.n_threads_http = 1
        try:
            return self._llama.Server(params)
        except RuntimeError as error:
            raise ModelError(
                f"llama.cpp cannot load {path} ({path.stat().st_size} bytes): the file is "
                f"truncated or damaged, or needs more memory or a newer llama.cpp. Fetch it "
                f"again, or name another model."
            ) from error

    def _ask(self, server: Any, request: ChatRequest, abandoned: threading.Event) -> ChatReply:
        """Run one request in this thread, until its end or until it is abandoned."""
        chunks: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            chunks.append(chunk)
            return abandoned.is_set() or self._closing.is_set()  # True: stop

        started = time.monotonic()
        try:
            if request.raw:
                server.handle_completions(_body(request), take)
            else:
                server.handle_chat_completions(_body(request), take)
        except (RuntimeError, ValueError) as error:
            raise RefusedRequestError(f"llama.cpp refuses the request: {error}.") from error
        return _reply(chunks, time.monotonic() - started)


def _slots(spec: str, options: str) -> int:
    """Return the number behind `?slots=`, 1 if there is none."""
    slots = "1"
    for key, value in parse_qsl(options, keep_blank_values=True):
        if key != "slots":
            raise ConfigError(
                f"{spec}: {key!r} is not a known option.{nearest(key, ['slots'])} Known: slots."
            )
        slots = value
    if not slots.isdecimal() or int(slots) < 1:
        raise ConfigError(f"{spec}: slots must be a whole number from 1, got {slots!r}.")
    return int(slots)


def _expanded(name: str) -> Path:
    """Return the path of a model file, `~` replaced by a home."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ModelNotFoundError(
            f"There is no model file {name}: nobody's home is {Path(name).parts[0]}. "
            f"Check the path."
        ) from error


def _file_identity(path: Path) -> str:
    """Return what stands for a model file: the catalogue's name for its bytes, or their hash."""
    if not catalogue.is_file(path):
        beside = [str(other) for other in path.parent.glob("*.gguf")]
        raise ModelNotFoundError(
            f"There is no model file {path}.{nearest(str(path), beside)} Check the path, or name "
            f"a model of the catalogue: {', '.join(sorted(catalogue.entries()))}."
        )
    sha256 = catalogue.file_sha256(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ModelNotFoundError(
            f"{path} is no GGUF file: it begins with {magic!r}, not b'GGUF'. "
            f"Name a model file in that format."
        )
    names = (name for name, entry in catalogue.entries().items() if entry.sha256 == sha256)
    return f"{next(names, 'gguf')}@{sha256[:16]}"


def _import_llama() -> Any:
    if find_spec("xllamacpp") is None:
        raise MissingExtraError(
            "A local model needs llama.cpp, which is not installed. "
            "Install it: pip install 'wavecoder[local]'."
        )
    # llama.cpp's threads meet after every step, and by default wait there for milliseconds without
    # sleeping. 0.5B model, 2 cores, tokens/s: 56 alone, but 1 to 5 as soon as another program wants
    # one core. At 300 turns of the waiting loop: 49 and 32. Only OpenMP's start reads it, in this
    # import; a user who sets either variable has decided.
    ours = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}.isdisjoint(os.environ)
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "300"
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        remedy = "Install it anew: pip install --force-reinstall xllamacpp."
        if "libgomp" in str(error):
            remedy = "Install the system package libgomp1: apt install libgomp1."
        raise MissingExtraError(f"llama.cpp does not load: {error}. {remedy}") from error
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]


def _cores() -> int:
    """Return how many physical cores this process may use.

    More threads than that only slow llama.cpp down: hyperthreads share one vector unit, and the
    threads that a container's quota suspends keep all others waiting.
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    siblings = {
        _text(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        for cpu in cpus
    }
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").partition(" ")  # microseconds
    if quota.isdecimal() and period.isdecimal():
        return max(1, min(len(siblings), int(quota) // int(period)))
    return len(siblings)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _body(request: ChatRequest) -> dict[str, Any]:
    sampling = request.sampling
    words: dict[str, Any] = (
        {"prompt": request.messages[0].content}
        if request.raw
        else {"messages": [message.model_dump() for message in request.messages]}
    )
    if sampling.stop:
        words["stop"] = list(sampling.stop)
    return {
        **words,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        # llama.cpp keeps 32 bits and takes 2³²−1 to mean a seed of its own choice.
        "seed": sampling.seed % 0xFFFFFFFF,
        # Nothing but temperature and top_p shapes the choice, whatever llama.cpp's defaults are.
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "cache_prompt": False,
        # In pieces, and with news of the prompt, so that the answer can be abandoned at any time.
        "stream": True,
        "return_progress": True,
        "stream_options": {"include_usage": True},
    }


def _reply(chunks: list[dict[str, Any]], seconds: float) -> ChatReply:
    """Put the chunks of a streamed reply together."""
    texts: list[str] = []
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    for chunk in chunks:
        if "error" in chunk:
            error = chunk["error"]
            refused = int(error.get("code", 500)) < 500
            kind = RefusedRequestError if refused else ModelError
            raise kind(f"llama.cpp refuses the request: {error.get('message')}.")
        for choice in chunk["choices"]:
            # What goes on from a text comes as text, a turn of a chat as what is new in it.
            texts.append(choice.get("text") or choice.get("delta", {}).get("content") or "")
            finish_reason = choice["finish_reason"] or finish_reason
        usage = chunk.get("usage") or usage
    if usage is None:
        raise ModelError("The model was closed before its reply was complete. Ask again.")
    if finish_reason not in list(FinishReason):
        raise RefusedRequestError(f"llama.cpp ended its reply with {finish_reason!r}.")
    return ChatReply(
        text="".join(texts),
        finish_reason=FinishReason(finish_reason),
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        seconds=seconds,
    )
