"""`wavecoder train` as a person uses it, and what it says when something is wrong."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMAND = [sys.executable, "-m", "wavecoder.cli"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
ROWS = [
    {"instruction": f"Add {n} to x.", "input": "def f(x): ...", "output": f"return x + {n}"}
    for n in range(20)
]
ROOT = Path(__file__).parents[1]


def wavecoder(*args: object, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *COMMAND, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=ENVIRONMENT,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that failed: one line, and no traceback."""
    *_, last = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert last.startswith("wavecoder: "), done.stderr
    return last.removeprefix("wavecoder: ")


def save_base(place: Path, *, words: int = 257, hidden: int = 16, end: bool = True) -> Path:
    """Save a Llama of random weights over bytes; its vocabulary has no token that pads."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=0 if end else None,
    )
    LlamaForCausalLM(config).save_pretrained(place)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(["<end>", *letters])}
    bytes_ = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    special = {"eos_token": "<end>"} if end else {}
    PreTrainedTokenizerFast(tokenizer_object=bytes_, **special).save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bases")
    save_base(place / "tiny")
    save_base(place / "endless", end=False)
    (place / "adapter").mkdir()
    (place / "adapter" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "codellama/CodeLlama-7b-hf"})
    )
    (place / "nothing").mkdir()
    return place


Recipe = Callable[..., Path]


@pytest.fixture
def recipe(bases: Path, tmp_path: Path) -> Recipe:
    """Write a recipe; `rows` of a dataset go into a file, `base` names one of `bases`."""

    def write(rows: Any = ROWS, *, base: str = "tiny", **keys: Any) -> Path:
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        table: Mapping[str, Any] = {
            "base": str(bases / base) if (bases / base).exists() else base,
            "data": [{"path": str(tmp_path / "rows.json")}],
            "held_out": 0.2,
            "epochs": 2,
            "batch": 4,
            "max_length": 512,
            "warmup_steps": 0,
            "learning_rate": 1e-3,
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"seed": 3, "train": table | keys}))
        return path

    return write


@pytest.mark.parametrize(
    ("rows", "keys", "words"),
    [
        (ROWS, {"base": "nowhere/nothing"}, "Cannot fetch the base nowhere/nothing from the hub"),
        (ROWS, {"base": "local:smollm3"}, "There is no model 'smollm3' in the catalogue."),
        (ROWS, {"base": "./nowhere"}, "There is no folder ./nowhere. Name a folder"),
        (ROWS, {"base": "nothing"}, "holds no model: there is no config.json. Name the folder"),
        (ROWS, {"base": "adapter"}, "Name its own base, codellama/CodeLlama-7b-hf, or merge"),
        (ROWS, {"base": "endless"}, "names no token that ends a text. Name one with train.eos_"),
        (ROWS, {"data": []}, "train has nothing to train on"),
        ([], {}, "rows.json has no rows. Give another dataset under train.data."),
        ([{"text": "a"}], {}, "the first: The row has no instruction; it has text. Give one with"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    recipe: Recipe, tmp_path: Path, rows: Any, keys: Mapping[str, Any], words: str
):
    done = wavecoder("train", recipe(rows, **keys), "-o", tmp_path / "run")
    assert words in said(done)
    assert done.returncode == 2
    assert not (tmp_path / "run" / "5-train").exists()


def test_a_dialogue_that_is_too_long_is_said_and_once_mended_the_same_folder_is_taken(
    recipe: Recipe, tmp_path: Path
):
    long = {"instruction": "Write much.", "output": "x = 1\n" * 17_000}
    done = wavecoder("train", recipe([long]), "-o", tmp_path / "run")
    assert done.returncode == 2
    assert "None of 1 dialogues can be trained on" in said(done)
    assert "It has 102,1" in said(done)
    assert "512 are allowed" in said(done)
    done = wavecoder("train", recipe([long, ROWS[0]]), "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    shown = wavecoder("show", tmp_path / "run").stdout
    assert "train: 2 in, 1 kept" in shown
    assert "1  too_long" in shown
    # Of one dialogue nothing is held out.
    assert "tuned: 1 dialogues an epoch, 2 steps\n" in shown


def test_a_tuned_model_is_shown_and_exported_with_its_card(recipe: Recipe, tmp_path: Path):
    missing = [{"instruction": "Say nothing."}]
    out = tmp_path / "run"
    done = wavecoder("train", recipe(ROWS + missing), "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"train: {out / '5-train' / 'files' / 'checkpoints.json'}\n"
    assert (
        "train: complete, 21 of 21 done: 20 accepted, 1 refused" in wavecoder("status", out).stdout
    )
    shown = wavecoder("show", out).stdout
    assert "1  missing_field, first: rows.json:21: " in shown
    assert "tuned: 16 dialogues an epoch, 8 steps, held-out loss 5." in shown
    own = out / "5-train" / "files" / "tuned" / "checkpoint" / "README.md"
    assert "# tuned/checkpoint\n" in own.read_text()
    exported = wavecoder("export", out, "--format", "checkpoint", "-o", tmp_path / "mine")
    assert exported.stdout == f"{tmp_path / 'mine'}\n"
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "# mine\n" in card
    assert "`tiny`, tuned on 16 dialogues" in card
    assert str(tmp_path) not in card
    assert "None were measured with this model." in card
    wrong = wavecoder("export", out, "--variant", "tuned", "-o", tmp_path / "other")
    assert said(wrong) == (
        "--variant names a checkpoint, and --format is alpaca. Give --format checkpoint."
    )


def test_a_dry_run_without_the_base_estimates_tokens_and_says_so(recipe: Recipe, tmp_path: Path):
    recipe()
    data = f"train.data=[{{path: {tmp_path / 'rows.json'}}}]"
    ablation = [ROOT / "recipes" / "ablation.yaml", "-o", tmp_path / "run", "--dry-run"]
    done = wavecoder("train", *ablation, "-s", data, "--gpus", 8, "--gpu-memory", 80, "--nodes", 2)
    assert done.returncode == 0, done.stderr
    first, second, *variants = done.stdout.split("\n\n")
    assert first.startswith("Only train.data is counted, whatever a variant weighs")
    assert second.startswith("Tokens are estimated, at 3.2 characters each")
    assert "deepseek-ai/deepseek-coder-6.7b-base is not on this machine" in second
    assert len(variants) == 10
    for one in variants:
        assert "tokens      1," in one
        assert "  steps       3: 3 epochs of 20 rows" in one
        assert "fits GPU of 80 GB" in one
        assert "--num_processes 16 --num_machines 2" in one
    assert variants[1].startswith("no-repair: 6.74 billion parameters")
    assert not (tmp_path / "run").exists()
    done = wavecoder("train", *ablation)
    assert done.returncode == 2
    assert said(done) == (
        f"train reads the instances of generate, and {tmp_path / 'run'} has none yet. Make them "
        f"first: wavecoder run {ablation[0]} -o {tmp_path / 'run'} --last generate"
    )


def test_a_dry_run_of_a_base_of_which_nothing_is_known_says_why(recipe: Recipe, tmp_path: Path):
    done = wavecoder("train", recipe(base="nowhere/nothing"), "-o", tmp_path / "run", "--dry-run")
    assert done.returncode == 2
    assert "Cannot fetch the base nowhere/nothing" in said(done)


def test_what_is_prepared_for_several_machines_is_what_is_planned(recipe: Recipe, tmp_path: Path):
    path, out = recipe([*ROWS, *ROWS[:3]], batch=16, held_out=0), tmp_path / "run"
    many = ["train", path, "-o", out, "--gpus", 4, "--nodes", 2]
    done = wavecoder(*many[:-1], 3, "--dry-run")
    assert "split evenly among 12 processes" in said(done)
    assert "Set train.batch to a multiple of 12." in said(done)
    assert said(wavecoder(*many)).startswith("train.nodes is 2, and this command trains on its own")
    done = wavecoder(*many, "--prepare")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 of 23 dialogues repeat another word for word.\n\n")
    assert "4 x GPU of 80 GB (assumed) in each of 2 machines" in done.stdout
    assert "a step: 8 x 2 rows at once, gathered 1 times" in done.stdout
    assert done.stdout.endswith("give this command again without --prepare and --nodes.\n")
    job = json.loads((out / "5-train" / "work" / "tuned" / "job" / "job.json").read_text())
    assert (job["per_device_batch"], job["steps"], job["gpus"]) == (2, 4, 4)


def test_no_gpu_may_be_asked_for(recipe: Recipe, tmp_path: Path):
    done = wavecoder("train", recipe(), "-o", tmp_path / "run", "--dry-run", "--gpus", 0)
    assert done.returncode == 0, done.stderr
    assert ", every weight, fp32, on the CPU\n" in done.stdout


def test_a_printed_line_trains_and_the_same_command_takes_what_came_out(
    recipe: Recipe, tmp_path: Path
):
    out = tmp_path / "run"
    command = ["train", recipe(), "-o", out]
    done = wavecoder(*command, "--prepare")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(
        "When all of it has ended, give this command again without --prepare.\n"
    )
    assert "\n  tuned: prepared\n" in wavecoder("status", out).stdout
    line = done.stdout.split("  start ")[1].splitlines()[0].strip()
    assert not (out / "5-train" / "files" / "tuned" / "outcome.json").exists()
    subprocess.run(line, shell=True, check=True, capture_output=True, env=ENVIRONMENT)
    outcome = out / "5-train" / "files" / "tuned" / "outcome.json"
    made = outcome.stat().st_mtime_ns
    assert wavecoder(*command).returncode == 0
    assert outcome.stat().st_mtime_ns == made
    done = wavecoder(*command, "--prepare")
    assert done.stdout == f"train: {out} is trained already, so that there is nothing to prepare.\n"


def test_a_checkpoint_that_came_from_elsewhere_is_not_gone_on_with(recipe: Recipe, tmp_path: Path):
    foreign = tmp_path / "run" / "5-train" / "work" / "tuned" / "checkpoints" / "checkpoint-3"
    foreign.mkdir(parents=True)
    (foreign / "whole").touch()
    done = wavecoder("train", recipe(), "-o", tmp_path / "run")
    assert done.returncode == 1
    assert said(done) == (
        f"{foreign.parent} holds a checkpoint of which nothing says what it was trained from. "
        f"Remove it, or train into another folder."
    )
    assert (foreign / "whole").exists()


def test_a_disk_that_is_too_small_is_said_before_training(recipe: Recipe, tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["bwrap", "--dev-bind", "/", "/", "--size", "262144", "--tmpfs", str(small)]
    if shutil.which("bwrap") is None or subprocess.run([*mount, "true"], check=False).returncode:
        pytest.skip("bubblewrap cannot mount a small disk here")
    done = wavecoder("train", recipe(save_steps=1), "-o", small / "run", before=mount)
    assert done.returncode == 1
    assert f"KB in {small}" in said(done) or f"MB in {small}" in said(done)
    assert "are free. Make room, or train an adapter (train.adapter: lora)" in said(done)


class Training:
    """A training that goes on, and its worker."""

    def __init__(self, *args: object) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.worker = self._worker()

    def _worker(self) -> int:
        """Wait for the worker, and return a descriptor that can be read once it is gone."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            for child in children.read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes()
                if b"wavecoder.train.worker" in words:
                    return os.pidfd_open(int(child))
            time.sleep(0.02)
        raise AssertionError("no worker was started")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def is_worker_gone(self) -> bool:
        return bool(select.select([self.worker], [], [], 60)[0])


@pytest.mark.slow
def test_ctrl_c_ends_after_a_step_and_the_command_it_prints_goes_on(recipe: Recipe, tmp_path: Path):
    out = tmp_path / "run"
    training = Training("train", recipe(epochs=4), "-o", out)
    training.interrupt()
    _, words = training.process.communicate(timeout=120)
    assert training.process.returncode == 130
    assert training.is_worker_gone()
    assert "Stopped after step 1 of 16. The checkpoint of step 1 is kept; the same" in words
    assert "Traceback" not in words
    said_of_it = wavecoder("status", out).stdout
    assert "train: stopped half-way" in said_of_it
    assert "\n  tuned: stopped at step 1 of 16; the same command goes on\n" in said_of_it
    assert "has no complete stage yet" in said(wavecoder("show", out))
    go_on = words.split("To go on: ")[1].splitlines()[0]
    subprocess.run(go_on, shell=True, check=True, capture_output=True, env=ENVIRONMENT)
    metrics = (out / "5-train" / "files" / "tuned" / "metrics.jsonl").read_text().splitlines()
    steps = [row["step"] for row in map(json.loads, metrics) if "loss" in row]
    assert steps == list(range(1, 17))
    assert not (out / "5-train" / "work").exists()


def test_ctrl_c_twice_ends_at_once_and_leaves_no_worker(recipe: Recipe, tmp_path: Path):
    training = Training("train", recipe(epochs=10_000), "-o", tmp_path / "run")
    training.interrupt()
    assert training.process.stderr is not None
    while "Ctrl-C again stops at once" not in training.process.stderr.readline():
        assert training.process.poll() is None
    training.interrupt()
    assert training.process.wait(timeout=60) == 130
    assert training.is_worker_gone()


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint(
    recipe: Recipe, bases: Path, tmp_path: Path
):
    if not (bases / "middle").exists():
        save_base(bases / "middle", words=8000, hidden=64)
    out = tmp_path / "run"
    path = recipe(base="middle", epochs=4, save_steps=2)
    training = Training("train", path, "-o", out)
    training.interrupt()
    training.process.communicate(timeout=120)
    # No file may be larger than half of a model: the next checkpoint cannot be written.
    done = wavecoder(
        "train", path, "-o", out, before=["bash", "-c", 'ulimit -f 2000; exec "$@"', "x"]
    )
    assert done.returncode == 1
    assert "The disk is full: a checkpoint could not be written under" in said(done)
    assert "The checkpoint of step 1 is kept; the same command goes on from it." in said(done)
    assert wavecoder("train", path, "-o", out).returncode == 0


@pytest.mark.slow
def test_without_memory_the_settings_that_would_fit_are_said(
    recipe: Recipe, bases: Path, tmp_path: Path
):
    if not (bases / "wide").exists():
        save_base(bases / "wide", words=60_000, hidden=256)
    path = recipe([{**ROWS[0], "output": "x" * 900}] * 20, base="wide", max_length=2048, batch=16)
    done = wavecoder(
        *("train", path, "-o", tmp_path / "run", "-s", "train.per_device_batch=16"),
        before=["bash", "-c", 'ulimit -v 4000000; exec "$@"', "x"],
    )
    assert done.returncode == 1
    assert said(done).startswith("Memory ran out (")
    assert "Set per_device_batch: " in said(done)
    assert "under train: that takes about " in said(done)
