import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.generate.export import FORMATS, export
from wavecoder.records import Instance, RawCode, Rejected
from wavecoder.stage import run_stage

CODE = "def add(a, b):\n    return a + b"


def instance(number, **changes):
    raw = RawCode(
        id=f"raw{number}",
        language="python",
        name="add",
        code=CODE,
        docstring=None,
        source="package:stdlib",
        path="m.py",
        start_line=1,
        end_line=2,
        content_hash="h",
    )
    fields = {
        "id": raw.id,
        "task": "generation",
        "language": "python",
        "target_language": None,
        "instruction": "Füge zwei Zahlen zusammen, in Python.",
        "information": None,
        "solution": CODE,
        "raw_code": raw,
        "bug": None,
        "reply": "…",
        "verdict": None,
        "generator": "writer",
        "discriminator": None,
        "round": 0,
        "attempt": 0,
        "example_ids": (),
    }
    return Instance(**{**fields, **changes})


INSTANCES = [
    instance(0),
    instance(1, task="repair", information='print("</a>\u2028")\n', bug="wrong_operator"),
]


class Given:
    data_version, streaming, writes = 1, True, Instance

    class Config(BaseModel):
        pass

    def __init__(self, name, outcomes):
        self.name, self.config, self.outcomes = name, self.Config(), outcomes

    def identity(self):
        return {}

    def inputs(self, ctx):
        return self.outcomes

    def run(self, inputs, ctx):
        yield from inputs


@pytest.fixture
def run_folder(make_context, tmp_path):
    """A run whose generate accepted two instances and refused one."""
    (tmp_path / "run").mkdir()
    refused = Rejected(id="raw2", reason="no_sections", detail="no label at all")
    outcomes = [INSTANCES[0], refused, INSTANCES[1]]
    run_stage(Given("generate", outcomes), make_context("generate", folder="run/3-generate"))
    return tmp_path / "run"


def test_alpaca_is_a_list_of_three_fields(run_folder, tmp_path):
    path = tmp_path / "data.json"
    assert export(run_folder, "alpaca", path) == 2
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"instruction": one.instruction, "input": one.information or "", "output": one.solution}
        for one in INSTANCES
    ]
    assert "Füge" in path.read_text(encoding="utf-8"), "readable, not escaped"


def test_messages_are_a_user_and_an_assistant_turn(run_folder, tmp_path):
    path = tmp_path / "data.jsonl"
    assert export(run_folder, "messages", path) == 2
    lines = path.read_bytes().splitlines()
    contents = [
        INSTANCES[0].instruction,
        f"{INSTANCES[1].instruction}\n\n{INSTANCES[1].information}",
    ]
    assert [json.loads(line) for line in lines] == [
        {
            "messages": [
                {"role": "user", "content": content},
                {"role": "assistant", "content": CODE},
            ]
        }
        for content in contents
    ]


def test_jsonl_has_every_field(run_folder, tmp_path):
    path = tmp_path / "data.jsonl"
    assert export(run_folder, "jsonl", path) == 2
    lines = path.read_bytes().splitlines()
    assert [Instance.model_validate_json(line) for line in lines] == INSTANCES
    assert [json.loads(line)["task"] for line in lines] == ["generation", "repair"]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_generate_folder_gives_the_same_file_as_the_run(form, run_folder, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    export(run_folder, form, one)
    export(run_folder / "3-generate", form, two)
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["one", "two"]


@pytest.mark.parametrize(("form", "text"), [("alpaca", "[]\n"), ("messages", ""), ("jsonl", "")])
def test_a_run_that_accepted_nothing_gives_an_empty_file(form, text, make_context, tmp_path):
    run_stage(Given("generate", []), make_context("generate"))
    path = tmp_path / "out"
    assert export(tmp_path / "generate", form, path) == 0
    assert path.read_text() == text


def test_an_unknown_format_names_the_known_ones(run_folder, tmp_path):
    with pytest.raises(ConfigError, match=r"'alpacca'.*'alpaca'.*Formats: alpaca, jsonl, messages"):
        export(run_folder, "alpacca", tmp_path / "x")


def test_a_folder_without_instances_is_refused(make_context, tmp_path):
    run_stage(Given("collect", INSTANCES), make_context("collect", folder="1-collect"))
    for folder in (tmp_path, tmp_path / "1-collect", tmp_path / "missing"):
        with pytest.raises(ConfigError, match="holds no instances"):
            export(folder, "jsonl", tmp_path / "x")


def test_a_run_that_is_not_complete_is_refused(run_folder, tmp_path):
    (run_folder / "3-generate" / "manifest.json").rename(run_folder / "3-generate" / "started.json")
    for folder in (run_folder, run_folder / "3-generate"):
        with pytest.raises(ArtifactError, match="not a complete artifact"):
            export(folder, "jsonl", tmp_path / "x")


def test_paths_that_do_not_fit_are_one_sentence(run_folder, tmp_path):
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        export(run_folder, "jsonl", tmp_path / "nowhere" / "x")
    with pytest.raises(ConfigError, match="is a folder"):
        export(run_folder, "jsonl", tmp_path)
    with pytest.raises(ConfigError, match=r"Cannot write .*File name too long"):
        export(run_folder, "jsonl", tmp_path / ("x" * 300))
    with pytest.raises(ConfigError, match=r"Cannot read .*File name too long"):
        export(tmp_path / ("x" * 300), "jsonl", tmp_path / "x")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="Cannot write"):
        export(run_folder, "jsonl", tmp_path / "loop")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_without_permission_is_one_sentence(run_folder, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    try:
        with pytest.raises(ConfigError, match=r"Cannot read .*Permission denied"):
            export(closed, "jsonl", tmp_path / "x")
        with pytest.raises(ConfigError, match=r"Cannot write .*Permission denied"):
            export(run_folder, "jsonl", closed / "x")
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_and_a_device_are_refused_and_stay(linked, run_folder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/null")):
        before = special.lstat()
        path = tmp_path / f"to-{special.name}" if linked else special
        if linked:
            path.symlink_to(special)
        with pytest.raises(ConfigError, match="is no regular file"):
            export(run_folder, "jsonl", path)
        assert (special.lstat().st_ino, special.lstat().st_mode) == (before.st_ino, before.st_mode)
        assert path.is_symlink() == linked


@pytest.mark.parametrize("there", [False, True])
def test_a_link_stays_and_the_file_it_leads_to_is_written(there, run_folder, tmp_path):
    (tmp_path / "far").mkdir()
    if there:
        (tmp_path / "far" / "data").write_text("before")
    (tmp_path / "link").symlink_to("far/data")
    export(run_folder, "jsonl", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len((tmp_path / "far" / "data").read_bytes().splitlines()) == 2
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["data"]


def test_what_was_there_stays_whole_where_writing_fails(run_folder, tmp_path, monkeypatch):
    path = tmp_path / "data.jsonl"
    path.write_text("before")

    def full(instances):
        yield "a line\n"
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, "jsonl", full)
    with pytest.raises(ArtifactError, match="No space left"):
        export(run_folder, "jsonl", path)
    assert path.read_text() == "before"
    assert not list(tmp_path.glob("*.partial"))
