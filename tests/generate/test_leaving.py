"""A secret in raw code stays on the machine: no method asks a model elsewhere about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder import pipeline
from wavecoder.artifact import Artifact
from wavecoder.llm.fake.server import FakeServer
from wavecoder.pipeline import Recipe, RunOptions
from wavecoder.preview import as_html, as_table, as_text, looks, prepare
from wavecoder.records import RawCode

# Put together here, so that nothing that looks for secrets finds one in this file.
SECRET = "gh" + "p_a1B" + "x" * 33


def recipe(folder: Path, model: str, **generate: object) -> Recipe:
    """Return a recipe of two functions, one with a secret, without the filter against that."""
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "a.py").write_text(
        f"def send(x):\n    y = x + 1\n    return call({SECRET!r}, y)\n\n\n"
        "def add(x):\n    y = x + 1\n    return y * 2\n"
    )
    return Recipe.model_validate(
        {
            "collect": {
                "sources": [{"directory": str(folder / "src")}],
                "filters": {"length": False, "trivial": False, "secrets": False},
            },
            "select": {"k": 2},
            "generate": {"generator": model, **generate},
        }
    )


@pytest.mark.parametrize("method", ["wavecoder", "oss-instruct", "evol-instruct", "self-instruct"])
def test_a_function_with_a_secret_is_refused_before_anything_is_sent(
    tmp_path: Path, fake_server: Callable[..., FakeServer], method: str
):
    server, out = fake_server(), tmp_path / "run"
    made = recipe(tmp_path, f"{server.url}#fake", method=method, attempts=2)
    pipeline.run(made, out, RunOptions())
    raw = {one.name: one.id for one in Artifact.open(out / "2-select").records(RawCode)}
    refused = {one.id: one for one in Artifact.open(out / "3-generate").rejected()}
    one = refused[raw["send"]]
    assert (one.reason, one.detail) == ("secret", "a GitHub token on line 3")
    assert raw["add"] not in refused or refused[raw["add"]].reason != "secret"
    assert server.stats()["ok"] > 0  # the other one was asked about
    assert SECRET.encode() not in (out / "replies.sqlite").read_bytes()
    wal = out / "replies.sqlite-wal"
    assert not wal.exists() or SECRET.encode() not in wal.read_bytes()


def test_a_model_on_this_machine_is_asked(tmp_path: Path):
    (tmp_path / "script.yaml").write_text("[{match: '', anywhere: true, reply: x}]")
    made = recipe(tmp_path, f"scripted:{tmp_path / 'script.yaml'}")
    pipeline.run(made, tmp_path / "run", RunOptions())
    rejected = list(Artifact.open(tmp_path / "run" / "3-generate").rejected())
    assert {one.reason for one in rejected} == {"no_sections"}


def test_a_preview_does_not_show_it(tmp_path: Path, fake_server: Callable[..., FakeServer]):
    made = recipe(tmp_path, f"{fake_server().url}#fake")
    found = list(looks(prepare(made, tmp_path / "run", RunOptions()), count=2))
    (one,) = (one for one in found if one.raw.name == "send")
    shown: list[Any] = [as_text(one), as_html(found), str(as_table(one))]
    assert all(SECRET not in text for text in shown)
    assert "no model was asked" in shown[0]
    assert "outcome: rejected, secret" in shown[0]
