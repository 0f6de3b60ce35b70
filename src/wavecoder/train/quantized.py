"""QLoRA: how a base is held in 4 bits, and what TRL and bitsandbytes would do to it otherwise."""

import importlib
import os
from typing import Any

from wavecoder.train.job import Job
from wavecoder.train.saving import kept

__all__ = ["adapter_in_full", "keep_as_loaded", "options"]


def options(job: Job) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that load a base in 4 bits.

    NF4 with double quantization, as Dettmers et al. 2023 (arXiv 2305.14314), onto the device of
    this process: bitsandbytes cannot move weights once they are quantized.
    """
    transformers: Any = importlib.import_module("transformers")
    return {
        "quantization_config": transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=kept(job),
        ),
        "device_map": {"": int(os.environ.get("LOCAL_RANK", "0")) if job.gpus else "cpu"},
    }


def keep_as_loaded(model: Any) -> None:
    """Keep bitsandbytes 0.50 from packing weights for a fast CPU when a held-out loss is measured.

    It packs them for good, with constants rounded to bf16, so that training would go on from other
    weights and without gradients; and it stops at sizes that its blocks do not divide.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def adapter_in_full(model: Any) -> None:
    """Hold an adapter in fp32, as LoRA's, where TRL 1.16 has rounded it to bf16.

    Its small steps would be lost in the rounding. It is calculated in the job's precision all the
    same.
    """
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
