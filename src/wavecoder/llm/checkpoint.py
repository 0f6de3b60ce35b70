"""A checkpoint in a folder, as transformers saves one, answers in this process.

`checkpoint:FOLDER` is a model, or an adapter whose base model `adapter_config.json` names. It
answers one request at a time, so that a reply is a function of its request alone; to measure a
large model, or many samples, serve the same folder with vLLM and name its address.
"""

import asyncio
import importlib
import threading
import time
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
)
from wavecoder.llm import catalogue
from wavecoder.records import ChatReply, ChatRequest, FinishReason, digest

__all__ = ["CheckpointModel"]

_ADAPTER = "adapter_config.json"


class CheckpointModel:
    """A model that transformers loads."""

    free = True
    concurrency: int | None = 1

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
        self.identity = f"{self._folder.name}@{_content(self._folder)}"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._loaded: tuple[Any, Any] | None = None
        self._closing = threading.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; the first call loads the model.

        Raises:
            RefusedRequestError: The request is too long for the model.
            ModelError: The model cannot be loaded, or fails.
        """
        if self._closing.is_set():
            raise ModelError(f"The model {self.identity} is closed. Open it anew.")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, request)

    async def close(self) -> None:
        """Abandon what is in flight and free the weights; idempotent."""
        self._closing.set()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._loaded = None

    def _load(self) -> tuple[Any, Any]:
        transformers: Any = importlib.import_module("transformers")
        torch: Any = importlib.import_module("torch")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        where = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder)
            if self._is_adapter:
                peft: Any = importlib.import_module("peft")
                model = peft.AutoPeftModelForCausalLM.from_pretrained(self._folder, dtype="auto")
            else:
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    self._folder, dtype="auto"
                )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"The checkpoint {self._folder} cannot be loaded: "
                f"{str(error).splitlines()[0].rstrip('.')}. Save it again, or mend the path of its "
                f"base model."
            ) from error
        return tokenizer, model.to(where).eval()

    def _ask(self, request: ChatRequest) -> ChatReply:
        """Answer in the pool's one thread."""
        torch: Any = importlib.import_module("torch")
        if self._loaded is None:
            self._loaded = self._load()
        tokenizer, model = self._loaded
        began = time.monotonic()
        tokens = self._tokens(tokenizer, request).to(model.device)
        sampling = request.sampling
        room = getattr(model.config, "max_position_embeddings", None)
        prompt = tokens["input_ids"].shape[1]
        if room is not None and prompt + sampling.max_tokens > room:
            raise RefusedRequestError(
                f"The prompt has {prompt} tokens and the reply may have {sampling.max_tokens}, "
                f"more than the {room} of {self.identity}."
            )
        options: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
        if sampling.temperature > 0:
            options = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
            }
        if sampling.stop:
            options |= {"stop_strings": list(sampling.stop), "tokenizer": tokenizer}
        torch.manual_seed(sampling.seed)
        with torch.inference_mode():
            written = model.generate(
                **tokens,
                **options,
                top_k=None if sampling.temperature == 0 else 0,
                max_new_tokens=sampling.max_tokens,
                pad_token_id=_padding(tokenizer, model),
                stopping_criteria=[lambda ids, scores, **more: self._stopped(ids, torch)],
            )[0, prompt:]
        if self._closing.is_set():
            raise ModelError("The model was closed before its reply was complete. Ask again.")
        text = tokenizer.decode(written, skip_special_tokens=True)
        stopped = [at for stop in sampling.stop or () if (at := text.find(stop)) >= 0]
        whole = bool(stopped) or _ends(written, model)
        return ChatReply(
            text=text[: min(stopped)] if stopped else text,
            finish_reason=FinishReason.STOP if whole else FinishReason.LENGTH,
            prompt_tokens=prompt,
            completion_tokens=len(written),
            seconds=time.monotonic() - began,
        )

    def _stopped(self, ids: Any, torch: Any) -> Any:
        """Say for each sequence whether it is to be abandoned."""
        return torch.full((ids.shape[0],), self._closing.is_set(), device=ids.device)

    def _tokens(self, tokenizer: Any, request: ChatRequest) -> Any:
        """Return the prompt as tokens."""
        if request.raw:
            return tokenizer(request.messages[0].content, return_tensors="pt")
        if tokenizer.chat_template is None:
            raise ConfigError(
                f"{self._folder} has no chat template. Ask it with --prompt alpaca or completion."
            )
        messages = [message.model_dump() for message in request.messages]
        return tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )


def _content(folder: Path) -> str:
    """Return 16 digits that stand for a checkpoint's files."""
    kept = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")
    files = sorted(one for one in folder.iterdir() if one.is_file() and one.suffix in kept)
    try:
        return digest(*(f"{one.name} {catalogue.file_sha256(one)}" for one in files))
    except OSError as error:
        raise ModelNotFoundError(
            f"{error.filename} cannot be read: {error.strerror}. Check its permissions."
        ) from error


def _padding(tokenizer: Any, model: Any) -> int | None:
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    ends = _end_tokens(model)
    return ends[0] if ends else None


def _end_tokens(model: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        return []
    return list(ends) if isinstance(ends, list) else [ends]


def _ends(written: Any, model: Any) -> bool:
    return len(written) > 0 and int(written[-1]) in _end_tokens(model)
