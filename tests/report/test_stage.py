from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.llm import Prices
from wavecoder.plugins import validate
from wavecoder.records import Figure
from wavecoder.report import Report, figures, render
from wavecoder.report.page import template_text
from wavecoder.report.scores import published_text
from wavecoder.stage import run_stage


def report(**table):
    return Report(validate(Report.Config, table, "report"))


def test_the_artifact_holds_the_figures_and_the_page(make_context, upstream):
    artifact = run_stage(report(), make_context("report", upstream))
    found = figures(upstream, Prices.load())
    assert list(artifact.records(Figure)) == found
    assert artifact.manifest.kept == artifact.manifest.inputs == len(found)
    page = (artifact.files / "report.html").read_text(encoding="utf-8")
    assert page == render(upstream, 12, prices=Prices.load())
    assert [path.name for path in artifact.files.iterdir()] == ["report.html"]


def test_two_reports_of_one_run_are_the_same_bytes(make_context, upstream):
    one, two = (
        run_stage(report(), make_context("report", upstream, folder=folder))
        for folder in ("one", "two")
    )
    assert one.manifest.records_sha256 == two.manifest.records_sha256
    assert (one.files / "report.html").read_bytes() == (two.files / "report.html").read_bytes()


def test_how_many_instances_are_shown_is_an_option(make_context, upstream):
    artifact = run_stage(report(shown=1), make_context("report", upstream))
    page = (artifact.files / "report.html").read_text(encoding="utf-8")
    assert page.count('<article class="card">') == 2
    with pytest.raises(ConfigError, match=r"report\.shown"):
        report(shown=-1)


def test_the_template_is_part_of_the_identity(monkeypatch):
    before = report().identity()
    monkeypatch.setattr("wavecoder.report.stage.template_text", lambda: template_text() + " ")
    assert report().identity() != before


def test_published_figures_are_part_of_the_identity(monkeypatch):
    before = report().identity()
    monkeypatch.setattr("wavecoder.report.stage.published_text", lambda: published_text() + " ")
    assert report().identity() != before


def test_a_run_of_evaluate_alone_is_reported(make_context, measure):
    upstream = {"evaluate": measure(whole=["humaneval"])}
    artifact = run_stage(report(), make_context("report", upstream))
    found = {one.id: one.value for one in artifact.records(Figure)}
    assert found["evaluate/pass@1/humaneval/strict"] == 1
    assert "this run" in (artifact.files / "report.html").read_text(encoding="utf-8")


def test_prices_of_ones_own_decide_the_figures_and_the_identity(
    make_context, upstream, tmp_path: Path
):
    path = tmp_path / "prices.yaml"
    path.write_text("writer: {prompt: 10, completion: 20}")
    artifact = run_stage(report(prices=str(path)), make_context("report", upstream))
    found = {one.id: one.value for one in artifact.records(Figure)}
    assert found["generate/cost_usd"] == pytest.approx(60 * 10e-6 + 12 * 20e-6)
    before = report(prices=str(path)).identity()
    assert before == artifact.manifest.identity
    assert before != report().identity()
    path.write_text("writer: {prompt: 11, completion: 20}")
    assert report(prices=str(path)).identity() != before


def test_prices_that_are_not_there_are_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"Cannot read the prices .*gone\.yaml"):
        report(prices=str(tmp_path / "gone.yaml"))


def test_without_a_stage_before_it_there_is_nothing_to_report(make_context):
    with pytest.raises(ConfigError, match="add collect"):
        run_stage(report(), make_context("report"))
