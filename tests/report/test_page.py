import re
from html.parser import HTMLParser

import pytest

from wavecoder.records import Instance, Rejected
from wavecoder.report.page import _curve, render

VOID = {"meta", "line", "polyline", "circle", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """The elements and the text of a page; it complains of tags that do not pair."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in {"td", "th", "dt", "dd", "p"}:
            self.text.append(" ")

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def test_the_page_asks_nothing_of_the_network(upstream, prices):
    html = render(upstream, 12, prices=prices)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not [found for found in page.attributes if found[1] in {"src", "href", "srcset"}]
    assert not re.search(r"url\(|@import|https?://", html)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_it_holds_the_funnel_the_tables_and_the_cards(upstream, prices):
    words = Page(render(upstream, 12, prices=prices)).words
    for part in (
        "instances in the dataset",
        "Generator writer@1",
        "Discriminator judge@2",
        "Random seed 0",
        upstream["collect"].manifest.fingerprint,
        "collect: 11 → 8",
        "too_long 2 18.2 %",
        "select: 8 → 6",
        "not_selected 2 25.0 %",
        "Task java python all generation 1 1 2 repair 0 0 0 summarization 0 1 1",
        "rule complete 2 of 3 66.7 %",
        "accepted 1 of 2 50.0 %",
        "from 3.000 with the first to 0.250 with 6",
        "Accepted: 3 of 3",
        "Refused: 3 of 3",
        "raw3 · package:stdlib · lib/m3.py:3–4 · generator writer@1 · discriminator judge@2 "
        "· round 1, attempt 0 · examples good-1, bad-1",
        "✗ complete: because complete",
        "no_sections: because of no_sections",
        "I am sorry.",
        "return a + 5",  # raw code of the refusal without an instance
    ):
        assert part in words, part


@pytest.mark.parametrize("field", ["code", "reply", "reason", "path", "model", "task", "bug"])
def test_what_came_from_code_or_a_model_is_inert(field, make_artifact, build, prices):
    evil = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    raw = build.raw_code(0, code=evil if field == "code" else "")
    if field == "path":
        raw = raw.model_copy(update={"path": evil, "source": evil, "name": evil})
    one = build.instance(raw, "generation", {"answers": True})
    changes = {
        "reply": {"instruction": evil, "information": evil, "solution": evil, "reply": evil},
        "model": {"generator": evil, "discriminator": evil, "example_ids": (evil,)},
        "task": {"task": evil, "language": evil, "target_language": evil},
        "bug": {"bug": evil, "information": evil},
    }
    one = one.model_copy(update=changes.get(field, {}))
    if field == "reason":
        rule = one.verdict.rules[0].model_copy(update={"reason": evil, "rule": evil})
        verdict = one.verdict.model_copy(update={"rules": (rule,), "analysis": evil})
        one = one.model_copy(update={"verdict": verdict})
    refusal = build.refused(one, evil if field == "reason" else "rule_answers")
    refusal = refusal.model_copy(update={"id": "other", "detail": evil, "reply": evil})
    html = render(
        {"generate": make_artifact("generate", Instance, [one, refusal])}, 12, prices=prices
    )
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert not [found for found in page.attributes if found[1].startswith("on")]
    assert "<script>alert(1)</script>" in "".join(page.text)


def test_the_page_says_what_it_cost(make_artifact, build, prices):
    outcomes = [build.instance(build.raw_code(number)) for number in range(4)]
    usage = {"writer@1": (1_000_000, 500_000), "stranger": (7, 3)}
    one = make_artifact("generate", Instance, outcomes, usage={"writer@1": (1_000_000, 500_000)})
    words = Page(render({"generate": one}, 0, prices=prices)).words
    # 4 million at $1 and 2 million at $2 a million
    assert "cost $8.00" in words
    assert "cost per accepted instance $2.00" in words
    assert "generate writer@1 4,000,000 2,000,000 0 $8.00 1 and 2, contract, 2026-11-10" in words
    two = make_artifact("other", Instance, outcomes, usage=usage)
    words = Page(render({"generate": two}, 0, prices=prices)).words
    assert "generate stranger 28 12 0 unknown unknown" in words
    assert "cost unknown" in words
    assert "cost per accepted instance unknown" in words


def test_replies_without_a_count_are_said(make_artifact, build, prices):
    outcomes = [build.instance(build.raw_code(number)) for number in range(2)]
    one = make_artifact("generate", Instance, outcomes, usage={"writer@1": (None, 500_000)})
    words = Page(render({"generate": one}, 0, prices=prices)).words
    assert "writer@1 0 1,000,000 2 unknown, $2.00 for what was counted" in words


def test_failed_and_not_needed_ones_stand_apart(make_artifact, build, prices):
    raw = [build.raw_code(number) for number in range(8)]
    outcomes = [
        build.instance(raw[0], "evol-instruct"),
        build.instance(raw[1], "evol-instruct", retried=True),
        build.refused(build.instance(raw[2], "evol-instruct"), "syntax_error"),
        build.bare(3, "model_failed", task="evol-instruct"),
        *(build.bare(number, "not_needed") for number in range(4, 8)),
    ]
    one = make_artifact("generate", Instance, outcomes)
    words = Page(render({"generate": one}, 12, prices=prices)).words
    for part in (
        "of 3 functions accepted 66.7 %",
        "model_failed 1 failed: no model replied, so nothing was judged; the first says: because "
        "of model_failed",
        "not_needed 4 left over",
        "retried 1 failed at first",
        "Discriminator nothing was judged",
        "evol-instruct accepted 2 of 3 66.7 %",
        "Refused: 1 of 1",
        "Not judged.",
    ):
        assert part in words, part
    assert "rule " not in words.split("How many were accepted")[1].split("Of the functions")[0]


def test_a_run_of_evaluate_alone_has_scores_and_nothing_of_instances(measure, build, prices):
    outcomes = [
        build.trial("humanevalfix-go", 0, bug_type="value misuse"),
        build.trial("humanevalfix-go", 1, "passed", "wrong", bug_type="value misuse"),
    ]
    artifact = measure(*outcomes, whole=["humaneval"], model="local@12", prompt="chat", seed=0)
    html = render({"evaluate": artifact}, 12, prices=prices)
    page = Page(html)
    for part in (
        "Random seed 0",
        "evaluate: 166 → 166",
        "Model local@12, asked by the prompt chat, greedy, seed 0.",
        "! humanevalfix-go: only 2 of its 164 problems",
        "humaneval 100.0 %",
        "humanevalfix-go, strict 50.0 %",
        "humanevalfix-go published 2 1 pass@1 100.0 34.2 – 100.0",
        "value misuse 100.0/50.0",
        "this run 100.0 –",
        "WaveCoder-Ultra-6.7B 6.7B 130K 78.6 64.4",
        "Sources: arXiv 2312.14187v5, Table 3",
    ):
        assert part in page.words, part
    for part in ("nstance", "Accepted", "Refused"):
        assert part not in page.words, part
    # The line of an interval begins and ends where the interval does: 9.5 to 90.5.
    assert 'class="span" style="margin-left: 9.45%; width: 81.09%"' in html


def test_scores_stand_beside_instances(upstream, measure, build, prices):
    whole = {**upstream, "evaluate": measure(build.trial("mbpp", 11))}
    words = Page(render(whole, 12, prices=prices)).words
    assert "Scores ! mbpp: only 1 of its 500" in words
    assert "Accepted: 3 of 3" in words


def test_a_run_in_which_no_model_answered_says_so(measure, prices):
    gone = Rejected(id="mbpp:Mbpp/11:0", reason="model_failed", detail="it failed")
    words = Page(render({"evaluate": measure(gone)}, 12, prices=prices)).words
    assert "Scores ! mbpp: only 1 of its 500 problems" in words
    assert "1 completion missing" in words
    assert "pass@1" not in words


def test_what_a_model_or_a_benchmark_is_called_is_inert(measure, build, prices):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    trial = build.trial("humanevalfix-go", 0, bug_type=evil, language=evil)
    one = trial.model_copy(update={"benchmark": evil, "id": "other"})
    gone = Rejected(id=f"{evil}:Mbpp/11:0", reason=evil, detail=evil)
    page = Page(
        render({"evaluate": measure(trial, one, gone, model=evil, prompt=evil)}, 12, prices=prices)
    )
    assert not {"script", "img"} & set(page.tags)
    assert not [found for found in page.attributes if found[1].startswith("on")]
    assert "<script>alert(1)</script>" in page.words


def test_partial_runs_have_a_page(upstream, prices):
    for stages in (["collect"], ["collect", "select"], ["select"], ["generate"]):
        words = Page(render({stage: upstream[stage] for stage in stages}, 12, prices=prices)).words
        assert ("there are no instances" in words) == ("generate" not in stages)
        assert ("Cover radius" in words) == ("select" in stages)


def test_a_run_without_accepted_instances_has_a_page(make_artifact, build, upstream, prices):
    one = build.refused(build.instance(build.raw_code(0)), "not_different")
    generate = make_artifact("other", Instance, [one])
    words = Page(render({**upstream, "generate": generate}, 12, prices=prices)).words
    assert "No instance was accepted." in words
    assert "nothing was judged" in words


@pytest.mark.parametrize("outcomes", [[], None])
def test_a_run_of_nothing_has_a_page(outcomes, make_artifact, build, prices):
    outcomes = [build.bare(0, "model_refused")] if outcomes is None else outcomes
    generate = make_artifact("generate", Instance, outcomes)
    words = Page(render({"generate": generate}, 12, prices=prices)).words
    assert "No instance was accepted." in words
    assert "Nothing was refused." in words
    assert ("no model replied" in words) == bool(outcomes)


def test_no_cards_where_none_are_wanted(upstream, prices):
    assert "article" not in Page(render(upstream, 0, prices=prices)).tags


@pytest.mark.parametrize(
    "radii", [[1.0], [0.0], [0.0, 0.0], [1.5, 1.5, 1.5], [3.0, 1.0], [1e-6, 0.0], [2e9, 1.0, 0.0]]
)
def test_the_curve_stays_inside_its_plot(radii):
    curve = _curve(radii)
    points = [tuple(map(float, point.split(","))) for point in curve.points.split()]
    assert len(points) == len(radii)
    for x, y in [*points, curve.end]:
        assert 0 <= x <= curve.width
        assert 0 <= y <= curve.height
    assert all(0 <= tick.at <= curve.height for tick in curve.y_ticks)
    assert 2 <= len(curve.y_ticks) <= 12


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    curve = _curve([20_000.0 - pick for pick in range(20_000)])
    points = curve.points.split()
    assert len(points) <= 502
    assert points[-1] == f"{curve.end[0]},{curve.end[1]}"
    assert len(curve.x_ticks) <= 10
