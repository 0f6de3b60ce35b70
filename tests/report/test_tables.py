import json
from textwrap import dedent

import pytest

from wavecoder.records import Rejected, Status
from wavecoder.report import score_tables, scores_as_json
from wavecoder.report.grid import Table, draw
from wavecoder.report.scores import published

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
TITLES = ("Python", "JavaScript", "Java", "Go", "C++", "Rust")


def lines(text):
    return [line.rstrip() for line in text.splitlines()]


def block(text, title):
    """The part of the text under that title."""
    return next(part for part in text.split("\n\n") if part.startswith(title))


def test_a_small_case_word_for_word(measure, build):
    outcomes = [
        build.trial("humaneval", 0),
        build.trial("humaneval", 1, "passed", "wrong"),
        build.trial("humaneval", 2, "wrong"),
        build.trial("humaneval", 3, "compile_error"),
        build.trial("mbpp", 11),
    ]
    settings = {"prompt": "chat", "temperature": 0.0, "top_p": 1.0, "seed": 0, "limit": 4}
    text = score_tables(measure(*outcomes, model="local@12", **settings))
    # Wilson's intervals of 2 of 4, 1 of 4 and 1 of 1 are 15.0–85.0, 4.6–69.9 and 20.7–100.
    assert text == dedent("""\
        Model local@12, asked by the prompt chat, greedy, seed 0.
        humaneval: only 4 of its 164 problems, cut by limit 4; no published figure is beside it.
        mbpp: only 1 of its 500 problems, cut by limit 4; no published figure is beside it.

        Scores: the unbiased estimate of pass@k in %, and its 95 % interval
        ----------------------------------------------------------------------------
        benchmark  rule       problems  samples  metric  score          95 %  differ
        ----------------------------------------------------------------------------
        humaneval  published         4        1  pass@1   50.0   15.0 – 85.0
                   strict                        pass@1   25.0    4.6 – 69.9       1
        mbpp       both              1        1  pass@1  100.0  20.7 – 100.0
        differ: programs that pass by one rule and not by the other.

        Programs by verdict
        --------------------------------------------
        benchmark  rule       passed  wrong  compile
        --------------------------------------------
        humaneval  published       2      1        1
                   strict          1      2        1
        mbpp       both            1      0        0

        HumanEval and MBPP, as in Table 3 of the WaveCoder paper: pass@1 in %
        ------------------------------------------------
        model             params  data  HumanEval   MBPP
        ------------------------------------------------
        this run                             50.0  100.0
        this run, strict                     25.0  100.0""")


def test_nothing_is_wider_than_a_terminal(measure, build):
    names = [f"humaneval{kind}-{one}" for kind in ("fix", "synthesize") for one in LANGUAGES]
    outcomes = [
        build.trial(name, number, status, "passed", index, bug_type="variable misuse")
        for name in names
        for number, status in enumerate(Status)
        for index in range(10)
    ]
    text = score_tables(measure(*outcomes, model="m" * 80, temperature=0.2, top_p=0.95))
    assert max(map(len, text.splitlines())) <= 100
    assert "humanevalsynthesize-javascript" in text


def test_rules_that_agree_are_one_row(measure, build):
    text = score_tables(measure(build.trial("humaneval", 0), build.trial("humaneval", 1, "wrong")))
    assert "humaneval  both         2        1  pass@1   50.0" in text
    assert "humaneval  both       1      1" in text
    assert "differ" not in text


def test_verdicts_may_differ_where_scores_do_not(measure, build):
    text = score_tables(measure(build.trial("humaneval", 0, "error", "wrong")))
    assert "humaneval  both " in block(text, "Scores")
    assert lines(block(text, "Programs by verdict"))[4:] == [
        "humaneval  published      0      1",
        "           strict         1      0",
    ]


def test_table_3_has_the_published_rows_of_what_is_whole(measure, build):
    text = score_tables(measure(build.trial("mbpp", 11, "wrong"), whole=("humaneval",)))
    rows = lines(block(text, "HumanEval and MBPP, as in Table 3"))
    assert rows[2] == "model                           params  data    HumanEval  MBPP"
    assert rows[4] == "this run                                            100.0   0.0"
    assert rows[5] == "GPT-4                                –     –  85.4 / 67.0"
    assert "WaveCoder-Ultra-6.7B              6.7B  130K         78.6" in rows
    assert "WaveCoder-Ultra-6.7B, released    6.7B     –         79.9" in rows
    assert "arXiv 2312.14187v5, Table 3" in rows[-2]
    text = score_tables(measure(whole=("humaneval", "mbpp")))
    assert "WaveCoder-Ultra-6.7B              6.7B  130K         78.6   64.4" in text
    assert "only" not in text


def test_table_4_has_six_languages_and_their_average(measure, build):
    whole = [f"humanevalfix-{language}" for language in LANGUAGES]
    rows = lines(block(score_tables(measure(whole=whole)), "HumanEvalFix, as in Table 4"))
    assert rows[2].split() == [
        "model",
        "Python",
        "JavaScript",
        "Java",
        "Go",
        "C++",
        "Rust",
        "average",
    ]
    assert rows[4].split() == ["this", "run", *["100.0"] * 7]
    ultra = "WaveCoder-Ultra-6.7B 58.5 57.3 61.0 53.0 50.0 37.2 52.8"
    assert ultra.split() in [row.split() for row in rows]
    released = "WaveCoder-Ultra-6.7B, released – – – – – – 52.3"
    assert released.split() in [row.split() for row in rows]


def test_table_5_blanks_what_was_cut(measure, build):
    whole = [f"humanevalexplain-{language}" for language in LANGUAGES[1:]]
    cut = build.trial("humanevalexplain-python", 0)
    text = score_tables(measure(cut, whole=whole))
    rows = [row.split() for row in block(text, "HumanEvalExplain, as in Table 5").splitlines()]
    assert ["WaveCoder-Ultra-6.7B", "50.0", "54.3", "34.8", "51.2", "36.6"] in rows
    assert not any("released" in row[1:2] for row in rows), "they have an average and nothing else"
    assert "humanevalexplain-python: only 1 of its 164 problems" in text


def test_a_language_that_was_not_asked_keeps_its_published_figures(measure):
    text = score_tables(measure(whole=["humanevalfix-go"]))
    rows = [row.split() for row in block(text, "HumanEvalFix, as in Table 4").splitlines()]
    assert ["this", "run", "–", "–", "–", "100.0", "–", "–", "–"] in rows
    assert ["WaveCoder-Ultra-6.7B", "58.5", "57.3", "61.0", "53.0", "50.0", "37.2", "52.8"] in rows


def test_where_the_rules_differ_the_paper_table_has_both(measure, build):
    artifact = measure(
        *(
            build.trial("humaneval", n, "passed", "wrong" if n < 82 else "passed")
            for n in range(164)
        )
    )
    rows = lines(block(score_tables(artifact), "HumanEval and MBPP"))
    assert rows[4].split() == ["this", "run", "100.0", "–"]
    assert rows[5].split() == ["this", "run,", "strict", "50.0", "–"]


def test_the_strict_rule_alone_compares_with_nothing(measure, build):
    artifact = measure(*(build.trial("humaneval", n, None, "passed") for n in range(164)))
    text = score_tables(artifact)
    assert "run by the strict rule alone" in text
    assert "GPT-4" not in text


def test_bugs_by_language(measure, build):
    outcomes = [
        build.trial("humanevalfix-go", 0, bug_type="value misuse"),
        build.trial("humanevalfix-go", 1, "passed", "wrong", bug_type="value misuse"),
        build.trial("humanevalfix-cpp", 0, "wrong", bug_type="value misuse"),
        build.trial("humanevalfix-cpp", 1, bug_type="excess logic"),
    ]
    text = score_tables(measure(*outcomes))
    assert lines(block(text, "humanevalfix by kind of bug"))[2:] == [
        "kind of bug           Go    C++",
        "-------------------------------",
        "excess logic           –  100.0",
        "value misuse  100.0/50.0    0.0",
        "all           100.0/50.0   50.0",
        "Where the rules differ: published / strict.",
    ]


def test_what_ran_without_a_sandbox_is_said(measure, build):
    one = build.trial("humaneval", 0)
    loose = one.published.model_copy(update={"isolated": False})
    outcomes = [one.model_copy(update={"published": loose, "strict": loose})]
    assert "humaneval: 2 program runs without a sandbox" in score_tables(measure(*outcomes))


def test_missing_completions_are_said(measure, build):
    gone = [
        Rejected(id=f"humaneval:Humaneval/{n}:0", reason="model_refused", detail="too long")
        for n in (1, 2)
    ]
    text = score_tables(measure(build.trial("humaneval", 0), *gone))
    assert "humaneval: 2 completions missing, as no model replied (model_refused 2)" in text
    text = score_tables(measure(*gone))
    assert "Scores" not in text
    assert "model_refused 2" in text


def test_what_the_machine_broke_is_said(measure, build):
    outcomes = [build.trial("humaneval", 0, "harness"), build.trial("humaneval", 1)]
    text = score_tables(measure(*outcomes))
    assert "humaneval: by either rule, 1 run broken by the machine" in text
    assert "1 problem left without a score" in " ".join(text.split())
    text = score_tables(measure(build.trial("humaneval", 0, "passed", "harness")))
    assert "humaneval: by the strict rule, 1 run broken" in text


def test_a_benchmark_of_your_own_has_scores(measure, build):
    text = score_tables(measure(build.trial("doubling", 0), limit=1))
    assert "doubling: at most its first 1 problem, cut by limit 1." in text
    assert "doubling   both         1        1  pass@1  100.0" in text


def test_uneven_samples(measure, build):
    outcomes = [build.trial("humaneval", 0, index=index) for index in range(10)]
    text = score_tables(measure(*outcomes, build.trial("humaneval", 1)))
    assert "1–10" in text
    assert "pass@10      –             –" in text, "not every problem had ten"


def test_an_artifact_of_nothing(measure):
    assert score_tables(measure()) == ""
    assert scores_as_json(measure())["benchmarks"] == {}


def test_a_label_without_room_stands_on_its_own_line():
    table = Table("T", ("a", "b" * 91), (("long" * 5, "1"), ("x", "2")), left=1)
    assert draw(table).splitlines()[4:] == ["long" * 5, " " * 99 + "1", "x" + " " * 98 + "2"]


def test_as_json(measure, build):
    outcomes = [
        build.trial("humanevalfix-go", 0, bug_type="value misuse"),
        build.trial("humanevalfix-go", 1, "passed", "timeout", bug_type="value misuse"),
    ]
    found = json.loads(json.dumps(scores_as_json(measure(*outcomes, model="m@1", limit=2))))
    assert (found["model"], found["limit"], found["averages"]) == ("m@1", 2, {})
    one = found["benchmarks"]["humanevalfix-go"]
    assert (one["problems"], one["of"], one["whole"], one["differ"]) == (2, 164, False, 1)
    assert one["rules"]["published"]["pass@1"]["value"] == 1
    strict = one["rules"]["strict"]
    assert strict["pass@1"]["value"] == 0.5
    assert strict["verdicts"]["timeout"] == strict["passed"] == 1
    assert one["bug_types"]["strict"]["value misuse"]["value"] == 0.5
    assert "cut by limit 2" in found["notes"][0]
    whole = [f"humanevalfix-{language}" for language in published()["languages"]]
    found = scores_as_json(measure(whole=whole))
    assert found["averages"] == {"humanevalfix": {"published": 1.0, "strict": 1.0}}


@pytest.mark.parametrize("title", ["Table 3", "Table 4", "Table 5"])
def test_a_table_without_trials_is_not_printed(measure, title):
    assert title not in score_tables(measure(whole=["humaneval+"]))
