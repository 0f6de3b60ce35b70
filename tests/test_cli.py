"""The command line as a person uses it: in a process of its own."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

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
  near_duplicates: false
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
    assert done.stdout.splitlines()[-1].endswith("7-report/files/report.html")
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
    before = _replies(folder / "stopped")
    assert 3 <= before < 24
    go_on = said.split("To go on: ")[1].splitlines()[0]
    subprocess.run(go_on, shell=True, check=True, capture_output=True)
    assert _replies(folder / "stopped") == 24
    assert same_records(folder / "whole", folder / "stopped")


def test_ctrl_c_twice_stops_at_once(folder: Path):
    (folder / "script.yaml").write_text(SCRIPT.format(delay=60))
    process = subprocess.Popen(
        [*COMMAND, "run", str(folder / "recipe.yaml"), "-o", str(folder / "run")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "generate: begins" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    while "Ctrl-C again" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130


def test_killed_in_the_middle_the_same_command_gives_the_same_bytes(folder: Path):
    with endpoint() as (port, asked):
        model = f"http://127.0.0.1:{port}/v1#fake"
        command = ["run", folder / "recipe.yaml", "--model", model, "--concurrency", "2", "-o"]
        wavecoder(*command, folder / "whole")
    everything = set(asked)
    assert len(asked) == len(everything) == 24

    stored: set[str] = set()
    for replies in (2, 7, 15):
        with endpoint(port) as (_, asked):
            process = subprocess.Popen(
                [*COMMAND, *map(str, command), str(folder / "killed")], stderr=subprocess.DEVNULL
            )
            _wait_for_replies(folder / "killed", replies)
            process.kill()
            process.wait()
        # Counted by who was asked, not by the ledger, which would keep the first of two replies.
        assert not stored & set(asked)
        stored = _stored_requests(folder / "killed")
        assert replies <= len(stored) < 24
    with endpoint(port) as (_, asked):
        wavecoder(*command, folder / "killed")
    assert Counter(asked) == Counter(everything - stored)
    assert same_records(folder / "whole", folder / "killed")
    figures = "7-report/records.parquet"
    assert (folder / "whole" / figures).read_bytes() == (folder / "killed" / figures).read_bytes()


@contextmanager
def endpoint(port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Serve the script's replies; yield the port, and the requests as they come in.

    At its end, every request that was taken is in the list.
    """
    asked: list[str] = []
    rules = yaml.safe_load(SCRIPT.format(delay=0))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body.pop("model") == "fake"
            body.pop("response_format", None)
            asked.append(_request(body.pop("messages"), body))
            texts = [message["content"] for message in json.loads(asked[-1])["messages"]]
            rule = next(rule for rule in rules if rule["match"] in texts[-1])
            # The judge is slow, so that at each kill some functions are written and not judged.
            time.sleep(0.25 if rule is rules[0] else 0.05)
            choice = {"message": {"content": rule["reply"]}, "finish_reason": "stop"}
            content = json.dumps({"choices": [choice]}).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                pass  # the asker was killed

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # closing waits for them

    with Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def _request(messages: list[dict[str, Any]], sampling: dict[str, Any]) -> str:
    return json.dumps({"messages": messages, "sampling": sampling}, sort_keys=True)


def _stored_requests(run: Path) -> set[str]:
    with sqlite3.connect(f"file:{run / 'replies.sqlite'}?mode=ro", uri=True) as database:
        rows = database.execute("select request from replies").fetchall()
    requests = (json.loads(row) for (row,) in rows)
    return {_request(request["messages"], request["sampling"]) for request in requests}


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
        (("run", "recipe.yaml", "-o", "run", "--model", "scripted:it's.yaml"), "it's.yaml"),
        (("run", "collect.yaml", "-o", "run", "--model", "scripted:x"), "no table generate"),
        (("run", "generate.yaml", "-o", "run"), "add collect and select"),
        (("run", "recipe.yaml", "-o", "run", "-s", "seed=2020-13-45"), "not YAML"),
        (("run", "recipe.yaml", "-o", "run", "-s", "seed=" + "[" * 5000), "not YAML"),
        (
            ("run", "recipe.yaml", "-o", "run", "-s", "collect.filters.length=3"),
            "collect.filters.length: ",
        ),
        (("show", "x" * 300), "Cannot look into"),
        (("run", "recipe.yaml", "-o", "run", "--first", "selct"), "Did you mean 'select'"),
        (("run", "recipe.yaml", "-o", "script.yaml/run"), "Cannot write to the run folder"),
        (("show", "nothing"), "There is no folder nothing"),
        (("failed", "nothing"), "There is no folder nothing"),
        (("status", "src"), "src holds no run"),
        (
            ("run", "recipe.yaml", "-o", "run", "--model", "localhost:8000/v1#name"),
            "write http://localhost:8000/v1#name",
        ),
        (("run", "recipe.yaml", "-o", "run", "-s", "select.K=3"), "Did you mean 'k'"),
        (("run", "recipe.yaml", "-o", "run", "--prices", "none.yaml"), "Cannot read the prices"),
        (("export", "nothing", "-o", "x.json"), "nothing"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], words: str
):
    monkeypatch.chdir(folder)
    Path("collect.yaml").write_text("collect: {sources: [{directory: src}]}")
    Path("generate.yaml").write_text("generate: {generator: 'scripted:script.yaml'}")
    done = wavecoder(*args, code=2)
    last = [line for line in done.stderr.splitlines() if line.startswith("wavecoder: ")]
    assert len(last) == 1
    assert words in last[0]
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["run", "estimate", "preview"])
def test_a_damaged_ledger_is_said_before_anything_is_collected(folder: Path, command: str):
    (folder / "run").mkdir()
    (folder / "run/replies.sqlite").write_bytes(b"no database, and longer than a header" * 9)
    done = wavecoder(command, folder / "recipe.yaml", "-o", folder / "run", code=1)
    assert "It is damaged or is no ledger" in done.stderr
    assert [path.name for path in (folder / "run").iterdir()] == ["replies.sqlite"]


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
@pytest.mark.parametrize("kilobytes", [12, 36, 64, 80, 112, 160])
def test_a_full_disk_is_exit_1_and_the_run_goes_on_after(folder: Path, kilobytes: int):
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a disk")
    try:
        done = wavecoder("run", folder / "recipe.yaml", "-o", disk / "run", code=1)
        said = done.stderr.split("wavecoder: ")[1]
        # SQLite calls a full disk "disk I/O error" where it cannot grow its index of the log.
        assert "make room" in said
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_stdout_on_a_full_disk_is_one_sentence(folder: Path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "check", str(folder / "recipe.yaml")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("wanted", "kept"), [("permissive", 11), ("Zlib, MIT", 11), ("GPL-3.0-only", 1), ("Zlib", 0)]
)
def test_licences_are_named_on_the_command_line(folder: Path, wanted: str, kept: int):
    for number, path in enumerate(sorted((folder / "src").iterdir())):
        name = "MIT" if number else "GPL-3.0-only"
        path.write_text(f"# SPDX-License-Identifier: {name}\n{path.read_text()}")
    out = folder / "run"
    wavecoder("run", folder / "recipe.yaml", "-o", out, "--last", "collect", "--licenses", wanted)
    shown = json.loads(wavecoder("show", out, "--json").stdout)
    assert shown["collect"]["kept"] == kept
    assert shown["collect"]["rejected"].get("license_not_allowed", 0) == 12 - kept


def test_what_was_kept_by_language_and_what_is_near_a_function(folder: Path):
    out = folder / "run"
    wavecoder("run", folder / "recipe.yaml", "-o", out, "--last", "select", "-s", "select.k=3")
    assert wavecoder("show", out, "--by", "language").stdout == "python: 12 in, 12 kept\n"
    assert "directory:src: 12 in" in wavecoder("show", out, "--by", "source").stdout
    assert "give language or source" in wavecoder("show", out, "--by", "size", code=2).stderr
    said = wavecoder("near", out, "add_7", "--count", "2").stdout.splitlines()
    assert said[0].endswith("directory:src/m7.py:1 add_7")
    assert said[1] == "not picked" or said[1].startswith("pick ")
    assert said[2] == "nearest picks:"
    assert len(said) == 8
    assert "no function with the id" in wavecoder("near", out, "add_70", code=2).stderr
