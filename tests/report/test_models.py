"""Several models of one run: their rows, what each gains on the base, and ablations."""

import json
import math
from itertools import product

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import ArtifactError
from wavecoder.records import Mode, Rejected
from wavecoder.report import figures, score_tables, scores_as_json
from wavecoder.report.ablations import ablation_tables
from wavecoder.report.grid import signed
from wavecoder.report.metrics import Paired, paired, sign_test
from wavecoder.report.page import render
from wavecoder.report.scores import published, read_results
from wavecoder.report.tables import tables

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")


def by_title(artifact: Artifact, words: str):
    (found,) = [one for one in tables(read_results(artifact)) if words in one.title]
    return found


def in_all(family: str, right: int) -> dict[str, tuple[int, int]]:
    """That many problems of a family pass in each language, of all."""
    return {f"{family}-{language}": (right, 164) for language in LANGUAGES}


def test_a_row_for_each_model_base_first(measure_trained):
    passed = {"base": {"humaneval": (1, 4)}, "tuned": {"humaneval": (3, 4)}}
    artifact = measure_trained([("tuned", 90, {})], passed, base_prompt="completion", seed=7)
    text = score_tables(artifact)
    assert (
        "Models base (tiny), tuned (tiny, tuned), asked by the prompt chat, base by completion, "
        "greedy, seed 7." in text.replace("\n", " ")
    )
    assert by_title(artifact, "Scores:").rows == (
        ("humaneval", "base", "both", "4", "1", "pass@1", "25.0", "4.6 – 69.9"),
        ("", "tuned", "both", "4", "1", "pass@1", "75.0", "30.1 – 95.4"),
    )
    assert by_title(artifact, "Against base").rows == (
        ("humaneval", "tuned", "both", "25.0", "75.0", "+50.0", "2", "0", "0.500"),
    )
    assert [row[:3] for row in by_title(artifact, "verdict").rows] == [
        ("humaneval", "base", "both"),
        ("", "tuned", "both"),
    ]
    assert text.count("only 4 of its 164 problems") == 1, "what is true of all is said once"
    assert max(map(len, text.splitlines())) <= 100


def test_models_stand_beside_the_papers_rows(measure_trained, prices):
    passed = {"base": {"humaneval": (41, 164)}, "tuned": {"humaneval": (82, 164)}}
    artifact = measure_trained([("tuned", 90, {})], passed)
    rows = by_title(artifact, "Table 3").rows
    assert [row[0] for row in rows[:3]] == ["this run: base", "this run: tuned", "GPT-4"]
    assert [row[-2] for row in rows[:2]] == ["25.0", "50.0"]
    found = {one.name: one.value for one in figures({"evaluate": artifact}, prices)}
    assert found["pass@1/base/humaneval/published"] == 0.25
    assert found["pass@1/tuned/humaneval/strict"] == 0.5
    assert found["gained/tuned/humaneval/published"] == 41
    assert found["lost/tuned/humaneval/published"] == 0


def test_one_model_that_was_cut_short_takes_the_published_rows_away(measure_trained):
    passed = {"base": {"humaneval": (41, 164)}, "tuned": {"humaneval": (8, 16)}}
    artifact = measure_trained([("tuned", 90, {})], passed)
    assert not [one for one in tables(read_results(artifact)) if "Table 3" in one.title]


def test_as_json_each_model_has_its_own(measure_trained):
    passed = {"base": {"humaneval": (1, 4)}, "tuned": {"humaneval": (3, 4)}}
    found = json.loads(json.dumps(scores_as_json(measure_trained([("tuned", 90, {})], passed))))
    assert [found["models"][name]["dialogues"] for name in ("base", "tuned")] == [0, 90]
    rules = found["models"]["tuned"]["benchmarks"]["humaneval"]["rules"]
    assert rules["strict"]["passed"] == 3
    assert found["comparisons"][0] == {
        "model": "tuned",
        "benchmark": "humaneval",
        "mode": "published",
        "base": 0.25,
        "value": 0.75,
        "problems": 4,
        "gained": 2,
        "lost": 0,
        "p": 0.5,
    }


def test_a_missing_completion_belongs_to_its_model(measure_trained):
    gone = Rejected(id="tuned/humaneval:Humaneval/3:0", reason="model_failed", detail="silence")
    passed = {"base": {"humaneval": (1, 4)}, "tuned": {"humaneval": (1, 3)}}
    results = read_results(measure_trained([("tuned", 9, {})], passed, outcomes=[gone]))
    base, tuned = (scores.named("humaneval") for scores in results.models)
    assert (base.missing.total(), tuned.missing.total(), tuned.problems) == (0, 1, 4)
    assert results.comparisons[0].paired.problems == 3


def test_a_model_alone_has_a_name_and_nothing_to_compare(measure_trained):
    artifact = measure_trained([("tuned", 9, {})], {"tuned": {"humaneval": (1, 4)}})
    results = read_results(artifact)
    assert not results.comparisons
    assert by_title(artifact, "Scores:").rows[0][:2] == ("humaneval", "tuned")


def test_a_damaged_list_of_models_is_one_sentence(measure_trained):
    artifact = measure_trained([("tuned", 9, {})], {"tuned": {"humaneval": (1, 4)}})
    (artifact.files / "checkpoints.json").write_text('{"name": 1}')
    with pytest.raises(ArtifactError, match="no list of checkpoints"):
        read_results(artifact)


def test_problems_gained_and_lost_by_hand(build):
    def trials(*verdicts):
        return [
            build.trial("humaneval", number, verdict, index=index)
            for number, samples in enumerate(verdicts)
            for index, verdict in enumerate(samples.split())
        ]

    ours = trials("passed", "wrong", "passed wrong", "harness", "passed passed", "passed")
    theirs = trials("wrong", "passed", "wrong wrong", "passed", "passed", "passed")
    assert paired(ours, theirs, mode=Mode.PUBLISHED) == Paired(5, gained=2, lost=1, p=1.0)


@pytest.mark.parametrize(("gained", "lost"), list(product(range(8), repeat=2)))
def test_the_sign_test_counts_every_way_to_fall_so_unevenly(gained, lost):
    ways = list(product((0, 1), repeat=gained + lost))
    far = [way for way in ways if abs(2 * sum(way) - len(way)) >= abs(gained - lost)]
    assert sign_test(gained, lost) == pytest.approx(len(far) / len(ways))


def test_the_sign_test_of_many_problems():
    assert sign_test(10, 0) == pytest.approx(2 / 2**10)
    assert sign_test(5, 0) > 0.05 > sign_test(6, 0)
    assert 0 < sign_test(600, 400) < 1e-9
    assert math.isclose(sign_test(5000, 5000), 1.0)


WITHOUT = {"no-repair": "repair", "no-words": "summarization"}


@pytest.fixture
def ablated(measure_trained):
    """A base, all tasks in two sizes, and two variants without a task."""
    variants = [("all", 400, {}), ("all-small", 300, {"repair": 1.0})]
    variants += [(name, 300, {task: 0.0}) for name, task in WITHOUT.items()]
    score = {"base": 41, "all": 123, "all-small": 82, "no-repair": 41, "no-words": 82}
    passed = {name: {"humaneval": (right, 164)} for name, right in score.items()}
    for name in ("base", "all", "all-small", "no-repair"):
        passed[name] |= in_all("humanevalfix", score[name])
    return measure_trained(variants, passed)


def test_tasks_left_out_are_held_against_all_tasks_of_the_same_size(ablated):
    table = by_title(ablated, "Tasks left out")
    header = ("model", "trained on", "dialogues", "HumanEval", "Fix average")
    assert table.header == header
    assert table.rows[:5] == (
        ("base", "", "", "25.0", "25.0"),
        ("all", "all tasks", "400", "75.0 (+50.0)", "75.0 (+50.0)"),
        ("all-small", "all tasks", "300", "50.0 (+25.0)", "50.0 (+25.0)"),
        ("no-repair", "without repair", "300", "25.0 (-25.0)", "25.0 (-25.0)"),
        ("no-words", "without summarization", "300", "50.0 (+0.0)", ""),
    )


def test_the_papers_own_figures_stand_beside_with_their_source(ablated):
    table = by_title(ablated, "Tasks left out")
    assert table.rows[5:8] == (
        ("paper: DeepseekCoder-6.7B", "", "", "49.4", "29.0"),
        ("paper: WaveCoder-DS-6.7B", "all tasks", "20K", "64.0 (+14.6)", "49.4 (+20.4)"),
        ("paper", "without repair", "", "60.9 (-3.1)", "15.7 (-33.7)"),
    )
    assert len(table.rows) == 11
    assert "Table 6" in table.note
    assert "Tasks left out" in score_tables(ablated)
    assert "Sizes of the dataset" not in score_tables(ablated)  # the sizes stand there, too


def test_a_slice_has_no_published_figures_beside_it(measure_trained):
    passed = {name: {"humaneval": (2, 4)} for name in ("base", "all", "less")}
    artifact = measure_trained([("all", 4, {}), ("less", 3, {"repair": 0.0})], passed)
    table = by_title(artifact, "Tasks left out")
    assert [row[0] for row in table.rows] == ["base", "all", "less"]
    assert "paper" not in table.note


def test_variants_that_differ_in_size_alone(measure_trained):
    passed = {"base": (41, 164), "five": (82, 164), "one": (66, 164)}
    artifact = measure_trained(
        [("five", 5000, {}), ("one", 1000, {})],
        {name: {"humaneval": right} for name, right in passed.items()},
    )
    table = by_title(artifact, "Sizes")
    assert table.rows[:3] == (
        ("base", "", "", "25.0"),
        ("one", "all tasks", "1,000", "40.2 (+15.2)"),
        ("five", "all tasks", "5,000", "50.0 (+25.0)"),
    )
    assert table.rows[4][1:] == ("", "1K", "44.9 (+11.3)")
    assert not [one for one in ablation_tables(read_results(artifact)) if "Tasks" in one.title]


def test_by_the_strict_rule_only_where_that_says_something_else(measure_trained, build):
    outcomes = [
        build.trial("humaneval", number, "passed", strict, model=model)
        for model in ("base", "one", "two")
        for number, strict in enumerate(("passed", "wrong"))
    ]
    artifact = measure_trained([("one", 1, {}), ("two", 2, {})], {}, outcomes)
    titles = [one.title for one in ablation_tables(read_results(artifact))]
    assert titles == [
        "Sizes of the dataset: pass@1 in %",
        "Sizes of the dataset: pass@1 in % by the strict rule",
    ]


@pytest.mark.parametrize(("points", "text"), [(-0.01, "+0.0"), (0.06, "+0.1"), (-2.5, "-2.5")])
def test_no_difference_has_no_minus(points, text):
    assert signed(points) == text


def test_one_variant_is_no_ablation(measure_trained):
    passed = {"base": {"humaneval": (1, 4)}, "tuned": {"humaneval": (2, 4)}}
    artifact = measure_trained([("tuned", 9, {})], passed)
    assert not ablation_tables(read_results(artifact))


def test_published_ablations_fit_their_columns():
    found = published()["ablations"]
    rows = [*found["tasks"]["rows"], *found["sizes"]["rows"]]
    assert {len(row["scores"]) for row in rows} == {len(found["columns"])}


def test_the_page_has_a_bar_for_each_model(ablated, prices):
    html = render({"evaluate": ablated}, 0, prices=prices)
    assert html.count("<td>humaneval, ") == 5
    assert "tiny, no-repair" in html
