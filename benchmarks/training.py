"""How fast the trainer is beside bare TRL, and what packing brings.

    OMP_NUM_THREADS=2 python benchmarks/training.py --base local:smollm2-135m-instruct

Both train the same rows from the same base with the same settings, several times in turns, each
time in a process of its own: ours is the worker as `wavecoder train` starts it, with its curve,
its checkpoints and its held-out loss; bare TRL does the steps alone. Tokens per second are those of
the steps (start and loading not counted), padding not counted. A ratio is of two neighbouring runs.
`--layers 2` shrinks the base to try the benchmark itself. On a GPU: `--gpus 1 --precision bf16`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from wavecoder.train.bases import locate
from wavecoder.train.job import Job
from wavecoder.train.launch import command

BARE = """
import sys, time
from pathlib import Path
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
from wavecoder.train.job import Job
from wavecoder.train.worker import settings

folder = Path(sys.argv[1])
job = Job.load(folder)

class Clock(TrainerCallback):
    def on_train_begin(self, *args, **more):
        self.began = time.monotonic()
    def on_log(self, args, state, control, logs, **more):
        if "loss" in logs:
            self.tokens, self.ended = logs["num_tokens"], time.monotonic()

clock = Clock()
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(job.base, dtype="float32"),
    args=SFTConfig(**settings(job)),
    train_dataset=Dataset.from_parquet(
        str(folder / "train.parquet"), cache_dir=str(folder / "bare")
    ),
    processing_class=AutoTokenizer.from_pretrained(job.base),
    callbacks=[clock],
)
trainer.train()
print("RATE", clock.tokens / (clock.ended - clock.began))
"""


def ours(folder: Path) -> float:
    job = Job.load(folder)
    for old in (job.output, job.work):
        shutil.rmtree(old, ignore_errors=True)
    subprocess.run(command(job, folder), check=True, capture_output=True)
    rows = [json.loads(line) for line in (job.output / "metrics.jsonl").open()]
    last = [row for row in rows if "loss" in row][-1]
    return float(last["tokens"] / last["seconds"])


def bare(folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(folder)], check=True, capture_output=True, text=True
    )
    return float(done.stdout.rpartition("RATE ")[2].split()[0])


def make(folder: Path, base: Path, options: argparse.Namespace, *, packing: bool) -> Path:
    """Write a job; the lengths of its rows are log-normal, as those of instruction data are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = Random(1)
    folder.mkdir()
    for name, count in (("train", options.rows), ("held_out", max(2, options.rows // 20))):
        rows = []
        for _ in range(count):
            length = max(16, min(options.max_length, int(random.lognormvariate(5.3, 0.6))))
            ids = [random.randrange(100, 1000) for _ in range(length)]
            rows.append({"input_ids": ids, "labels": [-100] * (length // 2) + ids[length // 2 :]})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    settings: dict[str, Any] = {
        "base": base,
        "chat_template": "{{ messages }}",
        "eos_token": options.eos,
        "seed": 1,
        "adapter": "none",
        "lora": {},
        "merge": True,
        "epochs": 1,
        "steps": options.rows // options.batch,
        "batch": options.batch,
        "per_device_batch": options.batch,
        "learning_rate": 1e-5,
        "optimizer": "adamw_torch",
        "schedule": "linear",
        "warmup_steps": 2,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_length": options.max_length,
        "packing": packing,
        "precision": options.precision,
        "gpus": options.gpus,
        "sharding": "none",
        "gradient_checkpointing": False,
        "attention": "auto",
        "save_steps": 30,
        "output": folder / "output",
        "work": folder / "work",
    }
    Job.model_validate(settings).save(folder)
    return folder


def shrunk(base: Path, layers: int, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(base)
    config.num_hidden_layers = layers
    config.layer_types = None
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="local:smollm2-135m-instruct")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--eos", default="<|im_end|>")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        base = locate(options.base, None)
        if options.layers:
            base = shrunk(base, options.layers, Path(place) / "base")
        padded = make(Path(place) / "padded", base, options, packing=False)
        packed = make(Path(place) / "packed", base, options, packing=True)
        rates: dict[str, list[float]] = {"ours": [], "bare TRL": [], "ours, packed": []}
        for number in range(options.runs):
            both = [("ours", ours), ("bare TRL", bare)]
            for name, run in both if number % 2 else reversed(both):
                rates[name].append(run(padded))
            rates["ours, packed"].append(ours(packed))
    for name, found in rates.items():
        listed = ", ".join(f"{one:.0f}" for one in found)
        print(f"{name:>13}: {median(found):8.0f} tokens/s  ({listed})")
    ratio = median(a / b for a, b in zip(rates["ours"], rates["bare TRL"], strict=True))
    gain = median(a / b for a, b in zip(rates["ours, packed"], rates["ours"], strict=True))
    print(f"ours / bare TRL: {ratio:.3f}; packed / padded: {gain:.2f}")


if __name__ == "__main__":
    main()
