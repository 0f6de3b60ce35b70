"""A checkpoint in a folder, as transformers saves one, answers in this process.

`checkpoint:FOLDER` is a model, or an adapter whose base model `adapter_config.json` names. On a
GPU it has the numbers it was saved in, on a CPU fp32.

Requests that wait at the same time are answered together, the shorter prompts filled up on the
left. Each keeps its own limit, stop words and random generator, so that a reply is a function of
its request. The sums of several rows may be rounded in another order than those of one: by about
1e-6 in fp32, which changes no reply we saw, but by 1e-2 in bf16, where two tokens that are nearly
as likely may change places. That is why a CPU gets fp32, though one with instructions for bf16 is
up to twice as fast with it.
To measure a large model, or many samples, serve the same folder with vLLM and name its address.
"""

import asyncio
import importlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavecoder.errors import (
    ConfigError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    RefusedRequestError,
    StoppedError,
    WaveCoderError,
)
from wavecoder.llm import catalogue
from wavecoder.llm.decoding import Row, decode
from wavecoder.records import ChatReply, ChatRequest, FinishReason, digest

__all__ = ["CheckpointModel", "content"]

_ADAPTER = "adapter_config.json"
_TOGETHER = 8
"""Requests that are answered at once."""
_GATHER_SECONDS = 0.05
"""How long the first waits for others: replies take seconds, and those who ask do so together."""

_Waiting = tuple[ChatRequest, "asyncio.Future[ChatReply]"]
_Answers = list[ChatReply | WaveCoderError]


class CheckpointModel:
    """A model that transformers loads."""

    free = True
    concurrency: int | None = _TOGETHER

    def __init__(self, spec: str, api_key_env: str | None = None) -> None:
        """Find the folder; nothing is loaded yet.

        Args:
            spec: `checkpoint:FOLDER`.
            api_key_env: Not needed.

        Raises:
            ModelNotFoundError: The folder does not exist or holds no checkpoint.
            MissingExtraError: The extra `checkpoint` is not installed.
        """
        self._folder = Path(spec.partition(":")[2]).expanduser()
        self._is_adapter = (self._folder / _ADAPTER).is_file()
        if not self._is_adapter and not (self._folder / "config.json").is_file():
            raise ModelNotFoundError(
                f"{self._folder} holds no checkpoint: there is neither config.json nor "
                f"{_ADAPTER}. Name the folder that transformers or PEFT saved."
            )
        for library in ("transformers", "torch", *(("peft",) if self._is_adapter else ())):
            if find_spec(library) is None:
                raise MissingExtraError(
                    f"A checkpoint needs {library}, which is not installed. "
                    f"Install it: pip install 'wavecoder[checkpoint]'."
                )
        self.identity = f"{_name(self._folder)}@{content(self._folder)}"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._loaded: tuple[Any, Any] | None = None
        self._closing = threading.Event()
        self._waiting: list[_Waiting] = []
        self._serving: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; the first call loads the model.

        Raises:
            RefusedRequestError: The request is too long for the model, or for the memory.
            ConfigError: It is a chat, and the checkpoint has no chat template.
            ModelError: The model cannot be loaded, or is closed.
            StoppedError: It was not begun when the model was drained.
        """
        if self._closing.is_set():
            raise ModelError(f"The model {self.identity} is closed. Open it anew.")
        future: asyncio.Future[ChatReply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._arrived.set()
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await future

    def drain(self) -> None:
        """Let what is being answered finish; what only waits ends with StoppedError."""
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(StoppedError("Stopped; every finished reply is saved."))

    async def close(self) -> None:
        """Abandon what is in flight and free the weights; idempotent."""
        self._closing.set()
        if self._serving is not None:
            await self._serving
        await asyncio.to_thread(self._pool.shutdown)
        self._loaded = None

    async def _serve(self) -> None:
        """Answer what waits, several at once, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._gather()
            taken = self._waiting[:_TOGETHER]
            del self._waiting[:_TOGETHER]
            asked = [one for one in taken if not one[1].done()]  # others gave up
            requests = [request for request, _ in asked]
            try:
                found = await loop.run_in_executor(self._pool, self._answers, requests)
            except Exception as error:
                # Whatever it is, those who wait must get it: nobody else awaits this task.
                for _, future in [*asked, *self._waiting]:
                    if not future.done():
                        future.set_exception(error)
                self._waiting.clear()
                return
            for (_, future), answer in zip(asked, found, strict=True):
                if future.done():
                    continue
                if isinstance(answer, ChatReply):
                    future.set_result(answer)
                else:
                    future.set_exception(answer)

    async def _gather(self) -> None:
        """Wait until as many are there as are answered at once, or no more come."""
        while len(self._waiting) < _TOGETHER and not self._closing.is_set():
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), _GATHER_SECONDS)
            except TimeoutError:
                return

    def _load(self) -> tuple[Any, Any]:
        transformers: Any = importlib.import_module("transformers")
        torch: Any = importlib.import_module("torch")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        gpu = torch.cuda.is_available()
        dtype = "auto" if gpu else torch.float32
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder)
            if self._is_adapter:
                peft: Any = importlib.import_module("peft")
                model = peft.AutoPeftModelForCausalLM.from_pretrained(self._folder, dtype=dtype)
            else:
                model = transformers.AutoModelForCausalLM.from_pretrained(self._folder, dtype=dtype)
            return tokenizer, model.to("cuda" if gpu else "cpu").eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"The checkpoint {self._folder} cannot be loaded: "
                f"{str(error).splitlines()[0].rstrip('.')}. Save it again, or mend the path of its "
                f"base model."
            ) from error

    def _answers(self, requests: Sequence[ChatRequest]) -> _Answers:
        """Answer several in the pool's one thread, each with a reply or with why there is none."""
        if self._loaded is None and not self._closing.is_set():
            self._loaded = self._load()
        found: dict[int, ChatReply | WaveCoderError] = {}
        rows: dict[int, Row] = {}
        for place, request in enumerate(requests):
            try:
                rows[place] = self._row(request)
            except (ConfigError, ModelError) as error:
                found[place] = error
        for places in self._groups(rows):
            found |= self._replies({place: rows[place] for place in places})
        return [found[place] for place in range(len(requests))]

    def _row(self, request: ChatRequest) -> Row:
        """Return a request as tokens.

        Raises:
            ConfigError: There is no chat template.
            RefusedRequestError: It is too long.
            ModelError: The model was closed.
        """
        if self._loaded is None:
            raise ModelError(f"The model {self.identity} is closed. Open it anew.")
        tokenizer, _ = self._loaded
        sampling, room = request.sampling, self._room
        if request.raw:
            prompt = list(tokenizer(request.messages[0].content)["input_ids"])
        elif tokenizer.chat_template is None:
            raise ConfigError(
                f"{self._folder} has no chat template. Ask it by another prompt: alpaca or "
                f"completion (in a recipe prompt, or base_prompt for the base of trained models)."
            )
        else:
            messages = [message.model_dump() for message in request.messages]
            prompt = list(
                tokenizer.apply_chat_template(
                    messages, add_generation_prompt=True, return_dict=True
                )["input_ids"]
            )
        if room is not None and len(prompt) + sampling.max_tokens > room:
            raise RefusedRequestError(
                f"The prompt has {len(prompt)} tokens and the reply may have "
                f"{sampling.max_tokens}, more than the {room} of {self.identity}."
            )
        return Row(prompt, sampling)

    @property
    def _room(self) -> int | None:
        """Tokens that prompt and reply may have together."""
        assert self._loaded is not None
        room: int | None = getattr(self._loaded[1].config, "max_position_embeddings", None)
        return room

    def _groups(self, rows: dict[int, Row]) -> list[list[int]]:
        """Return which rows go together.

        The longest prompt and the longest reply of a group fit together into the model: places
        are counted for a row that has ended, too, until the last of its group has.
        """
        room = self._room if rows else None
        groups: list[list[int]] = []
        for place, row in rows.items():
            for group in groups:
                members = [row, *(rows[one] for one in group)]
                prompt = max(len(one.prompt) for one in members)
                reply = max(one.sampling.max_tokens for one in members)
                if room is None or prompt + reply <= room:
                    group.append(place)
                    break
            else:
                groups.append([place])
        return groups

    def _replies(self, rows: dict[int, Row]) -> dict[int, ChatReply | WaveCoderError]:
        """Answer rows together; in halves, where the memory is too small for all."""
        assert self._loaded is not None
        torch: Any = importlib.import_module("torch")
        tokenizer, model = self._loaded
        began = time.monotonic()
        try:
            written = decode(model, tokenizer, list(rows.values()), closing=self._closing)
        except torch.OutOfMemoryError:
            written = None
        if self._closing.is_set():
            gone = ModelError("The model was closed before its reply was complete. Ask again.")
            return dict.fromkeys(rows, gone)
        if written is None:
            torch.cuda.empty_cache()
            places = list(rows)
            if len(places) == 1:
                return {places[0]: self._too_much(rows[places[0]])}
            middle = len(places) // 2
            return {
                place: answer
                for half in (places[:middle], places[middle:])
                for place, answer in self._replies({one: rows[one] for one in half}).items()
            }
        seconds = time.monotonic() - began
        return {
            place: ChatReply(
                text=one.text,
                finish_reason=FinishReason.STOP if one.whole else FinishReason.LENGTH,
                prompt_tokens=len(rows[place].prompt),
                completion_tokens=one.tokens,
                seconds=seconds,
            )
            for place, one in zip(rows, written, strict=True)
        }

    def _too_much(self, row: Row) -> RefusedRequestError:
        return RefusedRequestError(
            f"A prompt of {len(row.prompt)} tokens with a reply of up to "
            f"{row.sampling.max_tokens} does not fit into the memory beside {self.identity}. "
            f"Allow shorter replies, or serve the checkpoint on a larger GPU."
        )


def _name(folder: Path) -> str:
    """Return what a checkpoint is called: its folder's name, or that of the variant around it."""
    return folder.absolute().parent.name if folder.name == "checkpoint" else folder.name


def content(folder: Path) -> str:
    """Return 16 digits that stand for a checkpoint's weights, config and tokenizer.

    Raises:
        ModelNotFoundError: A file cannot be read.
    """
    kept = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")
    files = sorted(one for one in folder.iterdir() if one.is_file() and one.suffix in kept)
    try:
        return digest(*(f"{one.name} {catalogue.file_sha256(one)}" for one in files))
    except OSError as error:
        raise ModelNotFoundError(
            f"{error.filename} cannot be read: {error.strerror}. Check its permissions."
        ) from error
