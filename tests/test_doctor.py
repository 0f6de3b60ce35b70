"""The doctor over this machine, and over recipes whose endpoints are real sockets."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wavecoder import machine
from wavecoder.cli.doctor import doctor as command
from wavecoder.doctor import Finding, Level, look_at_machine, look_at_recipe
from wavecoder.doctor import machine as this_machine
from wavecoder.doctor.findings import tried
from wavecoder.doctor.machine import SAMPLES
from wavecoder.doctor.models import Role, look_at_model
from wavecoder.errors import ConfigError
from wavecoder.languages import LANGUAGES, syntax_errors
from wavecoder.llm import open_model

KEY = "sk-secret-1234"


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible endpoint that keeps what it was asked."""

    daemon_threads = True

    def __init__(
        self, *, key: str | None = None, models: Sequence[str] | None = ("m",), served: str = "m"
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.models, self.served = key, models, served
        self.silent = False
        """Chats get no answer."""
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    @property
    def spec(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1#m"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if not self._may():
            return
        if self.path != "/v1/models" or self.server.models is None:
            self._say(404, {"error": {"message": "no such route"}})
        else:
            self._say(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if not self._may():
            return
        if self.server.silent:
            self.rfile.read(1)  # until the client goes away
            return
        if self.path != "/v1/chat/completions" or body["model"] != self.server.served:
            self._say(404, {"error": {"message": f"no model {body['model']}"}})
            return
        choice = {"finish_reason": "stop", "message": {"content": "ready"}}
        usage = {"prompt_tokens": 9, "completion_tokens": 2}
        self._say(200, {"model": body["model"], "choices": [choice], "usage": usage})

    def _may(self) -> bool:
        if self.server.key is None or self.headers["Authorization"] == f"Bearer {self.server.key}":
            return True
        said = self.headers["Authorization"]
        self._say(401, {"error": {"message": f"Incorrect key: {said}"}})
        return False

    def _say(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(**options: Any) -> Iterator[Endpoint]:
    with Endpoint(**options) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def recipe(tmp_path: Path):
    """Write a recipe for a model; its source is a folder with one function."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("def add(x, y):\n    return x + y\n")

    def write(generate: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"collect: {{sources: [{{directory: {tmp_path}/src}}]}}\n"
            f"select: {{k: 1}}\ngenerate: {generate}\nreport:\n"
        )
        return path

    return write


def look(path: Path, **options: Any) -> list[Finding]:
    return list(look_at_recipe(path, **options))


def of(findings: list[Finding], what: str) -> list[str]:
    return [str(one) for one in findings if one.what == what]


def failures(findings: list[Finding]) -> list[str]:
    return [str(one) for one in findings if one.level is Level.FAIL]


ROLES = "generator and discriminator"


def test_a_recipe_whose_models_answer_passes(recipe):
    with serving(models=["other", "m"]) as server:
        found = look(recipe(f"{{generator: '{server.spec}'}}"))
    assert failures(found) == []
    assert [one.what for one in found] == [
        *("recipe", "collect", "select", "generate", "endpoint", ROLES, "report"),
    ]
    address = server.spec.partition("#")[0]
    assert of(found, "collect") == ["ok    collect: its table fits, and its sources are there (1)."]
    assert of(found, "endpoint") == [
        f"ok    endpoint: {address} answers without a key and lists m."
    ]
    assert re.fullmatch(
        rf"ok    {ROLES}: m at {re.escape(address)} answered 'ready' "
        r"\(9 tokens read, 2 written\) in \d+\.\d s\.",
        of(found, ROLES)[0],
    )
    # One request for both roles, and a small one.
    assert server.asked == ["GET /v1/models", "POST /v1/chat/completions"]
    assert server.bodies[0]["max_tokens"] == 16


def test_no_ask_sends_no_chat(recipe):
    with serving() as server:
        found = look(recipe(f"{{generator: '{server.spec}'}}"), ask=False)
        assert server.asked == ["GET /v1/models"]
    assert failures(found) == []
    assert of(found, ROLES) == []


def test_two_models_are_both_asked(recipe):
    with serving() as one, serving() as other:
        found = look(recipe(f"{{generator: '{one.spec}', discriminator: '{other.spec}'}}"))
        assert one.asked == other.asked == ["GET /v1/models", "POST /v1/chat/completions"]
    assert failures(found) == []
    assert len(of(found, "generator")) == len(of(found, "discriminator")) == 1


def test_a_key_that_is_right_is_taken(recipe, monkeypatch):
    monkeypatch.setenv("DOCTOR_KEY", KEY)
    with serving(key=KEY) as server:
        found = look(recipe(f"{{generator: '{server.spec}', api_key_env: DOCTOR_KEY}}"))
    assert failures(found) == []
    assert "answers with the key in DOCTOR_KEY and lists m" in of(found, "endpoint")[0]


def test_a_wrong_key_is_told_and_never_shown(recipe, monkeypatch):
    monkeypatch.setenv("DOCTOR_KEY", "sk-wrong-99")
    with serving(key=KEY) as server:
        found = look(recipe(f"{{generator: '{server.spec}', api_key_env: DOCTOR_KEY}}"))
        assert server.asked == ["GET /v1/models"]  # no second knock with a wrong key
    (words,) = failures(found)
    assert words.endswith(
        "answers, and refuses us with the key in DOCTOR_KEY (HTTP 401). "
        "Put the right key into the environment variable DOCTOR_KEY."
    )
    assert "wrong-99" not in "".join(map(str, found))


def test_a_wrong_key_where_only_chats_need_one_is_told_and_never_shown(recipe, monkeypatch):
    monkeypatch.setenv("DOCTOR_KEY", "sk-wrong-99")
    with serving(key=KEY) as server:
        role = Role("generator", open_model(server.spec, api_key_env="DOCTOR_KEY"), "own:m", None)
        (finding,) = look_at_model(role, ask=True)
    assert "Check the key" in str(finding)
    assert finding.level is Level.FAIL
    assert "wrong-99" not in str(finding)


def test_an_endpoint_that_wants_a_key_says_where_to_name_one(recipe):
    with serving(key=KEY) as server:
        (words,) = failures(look(recipe(f"{{generator: '{server.spec}'}}")))
    assert "refuses us without a key (HTTP 401)" in words
    assert "api_key_env in the stage" in words


def test_a_variable_that_is_not_set_is_told(recipe, monkeypatch):
    monkeypatch.delenv("DOCTOR_KEY", raising=False)
    spec = "http://127.0.0.1:1/v1#m"
    found = look(recipe(f"{{generator: '{spec}', api_key_env: DOCTOR_KEY}}"))
    (words,) = failures(found)
    assert "generate: The environment variable DOCTOR_KEY (api_key_env) is not set" in words
    assert found[-1].what == "report"  # the others are looked at all the same


def test_an_endpoint_that_is_not_there_is_told_and_not_asked(recipe):
    address = f"http://127.0.0.1:{closed_port()}/v1"
    (words,) = failures(look(recipe(f"{{generator: '{address}#m'}}")))
    assert words.startswith(f"FAIL  endpoint: {address} does not answer (")
    assert words.endswith(
        "Check the address, and that the server runs and can be reached from here."
    )


def test_of_several_endpoints_the_one_that_is_not_there_is_told(recipe):
    with serving() as server:
        address = server.spec.partition("#")[0]
        spec = f"{address},http://127.0.0.1:{closed_port()}/v1#m"
        found = look(recipe(f"{{generator: '{spec}'}}"))
    here, absent = of(found, "endpoint")
    assert here.startswith(f"ok    endpoint: {address} answers")
    assert absent.startswith("FAIL")


def test_a_wrong_path_is_told_in_the_words_of_the_client(recipe):
    with serving() as server:
        found = look(recipe(f"{{generator: '{server.spec.replace('/v1', '/v2')}'}}"))
    (about,) = of(found, "endpoint")
    assert about.startswith("warn")
    assert "without a list of models (HTTP 404)" in about
    (words,) = failures(found)
    assert "Check the address, which often ends in /v1" in words


def test_an_endpoint_without_a_list_of_models_is_no_fault(recipe):
    with serving(models=None) as server:
        found = look(recipe(f"{{generator: '{server.spec}'}}"))
    assert failures(found) == []
    assert of(found, ROLES)


def test_an_unknown_model_is_told_with_the_nearest(recipe):
    with serving(models=["qwen-coder-7b", "llama"], served="qwen-coder-7b") as server:
        path = recipe(f"{{generator: '{server.spec.replace('#m', '#qwen-coder7b')}'}}")
        asked, listed = look(path), look(path, ask=False)
    (about,) = of(asked, "endpoint")
    assert about.startswith("warn")
    assert "does not list 'qwen-coder7b' among its models (qwen-coder-7b, llama)" in about
    assert "Did you mean 'qwen-coder-7b'?" in about
    (words,) = failures(asked)
    assert words.startswith(f"FAIL  {ROLES}: ")
    (words,) = failures(listed)
    assert words.startswith("FAIL  endpoint: ")


def test_an_unversioned_name_is_found_among_versioned_ones(recipe):
    with serving(models=["m:latest"]) as server:
        found = look(recipe(f"{{generator: '{server.spec}'}}"), ask=False)
    assert failures(found) == []


def test_a_model_that_does_not_reply_in_time_is_told(recipe):
    with serving() as server:
        server.silent = True
        role = Role(ROLES, open_model(server.spec), server.spec, None)
        _, finding = look_at_model(role, ask=True, seconds=0.3)
    assert finding.level is Level.FAIL
    assert "reply within 0.3 s" in str(finding)


def test_a_script_is_not_asked(recipe, tmp_path):
    (tmp_path / "script.yaml").write_text("- {match: never, reply: x}\n")
    found = look(recipe(f"{{generator: 'scripted:{tmp_path}/script.yaml'}}"))
    assert failures(found) == []
    assert "answers from a script, and is not asked here" in of(found, ROLES)[0]


def test_a_local_model_that_is_not_there_is_told(recipe, tmp_path):
    (words,) = failures(look(recipe(f"{{generator: 'local:{tmp_path}/absent.gguf'}}")))
    assert "FAIL  generate: There is no model file" in words


def test_sources_that_are_not_there_are_told_beside_the_rest(recipe, tmp_path):
    (tmp_path / "script.yaml").write_text("- {match: never, reply: x}\n")
    path = recipe(f"{{generator: 'scripted:{tmp_path}/script.yaml'}}")
    (tmp_path / "src" / "a.py").unlink()
    empty = look(path)
    (tmp_path / "src").rmdir()
    absent = look(path)
    for found in (empty, absent):
        (words,) = failures(found)
        assert words.startswith("FAIL  collect: ")
        assert of(found, ROLES)
    assert "Cannot collect from" in failures(absent)[0]


def test_a_recipe_that_is_not_there_or_does_not_fit_is_told(tmp_path):
    (words,) = map(str, look(tmp_path / "absent.yaml"))
    assert words.startswith("FAIL  recipe: Cannot read the recipe")
    path = tmp_path / "recipe.yaml"
    path.write_text("seed: 1\n")
    (words,) = map(str, look(path))
    assert words.endswith("has no table of a stage. Add one; see recipes/.")
    path.write_text("select: {embeder: lexical}\nreport:\n")
    found = look(path)
    assert [one.level for one in found] == [Level.OK, Level.FAIL, Level.OK]
    assert "Did you mean 'embedder'?" in str(found[1])


def broken(error: Exception) -> Iterator[Finding]:
    yield Finding(Level.OK, "it", "begins")
    raise error


@pytest.mark.parametrize(
    "error", [TypeError("5 is\nno 6"), KeyError("x"), OSError(5, "io"), ZeroDivisionError()]
)
def test_a_check_that_breaks_is_a_finding_and_the_end_of_nothing(error):
    first, second = tried("it", lambda: broken(error))
    assert first.level is Level.OK
    assert second.level is Level.FAIL
    assert f"it cannot be checked ({type(error).__name__}: " in str(second)
    assert "\n" not in str(second)


def test_an_error_with_a_sentence_is_told_in_that():
    _, second = tried("it", lambda: broken(ConfigError("It is wrong. Mend it.")))
    assert str(second) == "FAIL  it: It is wrong. Mend it."


def test_this_machine_has_what_the_tests_need(tmp_path):
    found = {one.what: one for one in look_at_machine(tmp_path)}
    assert list(found) == [
        *("python", "wavecoder", "extras", "disk", "memory", "folder", "sqlite", "grammars"),
        *("sandbox", "toolchains"),
    ]
    for what in ("python", "wavecoder", "extras", "sqlite", "grammars", "toolchains"):
        assert found[what].level is Level.OK, str(found[what])
    assert list(tmp_path.iterdir()) == []


def test_every_language_has_a_sample_that_tells_a_broken_grammar():
    assert SAMPLES.keys() == LANGUAGES.keys()
    for name, sample in SAMPLES.items():
        assert not syntax_errors(sample, name)
        assert syntax_errors(sample.replace("one", "(one", 1).replace("One", "(One", 1), name)


def test_a_grammar_that_does_not_load_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(SAMPLES, "go", "this is no go")
    monkeypatch.delitem(SAMPLES, "rust")
    (found,) = (one for one in look_at_machine(tmp_path) if one.what == "grammars")
    assert found.level is Level.FAIL
    assert "go (it does not read its sample), rust (KeyError: 'rust')" in str(found)


def test_a_folder_that_cannot_be_written_is_told():
    (found,) = (one for one in look_at_machine(Path("/proc")) if one.what == "sqlite")
    assert found.level is Level.FAIL
    assert "/proc cannot be written (" in str(found)


def test_little_memory_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemAvailable: 500000 kB\n")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    (found,) = (one for one in look_at_machine(tmp_path) if one.what == "memory")
    assert found.level is Level.WARN
    assert "give --processes 1" in str(found)


def test_a_folder_that_is_not_there_hides_no_other_check(tmp_path):
    found = list(look_at_machine(tmp_path / "absent"))
    assert {one.what for one in found if one.level is Level.FAIL} == {"disk", "sqlite"}


def test_a_network_file_system_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_text("22 1 0:30 / / rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(machine, "_MOUNTS", tmp_path / "mountinfo")
    (found,) = (one for one in look_at_machine(tmp_path) if one.what == "folder")
    assert found.level is Level.WARN
    assert "is on nfs4, a network file system. Name a file on a local disk" in str(found)


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def sentence(what: str, folder: Path) -> str:
    (found,) = (one for one in look_at_machine(folder) if one.what == what)
    return str(found)


def test_a_sandbox_that_is_not_there_is_said(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    found = sentence("sandbox", tmp_path)
    assert found.startswith("warn  sandbox: bwrap is not installed")
    assert "apt-get install bubblewrap" in found
    program(tools / "bwrap", "echo no user namespaces >&2; exit 1")
    assert "a box does not work" in sentence("sandbox", tmp_path)


def test_a_program_runs_in_the_sandbox_of_this_machine(tmp_path):
    assert sentence("sandbox", tmp_path) == (
        "ok    sandbox: bubblewrap works, and a program ran in a box."
    )


def test_what_a_language_lacks_is_one_line_and_hides_no_other(tmp_path, monkeypatch):
    def module_of(name: str) -> Any:
        def toolchain() -> None:
            if name == "go":
                raise ConfigError("Programs in Go cannot be run here: no go. Install golang-go.")

        return SimpleNamespace(toolchain=toolchain)

    monkeypatch.setattr(this_machine, "module_of", module_of)
    fine, missing = (str(one) for one in look_at_machine(tmp_path) if one.what == "toolchains")
    assert fine == ("ok    toolchains: programs can be run in Python, JavaScript, Java, C++, Rust.")
    assert missing.startswith("warn  toolchains: Programs in Go cannot be run here: no go.")


def called(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_command_ends_with_1_only_where_something_fails(tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "absent")
    result = called()
    assert result.exit_code == 0
    assert all(re.match(r"(ok  |warn)  \w+: \S.*\.$", line) for line in result.stdout.splitlines())
    result = called("absent.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("FAIL  recipe: ")
    (tmp_path / "script.yaml").write_text("- {match: never, reply: x}\n")
    path = recipe("{generator: 'local:never-heard-of'}")
    assert called(str(path), "--no-ask").exit_code == 1
    result = called(str(path), "--no-ask", "--model", "scripted:script.yaml", "-s", "select.k=2")
    assert result.exit_code == 0
