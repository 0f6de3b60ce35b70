"""The command line as a person uses it: in a process of its own."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "wavecoder.cli"]
SCRIPT = """
- match: rule by rule
  delay: {delay}
  reply: |
    rule 1: yes, it does.
    rule 2: yes, it does.
    rule 3: yes, it does.
    overall: yes
- match: Write the four sections
  delay: {delay}
  reply: |
    task_name: code summarization
    instruction: Summarize this Python function in a sentence or two.
    information: given
    solution: Adds to its input and returns the sum.
"""
RECIPE = """
collect:
  sources: [{{directory: {folder}/src}}]
  filters: {{length: false, trivial: false}}
select: {{k: 12}}
generate:
  generator: scripted:{folder}/script.yaml
  tasks: {{summarization: 1}}
  examples: static
  round_size: 4
report:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    for number in range(12):
        (tmp_path / "src" / f"m{number}.py").write_text(
            f"def add_{number}(x):\n    y = x + {number}\n    return y * {number}\n"
        )
    (tmp_path / "script.yaml").write_text(SCRIPT.format(delay=0))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path))
    return tmp_path


def wavecoder(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def same_records(one: Path, other: Path) -> bool:
    names = ("records.parquet", "rejected.parquet")
    return all(
        (one / stage / name).read_bytes() == (other / stage / name).read_bytes()
        for stage in ("1-collect", "2-select", "3-generate")
        for name in names
    )


def test_from_source_to_an_exported_dataset(folder: Path):
    done = wavecoder("run", folder / "recipe.yaml", "-o", folder / "run")
    assert done.stdout.splitlines()[-1].endswith("4-report/files/report.html")
    assert "3-generate/records.parquet" in done.stdout
    assert "generate: begins" in done.stderr
    shown = wavecoder("show", folder / "run").stdout
    assert "generate: 12 in, 12 kept" in shown
    manifests = json.loads(wavecoder("show", folder / "run", "--json").stdout)
    assert manifests["generate"]["kept"] == 12
    out = folder / "alpaca.json"
    assert "12 instances" in wavecoder("export", folder / "run", "-o", out).stdout
    assert set(json.loads(out.read_text())[0]) == {"instruction", "input", "output"}


def test_ctrl_c_once_finishes_saves_and_says_how_to_go_on(folder: Path):
    (folder / "script.yaml").write_text(SCRIPT.format(delay=0.2))
    wavecoder("run", folder / "recipe.yaml", "-o", folder / "whole")
    command = ["run", folder / "recipe.yaml", "-o", folder / "stopped", "--concurrency", "2"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _wait_for_replies(folder / "stopped", 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "To go on: wavecoder run" in said
    before = _replies(folder / "stopped")
    assert 3 <= before < 24
    wavecoder(*command)
    assert _replies(folder / "stopped") == 24
    assert same_records(folder / "whole", folder / "stopped")


def test_killed_in_the_middle_the_same_command_gives_the_same_bytes(folder: Path):
    (folder / "script.yaml").write_text(SCRIPT.format(delay=0.1))
    wavecoder("run", folder / "recipe.yaml", "-o", folder / "whole")
    command = ["run", folder / "recipe.yaml", "-o", folder / "killed", "--concurrency", "2"]
    kept: list[int] = []
    for replies in (2, 7, 15):
        process = subprocess.Popen([*COMMAND, *map(str, command)], stderr=subprocess.DEVNULL)
        _wait_for_replies(folder / "killed", replies)
        process.kill()
        process.wait()
        kept.append(_replies(folder / "killed"))
    stamps = _stamps(folder / "killed")
    wavecoder(*command)
    assert same_records(folder / "whole", folder / "killed")
    # No finished reply was asked for again: those stored before the kill are still the stored ones.
    after = _stamps(folder / "killed")
    assert len(after) == 24
    assert stamps.items() <= after.items()
    assert kept == sorted(kept)


def _replies(run: Path) -> int:
    return len(_stamps(run))


def _stamps(run: Path) -> dict[str, str]:
    try:
        with sqlite3.connect(f"file:{run / 'replies.sqlite'}?mode=ro", uri=True) as database:
            return dict(database.execute("select key, created || seconds from replies").fetchall())
    except sqlite3.OperationalError:
        return {}


def _wait_for_replies(run: Path, count: int) -> None:
    for _ in range(600):
        if _replies(run) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} replies in {run} after 30 s")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run", "none.yaml", "-o", "run"), "Cannot read the recipe none.yaml"),
        (("run", "recipe.yaml", "-o", "run", "-s", "select.k=99"), "collect kept 12"),
        (("run", "recipe.yaml", "-o", "run", "-s", "selct.k=9"), "Did you mean 'select'"),
        (
            ("run", "recipe.yaml", "-o", "run", "--model", "local:smollm2"),
            "smollm2-135m-instruct",
        ),
        (("run", "recipe.yaml", "-o", "run", "--model", "smollm2"), "kind"),
        (("run", "recipe.yaml", "-o", "run", "--first", "selct"), "Did you mean 'select'"),
        (("run", "recipe.yaml", "-o", "script.yaml/run"), "Cannot write to the run folder"),
        (("show", "nothing"), "holds no complete stage"),
        (("export", "nothing", "-o", "x.json"), "nothing"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], words: str
):
    monkeypatch.chdir(folder)
    done = wavecoder(*args, code=2)
    last = [line for line in done.stderr.splitlines() if line.startswith("wavecoder: ")]
    assert len(last) == 1
    assert words in last[0]
    assert done.stdout == ""


def test_a_run_of_another_recipe_is_refused_and_left_alone(folder: Path):
    wavecoder("run", folder / "recipe.yaml", "-o", folder / "run")
    before = (folder / "run/2-select/records.parquet").read_bytes()
    done = wavecoder("run", folder / "recipe.yaml", "-o", folder / "run", "-s", "seed=4", code=2)
    assert "seed: 0 then, 4 now" in done.stderr
    assert (folder / "run/2-select/records.parquet").read_bytes() == before
    wavecoder(
        "run", folder / "recipe.yaml", "-o", folder / "run", "-s", "seed=4",
        "--on-existing", "replace",
    )  # fmt: skip


def test_unwritable_output_is_exit_2(folder: Path):
    out = folder / "closed"
    out.mkdir()
    if os.geteuid() == 0:  # root may write anywhere but into a file system that is read-only
        out = Path("/proc/run")
    else:
        out.chmod(0o500)
    done = wavecoder("run", folder / "recipe.yaml", "-o", out, code=2)
    assert "Cannot write to the run folder" in done.stderr


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root"
)
def test_a_full_disk_is_exit_1_and_the_run_goes_on_after(folder: Path):
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a disk")
    try:
        done = wavecoder("run", folder / "recipe.yaml", "-o", disk / "run", code=1)
        assert "wavecoder: " in done.stderr
        assert "full" in done.stderr or "No space left" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        wavecoder("run", folder / "recipe.yaml", "-o", disk / "run")
        wavecoder("run", folder / "recipe.yaml", "-o", folder / "whole")
        assert same_records(folder / "whole", disk / "run")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys, wavecoder.cli\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'numpy', 'aiohttp', 'xllamacpp', "
        "'tree_sitter', 'rich.live', 'jinja2'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in ("torch", "transformers", "pyarrow", "numpy"):
        check = f"import sys, wavecoder; assert {name!r} not in sys.modules"
        subprocess.run([sys.executable, "-c", check], check=True)
    assert wavecoder("--version").stdout.strip().count(".") == 2
    shown = wavecoder("--help").stdout
    for name in ("run", "check", "show", "export", "collect:", "select:", "generate:", "report:"):
        assert name in shown


def test_check_prints_the_resolved_recipe(folder: Path):
    printed = wavecoder("check", folder / "recipe.yaml", "-s", "select.k=5").stdout
    assert "k: 5" in printed
    assert "round_size: 4" in printed
    assert not (folder / "run").exists()
