import pytest

from wavecoder.errors import ArtifactError
from wavecoder.records import Instance
from wavecoder.report.figures import cover_radii, figures, raw_codes, tally


def test_the_figures_equal_the_counts_by_hand(upstream):
    found = {figure.id: figure.value for figure in figures(upstream)}
    assert found == {
        "collect/inputs": 11,
        "collect/kept": 8,
        "collect/rejected/too_long": 2,
        "collect/rejected/duplicate": 1,
        "collect/tokens/prompt": 110,
        "collect/tokens/completion": 22,
        "select/inputs": 8,
        "select/kept": 6,
        "select/rejected/not_selected": 2,
        "select/tokens/prompt": 80,
        "select/tokens/completion": 16,
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
    }


def test_a_figure_says_its_stage_and_its_name(upstream):
    for figure in figures(upstream):
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


def test_cover_radii_are_read_where_they_are(upstream):
    assert cover_radii(upstream["select"]) == [3.0, 2.5, 2.5, 1.0, 0.5, 0.25]
    assert cover_radii(upstream["collect"]) == []


@pytest.mark.parametrize("damage", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_damaged_radii_are_one_sentence(upstream, damage):
    (upstream["select"].files / "radii.npy").write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"radii\.npy is damaged"):
        figures(upstream)


def test_raw_code_is_found_in_the_last_stage_that_wrote_it(upstream):
    assert raw_codes(upstream, ["raw5", "gone"]).keys() == {"raw5"}
    assert raw_codes(upstream, ["raw7"]) == {}, "raw7 was not selected"
    assert raw_codes({"collect": upstream["collect"]}, ["raw7"]).keys() == {"raw7"}
    assert raw_codes({}, ["raw5"]) == {}
