import pytest
import yaml

from wavecoder.evaluate.benchmarks import benchmark_names
from wavecoder.records import Mode, Rejected, Status
from wavecoder.report.figures import figures
from wavecoder.report.scores import Scores, published, published_text, read_results

PUBLISHED, STRICT = Mode.PUBLISHED, Mode.STRICT


def read_scores(artifact) -> Scores:
    """The scores of the only model."""
    (scores,) = read_results(artifact).models
    return scores


def test_scores_by_both_rules(measure, build):
    outcomes = [
        build.trial("humaneval", 0),
        build.trial("humaneval", 1, "passed", "wrong"),
        build.trial("humaneval", 2, "wrong"),
        build.trial("humaneval", 3, "error", "wrong"),
    ]
    (one,) = read_scores(measure(*outcomes)).benchmarks
    assert (one.name, one.family, one.language) == ("humaneval", "humaneval", "python")
    assert one.by_mode[PUBLISHED][1].value == 2 / 4
    assert one.by_mode[STRICT][1].value == 1 / 4
    assert one.differ == 1
    assert not one.alike
    assert (one.problems, one.size, one.whole) == (4, 164, False)


def test_rules_by_which_the_same_programs_pass_are_alike(measure, build):
    outcomes = (build.trial("humaneval", 0), build.trial("humaneval", 1, "error", "wrong"))
    (one,) = read_scores(measure(*outcomes)).benchmarks
    assert one.alike


def test_equal_scores_of_other_programs_are_not_alike(measure, build):
    outcomes = (
        build.trial("humaneval", 0, "passed", "wrong"),
        build.trial("humaneval", 1, "wrong", "passed"),
    )
    (one,) = read_scores(measure(*outcomes)).benchmarks
    assert one.by_mode[PUBLISHED][1].value == one.by_mode[STRICT][1].value
    assert one.differ == 2
    assert not one.alike


def test_a_run_broken_by_the_machine_differs_from_nothing(measure, build):
    (one,) = read_scores(measure(build.trial("humaneval", 0, "passed", "harness"))).benchmarks
    assert one.differ == 0
    assert not one.alike, "one rule has a score and the other none"


@pytest.mark.parametrize(
    ("samples", "ks"), [(1, [1]), (9, [1]), (10, [1, 10]), (100, [1, 10, 100])]
)
def test_k_up_to_the_number_of_samples(measure, build, samples, ks):
    outcomes = [build.trial("humaneval", 0, index=index) for index in range(samples)]
    (one,) = read_scores(measure(*outcomes)).benchmarks
    assert list(one.by_mode[PUBLISHED]) == ks
    assert one.samples == (samples, samples)


def test_a_completion_that_is_missing_is_a_sample_of_its_problem(measure, build):
    gone = Rejected(id="humaneval:Humaneval/0:1", reason="model_failed", detail="it failed")
    lone = Rejected(id="mine:odd:id/7:0", reason="model_refused", detail="too long")
    found = read_scores(measure(build.trial("humaneval", 0), gone, lone))
    one, other = found.benchmarks
    assert (one.problems, one.samples, one.missing) == (1, (2, 2), {"model_failed": 1})
    assert one.by_mode[PUBLISHED][1].programs == 1
    assert (other.name, other.problems, other.by_mode, other.size) == ("mine", 1, {}, None)


def test_whole_is_every_problem_by_the_published_rule(measure, build):
    found = read_scores(measure(whole=("humaneval",)))
    assert found.named("humaneval").whole
    assert found.named("mbpp") is None
    (one,) = read_scores(
        measure(*(build.trial("mbpp", n, None, "passed") for n in range(500)))
    ).benchmarks
    assert (one.problems, one.size, one.whole) == (500, 500, False)


def test_humanevalexplain_is_the_mean_over_programs(measure, build):
    outcomes = [
        *(build.trial("humanevalexplain-go", 0, index=index) for index in range(3)),
        build.trial("humanevalexplain-go", 1, "wrong"),
    ]
    (one,) = read_scores(measure(*outcomes)).benchmarks
    assert one.by_mode[PUBLISHED][1].value == 3 / 4


def test_bugs_are_scored_where_they_were_shown(measure, build):
    outcomes = [
        build.trial(name, number, status, bug_type=bug)
        for name in ("humanevalfix-rust", "humanevalsynthesize-rust")
        for number, (bug, status) in enumerate(
            [("value misuse", "passed"), ("value misuse", "wrong"), ("excess logic", "wrong")]
        )
    ]
    fix, synthesize = read_scores(measure(*outcomes)).benchmarks
    found = {bug: one.value for bug, one in fix.by_bug[STRICT].items()}
    assert found == {"value misuse": 0.5, "excess logic": 0}
    assert synthesize.by_bug == {}


def test_an_average_is_over_all_six_languages(measure, build):
    names = [f"humanevalfix-{language}" for language in published()["languages"]]
    outcomes = [
        build.trial(name, 0, "wrong" if name.endswith("go") else "passed") for name in names
    ]
    found = read_scores(measure(*outcomes))
    assert found.average("humanevalfix", PUBLISHED) == 5 / 6
    assert found.average("humanevalfixdocs", PUBLISHED) is None
    assert read_scores(measure(*outcomes[1:])).average("humanevalfix", STRICT) is None


def test_the_figures(measure, build, prices):
    outcomes = [
        build.trial("humaneval", 0),
        build.trial("humaneval", 1, "passed", "wrong"),
        build.trial("humaneval", 2, "wrong", "wrong"),
        build.trial("humaneval", 3, "harness", "harness"),
    ]
    found = {one.name: one.value for one in figures({"evaluate": measure(*outcomes)}, prices)}
    assert found == {
        "inputs": 4,
        "kept": 4,
        "tokens/prompt": 0,
        "tokens/completion": 0,
        "pass@1/humaneval/published": 2 / 3,
        "pass@1/humaneval/strict": 1 / 3,
        "verdicts/humaneval/published/passed": 2,
        "verdicts/humaneval/published/wrong": 1,
        "verdicts/humaneval/published/harness": 1,
        "verdicts/humaneval/strict/passed": 1,
        "verdicts/humaneval/strict/wrong": 2,
        "verdicts/humaneval/strict/harness": 1,
        "differ/humaneval": 1,
    }


def test_a_rare_figure_stands_where_there_is_one(measure, build, prices):
    one = build.trial("humaneval", 0, strict=None)
    loose = one.published.model_copy(update={"isolated": False, "status": Status.WRONG})
    bare = one.model_copy(update={"published": loose})
    names = [f"humanevalfix-{language}" for language in published()["languages"]]
    artifact = measure(bare, *(build.trial(name, 0) for name in names))
    found = {one.name: one.value for one in figures({"evaluate": artifact}, prices)}
    assert found["unsandboxed/humaneval"] == 1
    assert found["pass@1/humanevalfix/strict"] == 1
    assert "differ/humaneval" not in found


def test_published_rows_fit_their_tables():
    for table in yaml.safe_load(published_text())["tables"]:
        count = len(table["columns"]) + table["average"]
        assert set(table["columns"].values()) <= set(benchmark_names())
        for group in table["groups"]:
            assert group["source"]
            for row in group["rows"]:
                assert len(row["scores"]) == count, row
                assert len(row.get("about", ())) == len(table["about"]), row


def test_printed_averages_are_those_of_their_rows():
    # The paper rounds, and truncates now and then: all but one row are within 0.1 (its section 5).
    for table in published()["tables"]:
        rows = (
            [row for group in table["groups"] for row in group["rows"]] if table["average"] else []
        )
        for row in rows:
            *languages, average = row["scores"]
            if None not in languages:
                assert sum(languages) / 6 == pytest.approx(average, abs=0.11), row
