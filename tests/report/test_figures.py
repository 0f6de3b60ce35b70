import pytest

from wavecoder.errors import ArtifactError
from wavecoder.llm import Price, Prices
from wavecoder.records import Case, Instance, Level, Proof
from wavecoder.report.figures import cover_radii, figures, raw_codes, spending, tally
from wavecoder.report.page import render


def test_the_figures_equal_the_counts_by_hand(upstream, prices):
    found = {figure.id: figure.value for figure in figures(upstream, prices)}
    assert found == {
        "collect/inputs": 11,
        "collect/kept": 8,
        "collect/rejected/too_long": 2,
        "collect/rejected/duplicate": 1,
        "collect/tokens/prompt": 0,
        "collect/tokens/completion": 0,
        "select/inputs": 8,
        "select/kept": 6,
        "select/rejected/not_selected": 2,
        "select/tokens/prompt": 0,
        "select/tokens/completion": 0,
        "select/cover_radius": 0.25,
        "select/distance/selected/mean": 0.4,
        "select/distance/selected/p50": 0.5,
        "select/distance/selected/p95": 0.9,
        "select/distance/selected/p99": 0.95,
        "select/distance/selected/max": 1.0,
        "select/near_duplicate_picks/selected": 0.0,
        "select/near_duplicate_picks/random": 0.25,
        "generate/inputs": 6,
        "generate/kept": 3,
        "generate/rejected/rule_complete": 1,
        "generate/rejected/not_different": 1,
        "generate/rejected/no_sections": 1,
        "generate/tokens/prompt": 60,
        "generate/tokens/completion": 12,
        "generate/tokens/prompt/writer@1": 60,
        "generate/tokens/completion/writer@1": 12,
        # 60 at $1 and 12 at $2 a million, for 3 accepted instances
        "generate/cost_usd/writer@1": pytest.approx(84e-6),
        "generate/cost_usd": pytest.approx(84e-6),
        "generate/cost_per_accepted_usd": pytest.approx(28e-6),
        "generate/acceptance": 0.5,
        "generate/instances/generation/java": 1,
        "generate/instances/generation/python": 1,
        "generate/instances/summarization/python": 1,
        "generate/acceptance/generation": pytest.approx(2 / 3),
        "generate/acceptance/repair": 0,
        "generate/acceptance/summarization": 0.5,
        "generate/rules/generation/answers": 1,
        "generate/rules/generation/complete": pytest.approx(2 / 3),
        "generate/rules/summarization/accurate": 1,
        "generate/verdicts": 4,
        "generate/verdicts/passed": 3,
    }


def test_a_figure_says_its_stage_and_its_name(upstream, prices):
    for figure in figures(upstream, prices):
        assert figure.id == f"{figure.stage}/{figure.name}"


def test_models_are_those_of_accepted_and_refused_instances(upstream):
    counts = tally(upstream["generate"])
    assert counts.generators == {"writer@1"}
    assert counts.discriminators == {"judge@2"}
    assert counts.tasks == ["generation", "repair", "summarization"]
    assert counts.shown_accepted == counts.shown_refused == []


def test_what_is_shown_is_spread_over_tasks_and_reasons(make_artifact, build):
    raw = [build.raw_code(number) for number in range(40)]
    outcomes = [
        *(build.instance(one, "generation", {"answers": True}) for one in raw[:10]),
        *(build.instance(one, "repair", {"fixed": True}) for one in raw[10:12]),
        *(build.bare(number, "no_task") for number in range(12, 20)),
        *(build.refused(build.instance(one), "not_different") for one in raw[20:30]),
        *(build.bare(number, "cut_off", reply="…") for number in range(30, 31)),
    ]
    artifact = make_artifact("generate", Instance, outcomes)
    counts = tally(artifact, 5)
    assert [one.task for one in counts.shown_accepted] == [
        "generation",
        "repair",
        "generation",
        "repair",
        "generation",
    ]
    # Those with something to read come first.
    assert [one.reason for one in counts.shown_refused] == [
        "cut_off",
        *["not_different"] * 4,
    ]
    everything = tally(artifact, 100)
    assert len(everything.shown_accepted) == 12
    assert len(everything.shown_refused) == 19
    assert everything.shown_refused[-1].reason == "no_task"


def test_unknown_is_no_figure_and_one_unknown_model_leaves_the_sum_unknown(
    make_artifact, build, prices
):
    outcomes = [build.instance(build.raw_code(number)) for number in range(4)]
    usage = {"writer@1": (100, 50), "stranger": (1000, 10)}
    artifact = make_artifact("generate", Instance, outcomes, usage=usage)
    found = {one.name: one.value for one in figures({"generate": artifact}, prices)}
    assert found["tokens/prompt/stranger"] == 4000
    assert found["tokens/completion/stranger"] == 40
    assert found["tokens/prompt"] == 4400
    # 400 at $1 and 200 at $2 a million
    assert found["cost_usd/writer@1"] == pytest.approx(800e-6)
    assert "cost_usd/stranger" not in found
    assert "cost_usd" not in found
    assert "cost_per_accepted_usd" not in found
    spent = spending(artifact, prices)
    assert [one.cost for one in spent.models] == [None, pytest.approx(800e-6)]
    assert spent.cost is spent.per_kept is None


def test_a_reply_without_a_count_leaves_the_cost_unknown(make_artifact, build, prices):
    outcomes = [build.instance(build.raw_code(number)) for number in range(4)]
    artifact = make_artifact("generate", Instance, outcomes, usage={"writer@1": (None, 50)})
    found = {one.name: one.value for one in figures({"generate": artifact}, prices)}
    assert found["uncounted/writer@1"] == 4
    assert "cost_usd" not in found
    (one,) = spending(artifact, prices).models
    assert one.cost is None
    assert one.counted == pytest.approx(400e-6)


def test_a_model_on_this_machine_costs_nothing_unless_the_user_says_so(make_artifact, build):
    prices = Prices({"writer@1": Price(prompt=1, completion=2)})
    outcomes = [build.instance(build.raw_code(number)) for number in range(4)]
    usage = {"writer@1": (100, 50), "mine@2": (70, 70)}
    artifact = make_artifact("generate", Instance, outcomes, usage=usage)
    artifact.files.mkdir(exist_ok=True)
    (artifact.files / "free.json").write_text('{"models": ["mine@2", "writer@1"]}')
    assert [one.cost for one in spending(artifact, prices).models] == [0, pytest.approx(800e-6)]
    assert spending(artifact, prices).per_kept == pytest.approx(200e-6)


def test_failed_and_not_needed_ones_are_no_refusals(make_artifact, build, prices):
    raw = [build.raw_code(number) for number in range(12)]
    failed = build.refused(build.instance(raw[7]), "model_failed")  # with the draft it had
    outcomes = [
        *(build.instance(one, "oss-instruct") for one in raw[:3]),
        build.instance(raw[3], "oss-instruct", {"answers": True}, retried=True),
        build.refused(build.instance(raw[4], "oss-instruct"), "syntax_error"),
        build.bare(5, "no_task"),
        build.bare(6, "model_refused", task="oss-instruct"),
        failed,
        *(build.bare(number, "not_needed") for number in range(8, 12)),
    ]
    artifact = make_artifact("generate", Instance, outcomes)
    counts = tally(artifact, 12)
    assert counts.failed == {"model_refused": 1, "model_failed": 1}
    assert counts.failures["model_refused"] == "because of model_refused"
    assert (counts.not_needed, counts.unsuited, counts.retried) == (4, 1, 1)
    assert counts.settled == 6
    assert {one.reason for one in counts.shown_refused} == {"syntax_error", "no_task"}
    # Nobody judged the others, so they count for no rule.
    assert counts.judged == {("oss-instruct", "answers"): 1}
    found = {one.name: one.value for one in figures({"generate": artifact}, prices)}
    assert found["failed"] == 2
    assert found["not_needed"] == 4
    assert found["retried"] == 1
    assert found["acceptance"] == pytest.approx(4 / 6)
    assert found["acceptance/oss-instruct"] == pytest.approx(4 / 5)
    assert "acceptance/generation" not in found, "it failed, so it was not tried on anything"
    assert found["rules/oss-instruct/answers"] == 1


def test_cover_radii_are_read_where_they_are(upstream):
    assert cover_radii(upstream["select"]) == [3.0, 2.5, 2.5, 1.0, 0.5, 0.25]
    assert cover_radii(upstream["collect"]) == []


@pytest.mark.parametrize("damage", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_damaged_radii_are_one_sentence(upstream, prices, damage):
    (upstream["select"].files / "radii.npy").write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"radii\.npy is damaged"):
        figures(upstream, prices)


def test_raw_code_is_found_in_the_last_stage_that_wrote_it(upstream):
    assert raw_codes(upstream, ["raw5", "gone"]).keys() == {"raw5"}
    assert raw_codes(upstream, ["raw7"]) == {}, "raw7 was not selected"
    assert raw_codes({"collect": upstream["collect"]}, ["raw7"]).keys() == {"raw7"}
    assert raw_codes({}, ["raw5"]) == {}


def test_levels_stand_where_code_was_run_and_a_rubber_stamp_is_told(make_artifact, build, prices):
    case = Case(call="[1]", expected="2", other="3")
    proofs = [
        Proof(level=Level.PROVED, how="bug_shows", cases=(case,), detail="1 of 1 tests fail"),
        Proof(level=Level.RAN, how="ran", cases=(case,), detail="it was run"),
        None,
    ]
    kept = [
        build.instance(
            build.raw_code(number), "repair", {"purpose": True}, proof=proofs[number % 3]
        )
        for number in range(20)
    ]
    for refused, stamp in ((1, True), (2, False)):
        rejected = [
            build.refused(
                build.instance(build.raw_code(100 + number), "repair", {"purpose": False}), "no"
            )
            for number in range(refused)
        ]
        artifact = make_artifact("generate", Instance, [*kept, *rejected], folder=f"of-{refused}")
        found = {one.name: one.value for one in figures({"generate": artifact}, prices)}
        levels = {level: found[f"level/repair/{level}"] for level in Level}
        assert levels == {"proved": 7, "ran": 7, "parsed": 6}
        assert (found["verdicts"], found["verdicts/passed"]) == (20 + refused, 20)
        page = render({"generate": artifact}, 0, prices=prices)
        assert ("rubber stamp" in page) is stamp
        assert '<td class="figure">7</td>' in page


def test_regenerated_solutions_are_counted_by_what_became_of_them(make_artifact, build, prices):
    ones = [build.instance(build.raw_code(number)) for number in range(4)]
    became = ["rewritten", "rewritten", "syntax_error", None]
    outcomes = [
        one.model_copy(update={"regenerated": what}) for one, what in zip(ones, became, strict=True)
    ]
    made = {"regenerate": make_artifact("regenerate", Instance, outcomes)}
    found = {figure.id: figure.value for figure in figures(made, prices)}
    assert found["regenerate/solutions/rewritten"] == 2
    assert found["regenerate/solutions/syntax_error"] == 1
    assert found["regenerate/solutions/not_asked"] == 1
    assert sum(value for name, value in found.items() if "/level/" in name) == 4
