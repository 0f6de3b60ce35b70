"""A recipe's demand, held against a calibration."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from wavecoder.errors import ConfigError
from wavecoder.generate import Generate
from wavecoder.generate.judge import FORMAT, Minimum, meets


def table(caught: float | None, falsely: float | None, **more: Any) -> dict[str, Any]:
    shares = {"caught": {"share": caught}, "falsely_refused": {"share": falsely}}
    made = {"format": FORMAT, "judge": {"model": "m"}, "graders": {"judge": shares}}
    return {**made, **more}


def test_a_judge_that_is_good_enough_may_begin():
    assert meets(table(0.5, 0.2), Minimum(caught=0.5, falsely_refused=0.2), judge="m") is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (table(0.49, 0.0), "catches 49% of the planted defects; the recipe demands at least 50%"),
        (table(0.9, 0.21), "falsely refuses 21% of the known-good instances; the recipe demands"),
        (table(None, 0.0), "has no instances that show what the judge catches"),
        (table(0.9, None), "has no instances that show what the judge falsely refuses"),
        (table(0.9, 0.0, format="2"), "is no file of this program"),
        (table(0.9, 0.0, judge=None), "has graded no judge"),
        (table(0.9, 0.0, graders={"checks": {}}), "has graded no judge"),
        (table(0.9, 0.0, judge={"model": "n"}), "is of the judge n, not of m"),
        ({}, "is no file of this program"),
    ],
)
def test_why_a_run_may_not_begin(found: dict[str, Any], says: str):
    told = meets(found, Minimum(caught=0.5, falsely_refused=0.2), judge="m")
    assert told is not None and says in told


def test_a_minimum_is_a_share():
    with pytest.raises(ValidationError):
        Minimum(caught=1.5)


def test_a_run_is_refused_whose_judge_shows_less_than_the_recipe_demands(tmp_path):
    table = {"generator": "scripted:x", "judge_at_least": {"caught": 0.5}}
    script = tmp_path / "x.yaml"
    script.write_text("- match: a\n  reply: b\n")
    table["generator"] = f"scripted:{script}"
    with pytest.raises(ConfigError, match="got none"):
        Generate(Generate.Config.model_validate(table))
    path = tmp_path / "calibration.json"
    table["calibration"] = str(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Generate(Generate.Config.model_validate(table))
    share = {"caught": {"share": 0.4}, "falsely_refused": {"share": 0.1}}
    judge = Generate(Generate.Config(generator=table["generator"])).discriminator.identity
    made = {"format": FORMAT, "judge": {"model": judge}, "graders": {"judge": share}}
    path.write_text(json.dumps(made))
    with pytest.raises(ConfigError, match="catches 40%"):
        Generate(Generate.Config.model_validate(table))
    share["caught"]["share"] = 0.6
    path.write_text(json.dumps(made))
    stage = Generate(Generate.Config.model_validate(table))
    assert "calibration" not in stage.identity()
