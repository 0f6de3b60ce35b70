"""How much memory training takes on one device, told before it starts.

What each part is made of stands where it is calculated, with its source:

- ZeRO: Rajbhandari et al. 2020, arXiv 1910.02054 (16 bytes a parameter; what each stage divides).
- Korthikanti: Korthikanti et al. 2022, arXiv 2205.05198, section 4 (activations of a block, term by
  term; the terms below are those of today's blocks, in the number formats that are really kept).
- QLoRA: Dettmers et al. 2023, arXiv 2305.14314 (NF4 with double quantization).
- TRL: `trl.kernels.chunked_logprob` (logits in tiles, never whole).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wavecoder.train.config import Adapter, Precision, Sharding
from wavecoder.train.job import Job
from wavecoder.train.shapes import ModelShape, shape_of, shape_of_name

__all__ = [
    "USABLE",
    "Memory",
    "ModelShape",
    "certain_minimum",
    "estimate",
    "fitting_batch",
    "host",
    "shape_of",
    "shape_of_name",
]

USABLE = 0.9
"""Share of a device's memory that is planned with: CUDA's context, NCCL's buffers and the holes
between blocks take the rest."""

_TILE_TOKENS, _TILE_WORDS = 4096, 32768
"""TRL: `TOKEN_CHUNK_SIZE`, and the width of the vocabulary it takes at once."""
_NF4_BITS = 4.127
"""QLoRA: 4 bits, and 0.127 for the constants that are quantized themselves."""
_DEEPSPEED_BUCKET = 500_000_000
"""Numbers: DeepSpeed's own `reduce_bucket_size`."""
_DEEPSPEED_LIVE = 1_000_000_000
"""Numbers: DeepSpeed's own `stage3_max_live_parameters`."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device, at the worst moment of a step."""

    weights: int
    gradients: int
    optimizer: int
    """What it keeps from step to step."""
    activations: int
    """Kept for the backward pass, with what one block needs to go through it."""
    logits: int
    step: int
    """What the optimizer's step takes besides; activations and logits are gone by then."""

    @property
    def total(self) -> int:
        """Return the most that is held at once."""
        return self.certain + max(self.activations + self.logits, self.step)

    @property
    def certain(self) -> int:
        """Return what is held whatever the batch and the length are."""
        return self.weights + self.gradients + self.optimizer


def estimate(
    job: Job, shape: ModelShape, *, gpus: int | None = None, longest: int | None = None
) -> Memory:
    """Return what training takes on each device.

    Args:
        job: What is trained, and how.
        shape: The base's sizes.
        gpus: Devices that share the work, over all machines; None: as the job says.
        longest: Tokens of the longest row; None: `max_length`.
    """
    share = _Share(job, shape, max(1, job.gpus if gpus is None else gpus))
    tokens = job.per_device_batch * min(longest or job.max_length, job.max_length)
    return Memory(
        weights=round(share.weights()),
        gradients=round(share.gradients()),
        optimizer=round(share.optimizer()),
        activations=round(share.working_weights() + _activations(job, shape, tokens)),
        logits=round(_logits(job, shape, tokens)),
        step=round(share.step()),
    )


def certain_minimum(job: Job, shape: ModelShape) -> int:
    """Return the bytes a device must have whatever the batch: weights, gradients, optimizer."""
    return estimate(job, shape).certain


def _format(job: Job) -> int:
    """Return the bytes of a number that is calculated with."""
    return 2 if job.precision is Precision.BF16 else 4


def _weight_format(job: Job) -> int:
    """Return the bytes of a weight as the worker holds it.

    One that is trained is in fp32, whatever is calculated in: bf16 would swallow a step of 2e-5.
    """
    return 4 if job.adapter is Adapter.NONE else _format(job)


def _adapted(job: Job, shape: ModelShape) -> Iterator[tuple[int, int]]:
    """Yield inputs and outputs of the linear layers of a block that an adapter stands beside.

    All, where the architecture has other names than are known here: rather too many than too few.
    """
    linears = shape.linears()
    names = {name.rpartition(".")[2] for name in job.lora.modules or ()}
    chosen = [one for one in linears if one[0] in names] or linears
    for _, inputs, outputs in chosen:
        yield inputs, outputs


class _Share:
    """What one of several devices holds of weights, gradients and optimizer."""

    def __init__(self, job: Job, shape: ModelShape, devices: int) -> None:
        self.job, self.shape, self.devices = job, shape, devices
        self.sharding = job.sharding if devices > 1 else Sharding.NONE
        self.full = job.adapter is Adapter.NONE
        self.trained = shape.parameters if self.full else self._adapter()
        self.block = sum(inputs * outputs for _, inputs, outputs in shape.linears())
        self.embedding = shape.vocab * shape.hidden
        # DeepSpeed holds bf16 weights and its own fp32 copy of them (ZeRO, section 3.1: 2 + 2 + 12
        # bytes); transformers holds fp32 weights and lets autocast make bf16 ones.
        self.deepspeed = self.sharding in (Sharding.ZERO2, Sharding.ZERO3)

    def _adapter(self) -> int:
        pairs = sum(inputs + outputs for inputs, outputs in _adapted(self.job, self.shape))
        return self.shape.layers * pairs * self.job.lora.rank

    def _trained_format(self) -> int:
        """Return a trained weight's bytes; an adapter is in fp32."""
        return _weight_format(self.job) if self.full else 4

    def _divided(self, *kinds: Sharding) -> int:
        return self.devices if self.sharding in kinds else 1

    def weights(self) -> float:
        divisor = self._divided(Sharding.FSDP, Sharding.ZERO3)
        held = float(_format(self.job) if self.deepspeed else _weight_format(self.job))
        whole = self.shape.parameters * held
        if self.job.adapter is Adapter.QLORA:
            linear = self.shape.layers * self.block
            rest = max(0, self.shape.parameters - linear)
            whole = linear * _NF4_BITS / 8 + rest * _format(self.job)
        if not self.full:
            whole += self.trained * self._trained_format()
        return whole / divisor

    def gradients(self) -> float:
        each = _format(self.job) if self.deepspeed else self._trained_format()
        divisor = self._divided(Sharding.FSDP, Sharding.ZERO2, Sharding.ZERO3)
        whole = self.trained * each / divisor
        if self.sharding is Sharding.NONE and self.devices > 1:
            # DistributedDataParallel's buckets: a second copy (`gradient_as_bucket_view` is off).
            return 2 * whole
        if self.deepspeed:
            whole += min(_DEEPSPEED_BUCKET, self.trained) * _format(self.job)
        return whole

    def optimizer(self) -> float:
        divisor = self._divided(Sharding.FSDP, Sharding.ZERO2, Sharding.ZERO3)
        master = 4 if self.deepspeed else 0
        name = self.job.optimizer
        if name == "adafactor":
            if divisor > 1:
                # Its shards are flat, and only a matrix can be factored: a number a weight.
                return self.trained * (4 + master) / divisor
            return self._factored() * 4
        if "8bit" in name:
            # Two moments of a byte, and a constant of 4 bytes for each 256 numbers of each;
            # transformers keeps those of embeddings in fp32.
            embedding = self.embedding if self.full else 0
            rest = self.trained - embedding
            return (rest * (2 + 2 * 4 / 256 + master) + embedding * (8 + master)) / divisor
        # AdamW, and what is not known here: two moments in the format of the weight.
        moments = 2 * (4 if self.deepspeed else self._trained_format())
        return self.trained * (moments + master) / divisor

    def _factored(self) -> int:
        """Return the numbers adafactor keeps of matrices: their rows' means and their columns'."""
        shape, layers = self.shape, self.shape.layers
        if not self.full:
            rank = self.job.lora.rank
            return layers * sum(i + o + 2 * rank for i, o in _adapted(self.job, shape))
        ends = (1 if shape.tied else 2) * (shape.vocab + shape.hidden)
        return layers * sum(i + o for _, i, o in shape.linears()) + ends

    def working_weights(self) -> float:
        """Return the bytes of copies of weights that are made to calculate with."""
        shape, each = self.shape, _format(self.job)
        block = self.block * each
        if self.sharding is Sharding.FSDP:
            # The block at hand and the one fetched ahead, weights and gradients; what is in no
            # block (embedding, head, last norm) stays whole while the model is gone through.
            ends = self.embedding * (1 if shape.tied else 2) * each
            return (2 * block + ends) * (2 if self.full else 1)
        if self.sharding is Sharding.ZERO3:
            return min(_DEEPSPEED_LIVE, shape.parameters) * each
        if self.job.adapter is Adapter.QLORA:
            return max(i * o for _, i, o in shape.linears()) * each
        if self.full and not self.deepspeed and each < _weight_format(self.job):
            # Autocast keeps each bf16 weight it made until the forward pass ends.
            return shape.parameters * each
        return 0

    def step(self) -> float:
        """Return the bytes of temporaries of the optimizer's step."""
        shard = self.trained / self._divided(Sharding.FSDP, Sharding.ZERO2, Sharding.ZERO3)
        largest = max([i * o for _, i, o in self.shape.linears()] + [self.embedding])
        if not self.full:
            largest = max(max(p) * self.job.lora.rank for p in _adapted(self.job, self.shape))
        if self.job.optimizer == "adafactor":
            return 4 * min(largest, shard) * 4  # gradient, its square, weight and change, in fp32
        if self.job.gpus and not any(one in self.job.optimizer for one in ("8bit", "fused")):
            # PyTorch's `foreach` way, its own choice on a GPU: a temporary the size of all weights.
            return shard * 4
        return 2 * min(largest, shard) * 4


def _activations(job: Job, shape: ModelShape, tokens: int) -> float:
    """Return the bytes kept for the backward pass, and what going back through a block takes."""
    each, hidden = _format(job), shape.hidden
    # Under autocast an fp32 embedding makes an fp32 residual stream.
    stream = 4 if each == 4 or _weight_format(job) == 4 else 2
    block = _block(job, shape, tokens, stream)
    # Gradients of the feed-forward's inner numbers, and of the stream and its norm in fp32.
    back = tokens * (3 * shape.intermediate * each + 3 * hidden * 4)
    kept: float = shape.layers * block
    if job.gradient_checkpointing:
        kept = shape.layers * tokens * hidden * stream + block
    return kept + back + 3 * tokens * hidden * stream + _mask(job, tokens)


def _block(job: Job, shape: ModelShape, tokens: int, stream: int) -> float:
    """Return the bytes one block keeps (Korthikanti, 4.1; `sdpa` has no 5as²b)."""
    each, hidden = _format(job), shape.hidden
    attention = shape.heads * shape.head_width
    full = job.adapter is Adapter.NONE
    if shape.gated:
        # RMSNorm in fp32: what comes in, and that divided by its size where the norm is trained.
        norms = 2 * (4 * hidden + (stream * hidden if full else 0))
        inner = 4 * shape.intermediate * each  # gate, up, silu(gate), silu(gate) * up
    else:
        norms = 2 * stream * hidden
        inner = 2 * shape.intermediate * each
    # Queries, keys, values (those that several heads share are repeated under a mask), the sum of
    # values, and that again as the output layer's input.
    looked = 5 * attention * each
    taken = 2 * hidden * each
    if not full:
        # PEFT's first matrix takes its input in its own format: a copy for each layer it is at.
        widths = [inputs for inputs, _ in _adapted(job, shape)]
        taken = (sum(widths) if each == 2 else sum(set(widths))) * each
    dropped = 2 * hidden if shape.architecture == "gpt_bigcode" else 0  # masks, a byte each
    block: float = tokens * (norms + inner + looked + taken + dropped)
    if job.attention == "eager":
        # The scores' softmax in fp32, and that again in bf16.
        block += shape.heads * _pairs(job, tokens) * (4 if each == 4 else 6)
    elif dropped and not job.gpus:
        # No fast attention of a CPU drops anything: softmax, what is dropped, what is left.
        block += shape.heads * _pairs(job, tokens) * 12
    return block


def _pairs(job: Job, tokens: int) -> int:
    """Return how many pairs of tokens a mask has; packed rows are laid end to end as one."""
    return tokens * tokens if job.packing else tokens * (tokens // job.per_device_batch)


def _mask(job: Job, tokens: int) -> float:
    """Return the bytes of the attention mask, as truth values and as numbers to add."""
    if job.attention == "flash_attention_2":
        return 0
    return _pairs(job, tokens) * (1 + _format(job))


def _logits(job: Job, shape: ModelShape, tokens: int) -> float:
    """Return the bytes TRL's head takes: a tile of logits, and gradients summed in fp32."""
    tile = min(tokens, _TILE_TOKENS) * _TILE_WORDS * _format(job)
    if not job.gpus:
        # Without Triton a tile is gone over by torch: the steps of a softmax's gradient, in fp32.
        tile = min(tokens, _TILE_TOKENS) * min(shape.vocab, _TILE_WORDS) * 4 * 7
    head = shape.vocab * shape.hidden * 4 if job.adapter is Adapter.NONE else 0
    return tile + head + tokens * shape.hidden * (4 + _format(job))


def host(job: Job, shape: ModelShape) -> int:
    """Return the bytes of its own memory that a machine with GPUs needs; 0 on a CPU.

    Every process loads the model there before it is moved. With FSDP one holds all weights again at
    the end, with the copy that is saved. QLoRA's base is loaded onto the GPU, and once more beside
    it to be merged.
    """
    if not job.gpus:
        return 0
    saved = shape.parameters * _format(job)
    if job.adapter is Adapter.QLORA:
        return saved if job.merge else 0
    held = shape.parameters * _weight_format(job)
    loaded = held * job.gpus
    if job.adapter is Adapter.NONE and job.sharding is Sharding.FSDP:
        return max(loaded, held + (saved if job.precision is Precision.BF16 else 0))
    return loaded


def fitting_batch(
    job: Job, shape: ModelShape, device_bytes: int, *, nodes: int = 1, longest: int | None = None
) -> int:
    """Return how many rows a device can take at once: a power of two, at least 1.

    Args:
        job: What is trained; its own `per_device_batch` does not matter.
        shape: The base's sizes.
        device_bytes: Memory of each device.
        nodes: Machines, each with `job.gpus`.
        longest: Tokens of the longest row; None: `max_length`.

    Returns:
        The largest that fits and divides `batch` among the devices; 1 where nothing fits.
    """
    room = device_bytes * USABLE
    devices = max(1, job.gpus) * nodes
    best = rows = 1
    while job.batch % (2 * rows * devices) == 0:
        rows *= 2
        tried = job.model_copy(update={"per_device_batch": rows})
        if estimate(tried, shape, gpus=devices, longest=longest).total > room:
            break
        best = rows
    return best
