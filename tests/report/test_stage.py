import pytest

from wavecoder.errors import ConfigError
from wavecoder.plugins import validate
from wavecoder.records import Figure
from wavecoder.report import Report, figures, render
from wavecoder.report.page import template_text
from wavecoder.stage import run_stage


def report(**table):
    return Report(validate(Report.Config, table, "report"))


def test_the_artifact_holds_the_figures_and_the_page(make_context, upstream):
    artifact = run_stage(report(), make_context("report", upstream))
    assert list(artifact.records(Figure)) == figures(upstream)
    assert artifact.manifest.kept == artifact.manifest.inputs == len(figures(upstream))
    assert (artifact.files / "report.html").read_text(encoding="utf-8") == render(upstream, 12)
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


def test_without_a_stage_before_it_there_is_nothing_to_report(make_context):
    with pytest.raises(ConfigError, match="add collect"):
        run_stage(report(), make_context("report"))
