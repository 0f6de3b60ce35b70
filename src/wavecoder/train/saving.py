"""What is kept of a training: the checkpoint, and the adapter where there is one.

Saved as transformers and PEFT save, so that transformers and vLLM load it; each folder is whole or
not there.
"""

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wavecoder.train.config import Adapter, Precision
from wavecoder.train.job import Job

__all__ = ["kept", "save"]


def kept(job: Job) -> Any:
    """Return the format of what is saved."""
    torch: Any = importlib.import_module("torch")
    return torch.bfloat16 if job.precision is Precision.BF16 else torch.float32


def save(job: Job, trainer: Any) -> None:
    """Save `checkpoint/`, and `adapter/` where there is one, each whole or not at all."""
    accelerator, wrapped = trainer.accelerator, trainer.model_wrapped
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None:
        plugin.set_state_dict_type("FULL_STATE_DICT")
    # Every process takes part: each holds a share where the model is sharded.
    weights = accelerator.get_state_dict(wrapped)
    if not accelerator.is_main_process:
        return
    model, tokenizer = accelerator.unwrap_model(wrapped), trainer.processing_class
    model.config.use_cache = True  # the Trainer turned it off; who asks the model needs it
    if job.adapter is Adapter.NONE:
        weights = _cast(weights, kept(job))
        # Gathered from shares, a head that is the embedding comes as a tensor of its own.
        if model.config.tie_word_embeddings:
            for name in model.all_tied_weights_keys:
                weights.pop(name, None)
        _place(
            job.output / "checkpoint",
            lambda folder: _write_model(model, folder, tokenizer, weights, kept(job)),
        )
        return
    _place(
        job.output / "adapter",
        lambda folder: _write_model(model, folder, tokenizer, weights, None),
    )
    if job.merge:
        generation = model.get_base_model().generation_config
        _place(
            job.output / "checkpoint",
            lambda folder: _write_merged(job, folder, tokenizer, generation),
        )


def _place(folder: Path, write: Callable[[Path], None]) -> None:
    partial = folder.with_name(folder.name + ".partial")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir()
    write(partial)
    for weights in partial.glob("*.safetensors"):
        # safetensors 0.8 writes for the owner alone, and others may serve it.
        weights.chmod(partial.stat().st_mode & 0o666)
    partial.replace(folder)


def _cast(weights: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """Return the weights in a format; tensors that share memory still do."""
    made: dict[tuple[Any, ...], Any] = {}
    found = {}
    for name, weight in weights.items():
        key = (weight.data_ptr(), weight.shape, weight.stride())
        if key not in made:
            made[key] = weight.to(dtype) if weight.is_floating_point() else weight
        found[name] = made[key]
    return found


def _write_model(model: Any, folder: Path, tokenizer: Any, weights: Any, dtype: Any) -> None:
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    if dtype is not None:
        # save_pretrained wrote the format that was trained in, not that of the weights given.
        path = folder / "config.json"
        config = json.loads(path.read_text("utf-8"))
        config["dtype"] = str(dtype).removeprefix("torch.")
        path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _write_merged(job: Job, folder: Path, tokenizer: Any, generation: Any) -> None:
    """Add the adapter to the base as it was before any quantization."""
    peft: Any = importlib.import_module("peft")
    transformers: Any = importlib.import_module("transformers")
    # ZeRO 3 would share the base out among processes that do not come here.
    importlib.import_module("transformers.integrations.deepspeed").unset_hf_deepspeed_config()
    base = transformers.AutoModelForCausalLM.from_pretrained(job.base, dtype=kept(job))
    model = peft.PeftModel.from_pretrained(base, job.output / "adapter").merge_and_unload()
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config = generation
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
