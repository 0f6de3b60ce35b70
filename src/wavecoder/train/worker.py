"""The process that trains: `python -m wavecoder.train.worker FOLDER`, one for each GPU.

It reads a job's folder, lets TRL's SFTTrainer do the work, saves what came out, and writes
`outcome.json` last. Killed at any moment, the same line goes on from the last whole checkpoint and
ends with the same weights. Full fine-tuning keeps its weights in fp32 and calculates in the job's
precision: a step of 2e-5 is lost in the rounding of bf16. The weights beside an adapter do not
change, so they are held in the job's precision.
"""

import errno
import importlib
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from wavecoder.artifact import write_text
from wavecoder.errors import ConfigError, MissingExtraError, TrainingError, WaveCoderError
from wavecoder.train import packing, quantized, sharded
from wavecoder.train.bases import load_tokenizer
from wavecoder.train.callbacks import (
    Course,
    all_here,
    checkpoints,
    cut,
    is_whole,
    last_whole,
    peak_bytes,
    step_of,
)
from wavecoder.train.config import Adapter, Sharding
from wavecoder.train.job import Job, Outcome
from wavecoder.train.saving import kept, save
from wavecoder.train.sft import settings, trainer_class

__all__ = ["WATCHED", "main"]

WATCHED = "WAVECODER_TRAIN_WATCHED"
"""Environment variable: standard input is a pipe whose other end the parent holds."""


def main(folder: Path) -> int:
    """Train from a job's folder and write its outcome; return the exit status.

    What nobody foresaw is raised: its traceback is in the log, and there is no outcome.
    """
    job = Job.load(folder)
    _see_one_gpu(job)
    job.output.mkdir(parents=True, exist_ok=True)
    job.work.mkdir(parents=True, exist_ok=True)
    try:
        outcome = _train(job, folder)
    # Memory and disk run out in whatever library is at work, each with an error of its own.
    except Exception as error:
        failed = _foreseen(error)
        if failed is None:
            raise
        traceback.print_exc()
        _write(job, failed)
        return 1
    if int(os.environ.get("RANK", "0")) == 0:
        _write(job, outcome)
    return 0


def _see_one_gpu(job: Job) -> None:
    """Hide others from a process that is alone: it would spread each batch, which TRL refuses."""
    if job.gpus == 1 and "WORLD_SIZE" not in os.environ:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = seen.partition(",")[0]


def _write(job: Job, outcome: Outcome) -> None:
    write_text(job.output / "outcome.json", outcome.model_dump_json(indent=2) + "\n")


def _train(job: Job, folder: Path) -> Outcome:
    if job.packing and (why := packing.holds(job.base, job.attention)):
        raise ConfigError(why)
    resume = last_whole(job.work)
    if resume:
        sharded.check_shares(resume)
    trainer, course = _trainer(job, folder, resume)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    outcome = _outcome(job, course, trainer.state.global_step)
    if outcome.status == "complete":
        save(job, trainer)
    return outcome


def _outcome(job: Job, course: Course, steps: int) -> Outcome:
    status, detail = "complete", ""
    if course.stopped:
        status = "stopped"
    elif course.diverged:
        kept = last_whole(job.work)
        status = "diverged"
        detail = (
            f"Training diverged: {course.diverged}. Set train.learning_rate (now "
            f"{job.learning_rate:g}) lower, or train.warmup_steps (now {job.warmup_steps}) higher; "
            + (f"the checkpoint of step {step_of(kept)} is kept." if kept else "none was saved.")
        )
    return Outcome(
        status=status,
        detail=detail,
        steps=steps,
        loss=course.loss,
        held_out_before=course.held_out.get(0),
        held_out_after=course.held_out.get(steps),
        tokens=course.tokens,
        seconds=course.seconds,
        peak_bytes=peak_bytes(),
    )


def _trainer(job: Job, folder: Path, resume: Path | None) -> tuple[Any, Course]:
    """Return TRL's trainer, ready to begin or to go on."""
    datasets: Any = importlib.import_module("datasets")
    transformers: Any = importlib.import_module("transformers")
    trl: Any = importlib.import_module("trl")
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()

    def rows(name: str) -> Any:
        return datasets.Dataset.from_parquet(
            str(folder / f"{name}.parquet"), cache_dir=str(job.work / "rows")
        )

    held_out = rows("held_out") if (folder / "held_out.parquet").is_file() else None
    # Made before the model is loaded: it is what opens the group of processes.
    arguments = trl.SFTConfig(
        **settings(job), eval_on_start=held_out is not None and resume is None
    )
    if job.sharding is Sharding.FSDP and job.gpus == 0:
        sharded.allow_on_cpu()
    _clear(job, resume)
    tokenizer = load_tokenizer(job.base)
    tokenizer.chat_template = job.chat_template
    trainer = trainer_class()(
        model=_load(job),
        args=arguments,
        train_dataset=rows("train"),
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=_adapter(job),
    )
    # The loss is per token of all processes whatever the architecture's forward takes.
    trainer.model_accepts_loss_kwargs = True
    sharded.in_full(trainer, job)
    if job.adapter is Adapter.QLORA:
        quantized.adapter_in_full(trainer.model)
    trainer.remove_callback(transformers.PrinterCallback)
    rows_an_epoch = len(trainer.train_dataset)
    course = Course(
        job,
        steps_an_epoch=-(-rows_an_epoch // job.batch),
        held_out=held_out is not None,
        resumed=resume is not None,
    )
    trainer.add_callback(course)
    return trainer, course


def _clear(job: Job, resume: Path | None) -> None:
    """Drop what a killed start left behind the checkpoint that is gone on from."""
    if int(os.environ.get("RANK", "0")) == 0:
        for checkpoint in checkpoints(job.work):
            if not is_whole(checkpoint):
                shutil.rmtree(checkpoint)
        cut(job.output / "metrics.jsonl", resume)
    all_here()


def _load(job: Job) -> Any:
    """Return the base model, in the format its weights are kept in."""
    transformers: Any = importlib.import_module("transformers")
    options: dict[str, Any] = {}
    if job.attention != "auto":
        options["attn_implementation"] = job.attention
    if job.adapter is Adapter.QLORA:
        options |= quantized.options(job)
    dtype = "float32" if job.adapter is Adapter.NONE else kept(job)
    damaged = importlib.import_module("safetensors").SafetensorError
    try:
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            job.base, dtype=dtype, output_loading_info=True, **options
        )
    except (ValueError, KeyError, ImportError, OSError, RuntimeError, damaged) as error:
        if _is_space(error) or _is_memory(error):
            raise
        raise ConfigError(
            f"The base {job.base} cannot be loaded: {_unfit(error)}. Name another base, or other "
            f"train.attention, or get it again."
        ) from error
    if missing := sorted(found["missing_keys"]):
        # transformers draws them at random, and says so in the log alone.
        raise ConfigError(
            f"The base {job.base} lacks {len(missing)} of its weights, {missing[0]} first. Get it "
            f"again."
        )
    if job.adapter is Adapter.QLORA:
        quantized.keep_as_loaded(model)
    _mend(model.generation_config)
    return model


def _unfit(error: Exception) -> str:
    if "ignore_mismatched_sizes" in str(error):  # its table of sizes is in the log
        return "its config.json does not fit its weights"
    return _line(error)


def _mend(generation: Any) -> None:
    """Let a base's sampling numbers mean what they say; without `do_sample` they are not saved."""
    numbers = ("temperature", "top_p", "top_k", "typical_p", "min_p")
    if any(getattr(generation, name, None) is not None for name in numbers):
        generation.do_sample = True


def _adapter(job: Job) -> Any:
    if job.adapter is Adapter.NONE:
        return None
    peft: Any = importlib.import_module("peft")
    return peft.LoraConfig(
        r=job.lora.rank,
        lora_alpha=job.lora.alpha,
        lora_dropout=job.lora.dropout,
        target_modules=list(job.lora.modules) if job.lora.modules else "all-linear",
        task_type="CAUSAL_LM",
    )


def _foreseen(error: BaseException) -> Outcome | None:
    """Return the outcome of an error that has a name among ours; None: nobody foresaw it."""
    if isinstance(error, (ConfigError, MissingExtraError, TrainingError)):
        return Outcome(status="failed", detail=str(error))
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    if any(_is_memory(one) for one in chain):
        asked = re.search(r"tried to allocate (\d+) bytes", str(error))
        said = f"{int(asked[1]) / 1e6:,.0f} MB more were asked for" if asked else _line(error)
        return Outcome(status="memory", detail=said)
    if any(_is_space(one) for one in chain):
        return Outcome(status="space", detail=_line(error))
    return (
        Outcome(status="failed", detail=str(error)) if isinstance(error, WaveCoderError) else None
    )


def _is_memory(error: BaseException) -> bool:
    # By name: where memory is too small to import torch, this cannot import it either.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(
        words in str(error)
        for words in (
            "can't allocate memory",
            "CUDA out of memory",
            "CUDA error: out of memory",
            "CUBLAS_STATUS_ALLOC_FAILED",
        )
    )


def _is_space(error: BaseException) -> bool:
    # safetensors says the number of the system's error in words, torch.save no more than that the
    # file is shorter than it should be.
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return (isinstance(error, OSError) and error.errno in full) or any(
        words in str(error)
        for words in (*(f"(os error {code})" for code in full), "PytorchStreamWriter failed")
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _watch() -> None:
    """End this process at once when the one that started the training is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    if WATCHED in os.environ:
        _watch()
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: of several processes one is aborted now and then, as it takes down its libraries
    # while gloo's threads are still at work (torch 2.13).
    os._exit(code)
