"""What the documents say is there is there."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import wavecoder
from wavecoder.pipeline import STAGES, read_recipe, stages

ROOT = Path(__file__).parents[1]
MODULES = ["wavecoder", *(m.name for m in walk_packages(wavecoder.__path__, "wavecoder."))]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_complete(name: str):
    module = import_module(name)
    listed = module.__all__
    assert len(set(listed)) == len(listed)
    assert all(hasattr(module, one) for one in listed)
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and getattr(value, "__module__", None) == name
        and not isinstance(value, type(sys))
        and type(value).__name__ != "TypeVar"
    }
    unlisted = own - set(listed) - {"Value", "Outcome"}
    if name not in ("wavecoder.cli",):  # its commands are listed by typer
        assert not unlisted


def test_every_folder_and_file_in_the_tree_exists():
    tree = (ROOT / "ARCHITECTURE.md").read_text().split("src/wavecoder/\n")[1].split("```")[0]
    named = set(re.findall(r"[├└]── (\S+)", tree))
    there = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "src/wavecoder").iterdir()
        if path.name not in ("__init__.py", "__pycache__", "py.typed")
    }
    assert named == there


def test_layers_in_the_document_are_those_that_are_checked():
    document = (ROOT / "ARCHITECTURE.md").read_text()
    layers = re.findall(r'^    "(.*)",$', (ROOT / "pyproject.toml").read_text(), re.M)
    layers = layers[layers.index("cli") :]
    assert "```text\n" + "\n".join(layers) + "\n```" in document


def test_every_command_is_in_the_readme():
    shown = subprocess.run(
        [sys.executable, "-m", "wavecoder.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = re.findall(r"^│ ([\w-]+) ", shown.split("Commands")[1], re.M)
    assert len(commands) > 10
    readme = (ROOT / "README.md").read_text()
    for command in commands:
        assert f"`wavecoder {command} " in readme


def test_every_stage_is_in_the_documents():
    for stage in STAGES:
        assert stage.name in (ROOT / "README.md").read_text()
        assert stage.name in (ROOT / "ARCHITECTURE.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_every_recipe_fits(path: Path, benchmarks: Path):
    assert stages(read_recipe(path))


def test_links_between_documents_lead_somewhere():
    for document in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text()):
            assert (ROOT / target).exists(), f"{document.name}: {target}"
