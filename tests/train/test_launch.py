import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.train import launch
from wavecoder.train.job import Job
from wavecoder.train.launch import LAYERS, command, devices, text

FOLDER = Path("/runs/a b/job")


def job(base: Path, **keys) -> Job:
    table = {
        "base": base,
        "chat_template": "",
        "eos_token": "</s>",
        "seed": 0,
        "adapter": "none",
        "lora": {},
        "merge": True,
        "epochs": 3,
        "steps": 1,
        "batch": 512,
        "per_device_batch": 4,
        "learning_rate": 2e-5,
        "optimizer": "adamw_torch",
        "schedule": "linear",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_grad_norm": 0.5,
        "max_length": 2048,
        "packing": False,
        "precision": "bf16",
        "gpus": 8,
        "sharding": "none",
        "gradient_checkpointing": True,
        "attention": "sdpa",
        "save_steps": 30,
        "output": base / "output",
        "work": base / "work",
    }
    return Job.model_validate(table | keys)


def parsed(line: list[str], monkeypatch, home: Path):
    """Return what accelerate makes of a line, with a user's own configuration in its way."""
    from accelerate.commands import launch as accelerate

    own = home / "default_config.yaml"
    own.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nmixed_precision: fp16\n"
        "num_processes: 3\nnum_machines: 7\nmain_process_ip: 10.0.0.9\ngpu_ids: '5,6'\n"
        "fsdp_config:\n  fsdp_offload_params: true\n"
    )
    for module in ("accelerate.commands.launch", "accelerate.commands.config.config_args"):
        monkeypatch.setattr(f"{module}.default_config_file", str(own))
    assert line[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    args = accelerate.launch_command_parser().parse_args(line[3:])
    return accelerate._validate_launch_command(args)[0]


def test_one_device_needs_no_launcher(tmp_path):
    line = [sys.executable, "-m", "wavecoder.train.worker", str(FOLDER)]
    assert command(job(tmp_path, gpus=1), FOLDER) == line
    assert command(job(tmp_path, gpus=0), FOLDER) == line


def test_several_are_started_as_ddp_whatever_the_user_configured(tmp_path, monkeypatch):
    args = parsed(command(job(tmp_path), FOLDER), monkeypatch, tmp_path)
    assert (args.multi_gpu, args.use_fsdp, args.use_deepspeed) == (True, False, False)
    assert (args.num_processes, args.num_machines, args.gpu_ids) == (8, 1, "all")
    assert (args.mixed_precision, args.main_process_port) == ("bf16", 0)
    assert (args.module, args.training_script) == (True, "wavecoder.train.worker")
    assert args.training_script_args == [str(FOLDER)]


def test_without_bf16_nothing_is_mixed(tmp_path, monkeypatch):
    line = command(job(tmp_path, precision="fp32"), FOLDER)
    assert parsed(line, monkeypatch, tmp_path).mixed_precision == "no"


@pytest.mark.parametrize("architecture", LAYERS)
def test_fsdp_wraps_the_blocks_of_the_architecture(tiny, monkeypatch, tmp_path, architecture):
    from transformers import AutoConfig, AutoModelForCausalLM

    base = tiny(architecture)
    args = parsed(command(job(base, sharding="fsdp"), FOLDER), monkeypatch, tmp_path)
    assert (args.use_fsdp, args.multi_gpu) == (True, False)
    assert (args.fsdp_version, args.fsdp_reshard_after_forward) == ("2", "true")
    assert args.fsdp_offload_params == "false"
    assert args.fsdp_auto_wrap_policy == "TRANSFORMER_BASED_WRAP"
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    assert set(model._no_split_modules) == {args.fsdp_transformer_layer_cls_to_wrap}


def test_adafactor_is_sharded_by_the_fsdp_it_runs_under(tiny, monkeypatch, tmp_path):
    line = command(job(tiny("llama"), sharding="fsdp", optimizer="adafactor"), FOLDER)
    args = parsed(line, monkeypatch, tmp_path)
    assert (args.fsdp_version, args.fsdp_reshard_after_forward) == ("1", "FULL_SHARD")
    assert args.fsdp_use_orig_params == "true"
    assert args.fsdp_cpu_ram_efficient_loading == args.fsdp_sync_module_states == "false"


def test_the_settings_of_fsdp_reach_every_process(tiny, monkeypatch, tmp_path):
    from accelerate.utils.launch import prepare_multi_gpu_env

    line = command(job(tiny("llama"), sharding="fsdp", gpus=2), FOLDER)
    args = parsed(line, monkeypatch, tmp_path)
    environment = prepare_multi_gpu_env(args)
    wanted = {
        "ACCELERATE_USE_FSDP": "true",
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "FSDP_VERSION": "2",
        "FSDP_TRANSFORMER_CLS_TO_WRAP": "LlamaDecoderLayer",
        "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    }
    assert {key: environment[key] for key in wanted} == wanted
    assert args.nproc_per_node == "2"
    assert args.main_process_port > 0  # a free one was looked for


def test_of_an_architecture_not_known_here_accelerate_asks_the_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "phi3"}))
    line = command(job(tmp_path, sharding="fsdp"), FOLDER)
    assert "--fsdp_transformer_layer_cls_to_wrap" not in line


@pytest.mark.parametrize(("sharding", "stage"), [("zero2", 2), ("zero3", 3)])
def test_deepspeed_is_told_its_stage_and_the_batch(monkeypatch, tmp_path, sharding, stage):
    args = parsed(command(job(tmp_path, sharding=sharding), FOLDER), monkeypatch, tmp_path)
    assert (args.use_deepspeed, args.zero_stage) == (True, stage)
    assert args.gradient_accumulation_steps == 16  # 512 / (4 x 8), the paper's script
    assert args.gradient_clipping == 0.5
    assert args.offload_optimizer_device == args.offload_param_device == "none"
    assert args.zero3_save_16bit_model == "true"
    assert args.zero3_init_flag == ("true" if stage == 3 else "false")


@pytest.mark.parametrize("sharding", ["none", "fsdp", "zero3"])
def test_several_machines_run_the_same_line_with_their_own_rank(monkeypatch, tmp_path, sharding):
    line = text(job(tmp_path, sharding=sharding), FOLDER, nodes=2)
    filled = line.replace('"$RANK"', "1").replace('"$HEAD"', "10.0.0.1")
    args = parsed(shlex.split(filled), monkeypatch, tmp_path)
    assert (args.num_processes, args.num_machines, args.machine_rank) == (16, 2, 1)
    assert (args.main_process_ip, args.main_process_port) == ("10.0.0.1", 29500)
    assert args.training_script_args == [str(FOLDER)]


def test_a_shell_fills_in_rank_and_head_and_nothing_else(tmp_path):
    import subprocess

    line = text(job(tmp_path, gpus=1), Path("/runs/a $b"), nodes=2)
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"],
        env={**os.environ, "RANK": "1", "HEAD": "node 0", "b": "c"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    whole = command(job(tmp_path, gpus=1), Path("/runs/a $b"), nodes=2)
    assert shown == [{"$RANK": "1", "$HEAD": "node 0"}.get(one, one) for one in whole]


@pytest.mark.parametrize("sharding", ["fsdp", "zero2", "zero3"])
def test_one_device_shares_nothing(tmp_path, sharding):
    with pytest.raises(ConfigError, match=f"sharding is {sharding}, and there is one device"):
        command(job(tmp_path, gpus=1, sharding=sharding), FOLDER)


def test_deepspeed_gathers_for_as_many_processes_as_there_are(tmp_path, monkeypatch):
    line = command(job(tmp_path, gpus=0, sharding="zero2"), FOLDER, processes=2)
    args = parsed(line, monkeypatch, tmp_path)
    assert (args.num_processes, args.gradient_accumulation_steps) == (2, 64)


def test_processes_on_one_cpu_are_counted_apart_from_gpus(tmp_path, monkeypatch):
    line = command(job(tmp_path, gpus=0, precision="fp32"), FOLDER, processes=2)
    assert parsed(line, monkeypatch, tmp_path).num_processes == 2


def test_devices_are_those_nvidia_smi_names(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559'\necho 'NVIDIA A100-SXM4-40GB, 40960'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices() == [
        ("NVIDIA H100 80GB HBM3", 81559 << 20),
        ("NVIDIA A100-SXM4-40GB", 40960 << 20),
    ]


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        (None, "ABC"),
        ("2,0", "CA"),
        ("1", "B"),
        ("7", ""),
        ("", ""),
        ("-1", ""),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, GPU-5a1b", "AB"),
    ],
)
def test_devices_are_those_that_may_be_used(tmp_path, monkeypatch, seen, names):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'A, 1\\nB, 1\\nC, 1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert "".join(name for name, _ in devices()) == names


@pytest.mark.parametrize("body", ["exit 9", "echo 'No devices were found'", "echo 'GPU, [N/A]'"])
def test_no_driver_means_no_devices(tmp_path, monkeypatch, body):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert devices() == []


def test_no_program_means_no_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices() == []


def test_nothing_here_imports_torch():
    import subprocess

    code = (
        "import sys, wavecoder.train.launch, wavecoder.train.memory, wavecoder.train.plan\n"
        "print([one for one in ('torch', 'transformers', 'trl', 'datasets') if one in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert launch.__all__
