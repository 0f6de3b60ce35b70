import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.errors import ArtifactError, ConfigError, StaleArtifactError, WaveCoderError
from wavecoder.llm import Ledger
from wavecoder.pipeline import (
    STAGES,
    Recipe,
    RunOptions,
    artifacts,
    holding,
    read_recipe,
    run,
    stage_folder,
    stages,
)
from wavecoder.plugins import nearest, plugin_names
from wavecoder.progress import Silent
from wavecoder.protocols import Limits
from wavecoder.stage import OnExisting

RECIPE = """
seed: 3
collect:
  sources:
    - directory: {src}
  filters: {{length: false, trivial: false}}
select:
  k: 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    src = tmp_path / "src"
    src.mkdir()
    for name in ("add", "sub", "mul"):
        (src / f"{name}.py").write_text(
            f"def {name}(a, b):\n    result = {name}_of(a, b)\n    return result\n"
        )
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(src=src))
    return path


def options(on_existing: OnExisting = OnExisting.RESUME) -> RunOptions:
    return RunOptions(on_existing=on_existing)


def test_every_stage_is_a_table_and_a_plugin():
    names = [stage.name for stage in STAGES]
    assert names == [
        "collect", "select", "generate", "regenerate", "train", "evaluate", "report",
    ]  # fmt: skip
    assert set(names) <= set(Recipe.model_fields)
    assert set(names) == set(plugin_names("stages"))
    assert stage_folder(Path("runs/demo"), "select") == Path("runs/demo/2-select")


def test_a_run_leaves_numbered_folders_and_the_same_again_does_nothing(
    recipe: Path, tmp_path: Path
):
    loaded = read_recipe(recipe)
    made = run(loaded, tmp_path / "run", options())
    assert list(made) == ["collect", "select"]
    assert made["select"].manifest.kept == 2
    assert made["select"].manifest.upstream == made["collect"].manifest.fingerprint
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.parquet")}
    run(loaded, tmp_path / "run", options())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert list(artifacts(tmp_path / "run")) == ["collect", "select"]


def test_stages_one_by_one_give_the_same_as_all_at_once(recipe: Path, tmp_path: Path):
    loaded = read_recipe(recipe)
    whole = run(loaded, tmp_path / "whole", options())
    with pytest.raises(ArtifactError, match="not a complete artifact"):
        run(loaded, tmp_path / "parts", options(), first="select")
    run(loaded, tmp_path / "parts", options(), last="collect")
    parts = run(loaded, tmp_path / "parts", options(), first="select")
    assert parts["select"].manifest.records_sha256 == whole["select"].manifest.records_sha256


def test_another_recipe_is_refused_and_replaces_only_what_is_stale(recipe: Path, tmp_path: Path):
    run(read_recipe(recipe), tmp_path / "run", options())
    other = read_recipe(recipe, ["select.k=3"])
    with pytest.raises(StaleArtifactError, match="k: 2 then, 3 now"):
        run(other, tmp_path / "run", options())
    collected = (tmp_path / "run/1-collect/manifest.json").stat().st_mtime_ns
    made = run(other, tmp_path / "run", options(OnExisting.REPLACE))
    assert made["select"].manifest.kept == 3
    assert (tmp_path / "run/1-collect/manifest.json").stat().st_mtime_ns == collected


def test_overrides_are_read_as_yaml(recipe: Path):
    loaded = read_recipe(recipe, ["seed=9", "select.k=7", "collect.languages=[python, go]"])
    assert loaded.seed == 9
    assert loaded.select == {"k": 7}
    assert loaded.collect is not None
    assert loaded.collect["languages"] == ["python", "go"]


def test_a_table_without_values_is_a_stage_with_its_defaults(recipe: Path):
    recipe.write_text(recipe.read_text() + "report:\n")
    assert list(read_recipe(recipe).tables()) == ["collect", "select", "report"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("selekt.k=3", "selekt is not a known key. Did you mean 'select'?"),
        ("Select.k=3", "Select is not a known key. Did you mean 'select'?"),
        ("select.K=3", r"select\.K is not a known key. Did you mean 'k'?"),
        ("collect.FILTERS={}", "Did you mean 'filters'?"),
        ("select.kk=3", r"select\.kk is not a known key. Did you mean 'k'?"),
        ("select.k=many", r"select\.k: .*valid integer.* got 'many'"),
        ("select.k=0", r"select\.k: .*greater than or equal to 1"),
        ("select.k=9", "select.k is 9 and collect kept 3"),
        ("select.embedder=lexicon", "no embedder 'lexicon'. Did you mean 'lexical'?"),
        ("collect.languages=[pyton]", "Did you mean 'python'?"),
        ("collect.filters.lenght=false", "Did you mean 'length'?"),
        ("collect.sources=[]", r"collect\.sources"),
        ("collect.sources=[{directory: /no/such}]", "/no/such"),
        ("collect.sources=[{directoy: x}]", "Did you mean 'directory'?"),
        ("select", "not of the form stage.key=value"),
        ("select.k=[", "not YAML"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(recipe: Path, tmp_path: Path, override: str, message: str):
    with pytest.raises(WaveCoderError, match=message.replace("?", r"\?")) as caught:
        run(read_recipe(recipe, [override]), tmp_path / "run", options())
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("collect: [", "is not YAML"),
        ("- a list", "no table of stages"),
        ("collect: 3", "a table should be there, got 3"),
        ("seed: x\ncollect: {}", "seed: .*valid integer"),
        ("", "no table for a stage"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, message: str):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        stages(read_recipe(path))


def test_a_recipe_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_recipe(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_recipe(tmp_path / "binary.yaml")


def test_an_output_folder_that_cannot_be_used(recipe: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="Cannot write to the run folder"):
        run(read_recipe(recipe), tmp_path / "file" / "run", options())


def test_two_processes_do_not_share_a_run(recipe: Path, tmp_path: Path):
    with (
        holding(tmp_path / "run"),
        pytest.raises(ArtifactError, match="Another process is working"),
    ):
        run(read_recipe(recipe), tmp_path / "run", options())


def test_a_name_in_other_case_is_the_nearest_and_is_given_as_it_is_known():
    assert nearest("MAX_TOKENZ", ["min_tokens", "max_tokens"]) == " Did you mean 'max_tokens'?"
    assert nearest("mit", ["MIT", "Zlib"]) == " Did you mean 'MIT'?"
    assert nearest("q", ["k"]) == ""


@pytest.mark.parametrize("inside", ["1-collect", "1-collect/x", "2-select/files/deep/er", "link/x"])
def test_a_run_in_a_stage_of_another_is_refused(recipe: Path, tmp_path: Path, inside: str):
    loaded = read_recipe(recipe)
    run(loaded, tmp_path / "run", options())
    (tmp_path / "run/link").symlink_to(tmp_path / "run/1-collect")
    before = sorted((tmp_path / "run").rglob("*"))
    with pytest.raises(ConfigError, match="the folder of a stage of another run") as caught:
        run(loaded, tmp_path / "run" / inside, options())
    assert "\n" not in str(caught.value)
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_a_folder_that_has_the_name_of_a_stage_and_is_none_may_hold_a_run(
    recipe: Path, tmp_path: Path
):
    assert run(read_recipe(recipe), tmp_path / "1-collect" / "run", options())


# What would end `generate` is said before anything is begun.


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table songs (title)")
    database.close()


def newer(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as database:
        database.execute("pragma user_version = 99")
    database.close()


@pytest.fixture
def asking(recipe: Path) -> Path:
    """A recipe whose endpoint nobody listens at: to ask it would be another error."""
    recipe.write_text(f"{recipe.read_text()}generate:\n  generator: http://127.0.0.1:9/v1#nobody\n")
    return recipe


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"prices": Path("none.yaml")}, r"Cannot read the prices none\.yaml: No such file"),
        ({"prices": Path("bad.yaml")}, r"bad\.yaml: nobody\.prompt: .*greater than or equal to 0"),
        ({"max_cost": 1.0}, "--max-cost needs the price of nobody, which is unknown"),
        ({"max_cost": float("nan")}, "--max-cost is nan"),
    ],
)
def test_prices_that_do_not_serve_are_said_before_anything_is_written(
    asking: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, Any],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("nobody: {prompt: -1, completion: 0}")
    with pytest.raises(ConfigError, match=message):
        run(read_recipe(asking), tmp_path / "run", RunOptions(limits=Limits(**limits)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (foreign, "is a database of another program"),
        (newer, "was made by a newer wavecoder"),
        (lambda path: path.write_bytes(b"no database, and longer than a header" * 9), "damaged"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_ledger_that_is_none_is_said_before_anything_is_written(
    asking: Path, tmp_path: Path, make: Callable[[Path], None], message: str, beside: bool
):
    out = tmp_path / "run"
    out.mkdir()
    ledger = out / "replies.sqlite" if beside else tmp_path / "mine.sqlite"
    make(ledger)
    content = ledger.read_bytes()
    with pytest.raises(ArtifactError, match=message):
        run(read_recipe(asking), out, RunOptions(replies=None if beside else ledger))
    assert sorted(path.name for path in out.iterdir()) == (["replies.sqlite"] if beside else [])
    assert ledger.read_bytes() == content


def test_prices_and_ledger_are_not_asked_of_stages_without_models(asking: Path, tmp_path: Path):
    foreign(tmp_path / "mine.sqlite")
    used = RunOptions(limits=Limits(max_cost=1.0), replies=tmp_path / "mine.sqlite")
    made = run(read_recipe(asking), tmp_path / "run", used, last="select")
    assert list(made) == ["collect", "select"]


# None accepted.

REFUSING = """
- match: Write the four sections
  reply: I would rather not.
"""


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("target", [None, 1])
def test_that_none_was_accepted_is_said_with_the_reason_and_where_to_look(
    recipe: Path, tmp_path: Path, target: int | None
):
    (tmp_path / "script.yaml").write_text(REFUSING)
    recipe.write_text(
        f"{recipe.read_text()}generate:\n  generator: scripted:{tmp_path}/script.yaml\n"
        f"  tasks: {{summarization: 1}}\n"
    )
    told = Notes()
    loaded = read_recipe(recipe, [] if target is None else [f"generate.target={target}"])
    out = tmp_path / "run"
    ((reason, count),) = run(loaded, out, RunOptions(told))["generate"].manifest.rejected.items()
    # One, and no word of raising select.k.
    (note,) = (note for note in told.notes if note.startswith("generate"))
    assert count == 2
    assert f"none of 2 functions was accepted, most often for the reason {reason} (2)" in note
    assert f"`wavecoder show {out}`" in note
    assert "`wavecoder preview RECIPE`" in note


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        ("localhost:8000/v1#name", "http://localhost:8000/v1#name"),
        ("localhost/v1#name", "http://localhost/v1#name"),
        ("127.0.0.1:8000/v1#Qwen/Qwen2.5", "http://127.0.0.1:8000/v1#Qwen/Qwen2.5"),
        ("gpu-7.lab.example:8000/v1#name", "http://gpu-7.lab.example:8000/v1#name"),
        ("[::1]:8000/v1#name", "http://[::1]:8000/v1#name"),
        ("localhost:8000/v1", "http://localhost:8000/v1#name"),
        ("a:1/v1, http://b:2/v1#m", "http://a:1/v1,http://b:2/v1#m"),
        ("api.example.com/v1#m", "https://api.example.com/v1#m"),
    ],
)
@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_an_address_without_its_scheme_is_said_with_it(
    asking: Path, spec: str, written: str, role: str
):
    with pytest.raises(ConfigError) as caught:
        stages(read_recipe(asking, [f"generate.{role}={spec!r}"]))
    assert str(caught.value) == (
        f"generate.{role} is {spec!r}, which does not begin with http:// or https://; "
        f"write {written}."
    )


@pytest.mark.parametrize("spec", ["qwen2.5:7b", "no.such:Class", "locla:x", "Qwen/Qwen2.5#x"])
def test_what_is_no_address_is_not_taken_for_one(asking: Path, spec: str):
    with pytest.raises(WaveCoderError) as caught:
        stages(read_recipe(asking, [f"generate.generator={spec!r}"]))
    assert "http://" not in str(caught.value)


def test_a_script_in_a_folder_of_digits_is_no_address(asking: Path, monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Path("8000").mkdir()
    Path("8000/script.yaml").write_text(REFUSING)
    assert stages(read_recipe(asking, ["generate.generator=scripted:8000/script.yaml"]))
