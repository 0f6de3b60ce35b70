import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from wavecoder.errors import (
    ArtifactError,
    ConfigError,
    MissingExtraError,
    StoppedError,
    TrainingError,
)
from wavecoder.train import trl
from wavecoder.train.callbacks import mark_of
from wavecoder.train.config import Sharding
from wavecoder.train.job import Job, Outcome
from wavecoder.train.trl import (
    TrlTrainer,
    _environment,
    _settings,
    check_settings,
    checkpoint_bytes,
)

JobFolder = Callable[..., Path]


class Watching:
    """Progress that does something at a step."""

    def __init__(self, act: Callable[[int], None] = lambda step: None) -> None:
        self.steps: list[tuple[str, int, int | None]] = []
        self.said: dict[str, float | str] = {}
        self._act = act

    def step(self, what: str, done: int, total: int | None) -> None:
        self.steps.append((what, done, total))
        self._act(done)

    def figures(self, values: Mapping[str, float | str]) -> None:
        self.said |= values


def _train(folder: Path, watching: Any = None, stop: Event | None = None) -> Outcome:
    return TrlTrainer().train(
        folder, Job.load(folder), progress=watching or Watching(), stop=stop or Event()
    )


def _changed(folder: Path, **keys: Any) -> None:
    table = json.loads((folder / "job.json").read_text("utf-8")) | keys
    (folder / "job.json").write_text(json.dumps(table), "utf-8")


def _children() -> list[int]:
    """Return the processes under this one that train."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if b"wavecoder.train.worker" in words and parent == str(os.getpid()):
            found.append(int(entry.name))
    return found


def test_it_trains_shows_how_far_it_is_and_trains_once(job_folder: JobFolder) -> None:
    folder = job_folder()
    watching = Watching()
    outcome = _train(folder, watching)
    assert outcome.status == "complete"
    assert (watching.steps[0], watching.steps[-1]) == (("steps", 0, 12), ("steps", 12, 12))
    assert watching.said.keys() == {"held-out loss", "loss", "tokens/s"}
    job = Job.load(folder)
    made = (job.output / "checkpoint" / "model.safetensors").stat()
    # How it is run may change, and nothing is done again.
    _changed(folder, per_device_batch=1, save_steps=2)
    assert _train(folder) == outcome
    assert (job.output / "checkpoint" / "model.safetensors").stat() == made
    _changed(folder, learning_rate=1e-4)
    with pytest.raises(
        ArtifactError, match=r"another learning_rate \(0\.001, now 0\.0001\)\. Train into another"
    ):
        _train(folder)


@pytest.mark.slow
def test_a_stop_saves_and_the_same_call_goes_on(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=400, steps=2400, save_steps=10_000, schedule="constant")
    stop = Event()
    with pytest.raises(StoppedError, match=r"Stopped after step \d+ of 2400\. The checkpoint of"):
        _train(folder, Watching(lambda step: stop.set()), stop)
    job = Job.load(folder)
    first = Outcome.model_validate_json((job.output / "outcome.json").read_text("utf-8"))
    stop.clear()
    with pytest.raises(StoppedError):
        _train(folder, Watching(lambda step: step > first.steps and stop.set()), stop)
    rows = [json.loads(line) for line in (job.output / "metrics.jsonl").open()]
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > first.steps
    # Another training is not begun from this one's checkpoint.
    shutil.copy(folder / "held_out.parquet", folder / "train.parquet")
    with pytest.raises(ArtifactError, match="holds a training with another data"):
        _train(folder)


@pytest.mark.slow
def test_a_killed_worker_is_taken_for_memory(job_folder: JobFolder) -> None:
    folder = job_folder(epochs=400, steps=2400)

    def kill(step: int) -> None:
        for process in _children():
            os.kill(process, signal.SIGKILL)

    with pytest.raises(
        TrainingError, match=r"as it seems for lack of memory\. (Set|Nothing)"
    ) as caught:
        _train(folder, Watching(kill))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_workers_end_with_who_started_them(job_folder: JobFolder) -> None:
    """The parent is killed and cannot say good-bye."""
    folder = job_folder(epochs=4000, steps=24_000)
    script = f"""
import os, signal
from pathlib import Path
from threading import Event
from wavecoder.train.job import Job
from wavecoder.train.trl import TrlTrainer

class Fatal:
    def step(self, what, done, total):
        if done:
            os.kill(os.getpid(), signal.SIGKILL)
    def figures(self, values):
        pass

folder = Path({str(folder)!r})
TrlTrainer().train(folder, Job.load(folder), progress=Fatal(), stop=Event())
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    log = Job.load(folder).work / "log.txt"
    assert parent.wait() == -signal.SIGKILL
    for worker in _holders(log):
        descriptor = os.pidfd_open(worker)
        assert select.select([descriptor], [], [], 60)[0], "the worker still runs"
        os.close(descriptor)
    assert _holders(log) == []


def _holders(path: Path) -> list[int]:
    """Return the processes that have a file open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if any(one.samefile(path) for one in (entry / "fd").iterdir()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_sentence_and_the_last_checkpoint_stays(
    job_folder: JobFolder, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    with _small_disk(small, "1500k"):
        folder = job_folder(work=small / "work")
        # What the disk had when training began is gone later: another program wrote to it.
        hog = small / "hog"

        def fill(step: int) -> None:
            if step >= 4 and not hog.exists():
                free = shutil.disk_usage(small).free
                hog.write_bytes(b"0" * (free - 100_000))

        _changed(folder, epochs=400, steps=2400)
        with pytest.raises(
            TrainingError, match=r"The disk is full: .+ MB altogether\. Make room"
        ) as caught:
            _train(folder, Watching(fill))
        assert "The checkpoint of step" in str(caught.value)
        hog.unlink()
        stop = Event()
        with pytest.raises(StoppedError):
            _train(folder, Watching(lambda step: stop.set()), stop)


def test_too_small_a_disk_is_refused_with_both_figures(
    job_folder: JobFolder, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    with _small_disk(small, "200k"):
        folder = job_folder(work=small / "work")
        with pytest.raises(
            TrainingError, match=r"The checkpoints need 0\.\d MB in .* and 0\.\d MB are free\."
        ):
            _train(folder)


def test_how_much_the_checkpoints_need(job_folder: JobFolder) -> None:
    job = Job.load(job_folder())
    size = (job.base / "model.safetensors").stat().st_size
    work, output = checkpoint_bytes(job)
    assert output == pytest.approx(size, rel=0.1)
    assert work == pytest.approx(2 * 3 * size, rel=0.1)  # weights and Adam's two moments, twice
    # DeepSpeed's own weights besides, and under stage 2 the model a second time.
    for sharding, times in ((Sharding.ZERO3, 4), (Sharding.ZERO2, 5)):
        shared = checkpoint_bytes(job.model_copy(update={"sharding": sharding}))[0]
        assert shared == pytest.approx(2 * times * size, rel=0.1)
    assert checkpoint_bytes(job.model_copy(update={"save_steps": 12}))[0] == 0
    assert checkpoint_bytes(job.model_copy(update={"adapter": "lora", "merge": False})) == (0, 0)


def _stopped(folder: Path) -> Job:
    """Train a step, and stop."""
    stop = Event()
    stop.set()
    with pytest.raises(StoppedError, match="Stopped after step 1 of 12"):
        _train(folder, stop=stop)
    return Job.load(folder)


def test_what_goes_on_begins_at_its_step_and_tells_nothing_of_the_start_before(
    job_folder: JobFolder,
) -> None:
    folder = job_folder(steps=12, save_steps=100)
    job = _stopped(folder)
    with (job.output / "metrics.jsonl").open("a") as file:  # of steps behind the checkpoint
        file.write(json.dumps({"step": 2, "loss": 99.0, "tokens_per_second": 1.0}) + "\n")
        file.write(json.dumps({"step": 2, "held_out_loss": 99.0}) + "\n")
    watching = Watching()
    said: list[Mapping[str, float | str]] = []
    watching.figures = said.append  # type: ignore[method-assign]
    _train(folder, watching)
    assert watching.steps[0] == ("steps", 1, 12)
    assert all(99.0 not in values.values() for values in said)
    assert len(said) > 0


def test_a_damaged_checkpoint_is_named_and_without_it_training_begins_anew(
    job_folder: JobFolder,
) -> None:
    folder = job_folder(save_steps=100)
    job = _stopped(folder)
    checkpoint = job.work / "checkpoint-1"
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(TrainingError) as caught:
        _train(folder)
    said = str(caught.value)
    assert "ended with exit status 1 and without an outcome: " in said
    assert said.endswith(
        f"If {checkpoint} is damaged, remove it, and the same command begins anew."
    )
    assert "Its log is" in said
    assert "\n" not in said
    shutil.rmtree(checkpoint)
    assert _train(folder).status == "complete"


def test_more_gpus_than_are_here_are_refused(job_folder: JobFolder) -> None:
    folder = job_folder(gpus=99)
    with pytest.raises(
        ConfigError, match=r"train\.gpus is 99, and \w+ NVIDIA GPUs may be used here\. Leave"
    ):
        _train(folder)
    assert not Job.load(folder).output.exists()


def test_a_cpus_worker_sees_no_gpu(job_folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert _environment(Job.load(job_folder("cpu")))["CUDA_VISIBLE_DEVICES"] == ""
    assert _environment(Job.load(job_folder("gpu", gpus=2)))["CUDA_VISIBLE_DEVICES"] == "2,3"


@pytest.mark.parametrize("sharding", ["fsdp", "zero3"])
def test_weights_in_4_bits_are_not_shared_out(
    job_folder: JobFolder, monkeypatch: pytest.MonkeyPatch, sharding: str
) -> None:
    monkeypatch.setattr(trl, "find_spec", lambda name: name)
    job = Job.load(job_folder(gpus=2, adapter="qlora", sharding=sharding))
    with pytest.raises(ConfigError, match=f"sharding {sharding}.*Set train.sharding: none"):
        trl._check_libraries(job)


def test_qlora_and_zero_need_their_extras(
    job_folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trl, "find_spec", lambda name: None if name in ("bitsandbytes", "deepspeed") else name
    )
    with pytest.raises(MissingExtraError, match=r"needs bitsandbytes.*wavecoder\[qlora\]"):
        _train(job_folder("bits", adapter="qlora"))
    with pytest.raises(MissingExtraError, match=r"needs deepspeed.*wavecoder\[deepspeed\]"):
        _train(job_folder("zero", sharding="zero3"))


def test_a_checkpoint_of_another_sharding_is_refused(job_folder: JobFolder) -> None:
    folder = job_folder()
    job = Job.load(folder)
    (job.work / "checkpoint-4" / "optimizer_0").mkdir(parents=True)
    (job.work / "checkpoint-4" / "whole").touch()
    with pytest.raises(ArtifactError, match="nothing says what it was trained from"):
        _train(folder)
    shutil.move(job.work / "checkpoint-4", folder / "aside")
    (job.output / "settings.json").write_text(json.dumps(_settings(job, folder)), "utf-8")
    shutil.move(folder / "aside", job.work / "checkpoint-4")
    with pytest.raises(ArtifactError, match="was written with sharding: fsdp and cannot be read"):
        _train(folder)


def test_a_checkpoint_of_another_training_is_refused(job_folder, tmp_path):
    own = job_folder("own")
    other = job_folder("other", learning_rate=1e-2)
    for folder in (own, other):
        job = Job.load(folder)
        job.output.mkdir(exist_ok=True)
        checkpoint = job.work / "checkpoint-4"
        check_settings(job, folder)
        checkpoint.mkdir(parents=True)
        (checkpoint / "whole").write_text(mark_of(job))
        check_settings(job, folder)
    shutil.rmtree(Job.load(own).work)
    shutil.copytree(Job.load(other).work, Job.load(own).work)
    with pytest.raises(ArtifactError, match="is a checkpoint of another training"):
        check_settings(Job.load(own), own)
