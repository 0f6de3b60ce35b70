"""TRL's SFTTrainer as the worker uses it: its arguments, and what of it is done another way."""

import importlib
import os
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.train import sharded
from wavecoder.train.config import Precision, Sharding
from wavecoder.train.job import Job

__all__ = ["settings", "trainer_class"]

_EACH_PORTION = {"accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}}}
"""FSDP shares gradients out after every portion of a step; else each process would keep all of
them, in bf16, until the last."""


def settings(job: Job) -> dict[str, Any]:
    """Return the arguments of TRL's SFTConfig.

    Raises:
        ConfigError: `batch` cannot be reached with so many rows a device.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    together = job.per_device_batch * processes
    if job.batch % together:
        raise ConfigError(
            f"A batch of {job.batch} rows is no multiple of {job.per_device_batch} rows on each of "
            f"{processes} processes. Set train.batch to a multiple of {together}."
        )
    return {
        "output_dir": str(job.work),
        "num_train_epochs": job.epochs,
        "per_device_train_batch_size": job.per_device_batch,
        "per_device_eval_batch_size": job.per_device_batch,
        "gradient_accumulation_steps": job.batch // together,
        "learning_rate": job.learning_rate,
        "optim": job.optimizer,
        "lr_scheduler_type": job.schedule,
        "warmup_steps": job.warmup_steps,
        "weight_decay": job.weight_decay,
        "max_grad_norm": job.max_grad_norm,
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": job.precision is Precision.BF16,
        "use_cpu": job.gpus == 0,
        "gradient_checkpointing": job.gradient_checkpointing,
        "packing": job.packing,
        "eval_packing": False,
        # Nothing is ever longer; None spares a pass over the rows.
        "max_length": job.max_length if job.packing else None,
        "eos_token": job.eos_token,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # `Course` decides when
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": job.gpus > 0,
        **(_EACH_PORTION if job.sharding is Sharding.FSDP else {}),
    }


def trainer_class() -> Any:
    """Return TRL's SFTTrainer with a held-out loss that is exact: a mean over response tokens.

    transformers averages the means of batches, where a short batch counts as much as a long one.
    """
    torch: Any = importlib.import_module("torch")
    trl: Any = importlib.import_module("trl")
    dataclasses: Any = importlib.import_module("dataclasses")

    class Trainer(trl.SFTTrainer):  # type: ignore[misc]  # an untyped base
        data_collator: Any

        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            """Pad what is held out even where packing is on, so that each dialogue is one row."""
            collator = self.data_collator
            self.data_collator = dataclasses.replace(collator, padding_free=False)
            try:
                return super().get_eval_dataloader(eval_dataset)
            finally:
                self.data_collator = collator

        def evaluation_loop(self, *args: Any, **more: Any) -> Any:
            """Put the exact loss where transformers has its own."""
            self.held_out = torch.zeros(2, dtype=torch.float64)
            with torch.random.fork_rng():  # or dropout would depend on what is held out
                output = super().evaluation_loop(*args, **more)
            loss, tokens = self.held_out.tolist()
            output.metrics["eval_loss"] = loss / max(tokens, 1.0)
            return output

        def prediction_step(
            self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
        ) -> Any:
            """Add up the losses and tokens of each dialogue, over all processes."""
            inputs = self._prepare_inputs(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                output = model(**inputs, use_cache=False, fused_lm_head=True)
            tokens = output.label_mask.sum(dim=-1)
            losses = -output.log_probs.float().sum(dim=-1)
            # Only rows can be told from those that fill up the last batch of several processes.
            both = self.accelerator.gather_for_metrics(torch.stack([losses, tokens], dim=1))
            self.held_out += both.double().sum(dim=0).cpu()
            return losses.sum() / tokens.sum().clamp(min=1), None, None

        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            sharded.before_saving(self)
            super()._save_optimizer_and_scheduler(output_dir)

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                sharded.before_loading(self)
            super()._load_optimizer_and_scheduler(checkpoint)

        def create_model_card(self, *args: Any, **more: Any) -> None:
            """Leave it: a checkpoint's card is ours."""

    return Trainer
