from pathlib import Path

import pytest

from wavecoder.errors import ArtifactError, ConfigError, StaleArtifactError, WaveCoderError
from wavecoder.pipeline import STAGES, RunOptions, artifacts, read_recipe, run, stage_folder, stages
from wavecoder.plugins import plugin_names
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


def test_every_stage_is_a_package_a_table_and_a_plugin():
    names = [stage.name for stage in STAGES]
    assert names == ["collect", "select", "generate", "report"]
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
        ("collect: 3", "valid dictionary"),
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
    from wavecoder.pipeline import _locked

    with (
        _locked(tmp_path / "run"),
        pytest.raises(ArtifactError, match="Another process is working"),
    ):
        run(read_recipe(recipe), tmp_path / "run", options())
