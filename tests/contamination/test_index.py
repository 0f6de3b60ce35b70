import json
import pickle
import re

import pytest

from wavecoder.contamination import (
    Document,
    Hit,
    Index,
    Reference,
    document_of_record,
    reference_of,
)
from wavecoder.errors import ConfigError
from wavecoder.records import Problem, RawCode

PROBLEM = "HumanEval/3"  # below_zero

RENAMED = """
def went_under(moves):
    # our own words
    purse = 0
    for step in moves:
        purse += step   # add it
        if purse < 0: return True
    return False
"""


def layers(hits: list[Hit], problem: str) -> set[str]:
    return {hit.layer for hit in hits if hit.problem == problem}


@pytest.fixture(scope="module")
def below_zero(problems: list[Problem]) -> Problem:
    return next(one for one in problems if one.id == PROBLEM)


def test_a_verbatim_problem_is_found_by_every_layer(index: Index, below_zero: Problem):
    hits = index.hits(Document(solution=below_zero.prompt + below_zero.canonical_solution))
    assert layers(hits, PROBLEM) == {"exact", "ngram", "ast"}
    assert {hit.score for hit in hits if hit.problem == PROBLEM} == {1.0}
    assert all(hit.benchmark for hit in hits)


def test_a_prompt_alone_is_found_whatever_its_case_and_comment_marks(
    index: Index, below_zero: Problem
):
    prompt = reference_of(below_zero).prompt
    text = "\n".join(f"// {line}" for line in prompt.upper().split("\n"))
    (hit,) = [
        one
        for one in index.hits(Document(instruction=text))
        if one.problem == PROBLEM and one.layer == "exact"
    ]
    assert hit.part == "prompt"
    assert hit.excerpt.replace("// ", "").split() == prompt.upper().rstrip(".\n ").split()


def test_tests_alone_are_found(index: Index, below_zero: Problem):
    hits = index.hits(Document(solution=below_zero.test))
    assert ("exact", "tests") in {(hit.layer, hit.part) for hit in hits if hit.problem == PROBLEM}


def test_renamed_and_reformatted_code_is_found_by_its_syntax_alone(index: Index):
    for language in ("python", None):
        hits = index.hits(Document(solution=RENAMED, language=language))
        assert layers(hits, PROBLEM) == {"ast"}
    assert "purse += step" in hits[0].excerpt


def test_renamed_code_is_found_inside_an_answer(index: Index):
    text = f"Here's how you'd do it, don't worry:\n\n```python\n{RENAMED}```\nThat's it."
    assert layers(index.hits(Document(solution=text)), PROBLEM) == {"ast"}


def test_code_split_over_instruction_and_solution_is_found(index: Index, below_zero: Problem):
    lines = (below_zero.prompt + below_zero.canonical_solution).splitlines()
    half = len(lines) - 4
    document = Document(
        instruction="\n".join(lines[:half]), solution="\n".join(lines[half:]), language="python"
    )
    assert "ast" in layers(index.hits(document), PROBLEM)
    renamed = RENAMED.splitlines()
    document = Document(instruction="\n".join(renamed[:5]), solution="\n".join(renamed[5:]))
    assert layers(index.hits(document), PROBLEM) == {"ast"}


def test_half_of_a_text_is_an_ngram_hit_and_a_third_is_none(index: Index, below_zero: Problem):
    text = reference_of(below_zero).prompt.split()
    for share, expected in ((0.75, {"ngram"}), (0.3, set())):
        part = " ".join(text[: round(len(text) * share)])
        assert layers(index.hits(Document(instruction=part)), PROBLEM) == expected


@pytest.mark.parametrize(
    "code",
    [
        "def add(a, b):\n    return a + b\n",
        "def get(self):\n    return self._value\n",
        "def run():\n    pass\n",
        "for i in range(len(x)):\n    print(x[i])\n",
        "",
    ],
)
def test_trivial_code_is_no_hit(index: Index, code: str):
    assert index.hits(Document(solution=code, language="python")) == []


def test_a_short_solution_counts_only_where_it_is_all_of_a_function(index: Index):
    body = "[v for v in items if v not in gone]"
    alone = Document(solution=f"def left(items, gone):\n    out = {body}\n    return out\n")
    assert [hit.layer for hit in index.hits(alone)] == ["ast"]
    more = "".join(f"    log.write({number}, items)\n" for number in range(12))
    inside = Document(solution=f"def work(items, gone, log):\n{more}    return {body}\n")
    assert index.hits(inside) == []


def test_rust_is_found_in_rust(index: Index, problems: list[Problem]):
    rust = next(one for one in problems if one.id == "Rust/3")
    code = re.sub(r"\bbalance\b", "purse", rust.declaration + rust.canonical_solution)
    hits = index.hits(Document(solution=code.replace("below_zero", "check_it"), language="rust"))
    assert "ast" in layers(hits, "Rust/3")


def test_buggy_sides_are_found(index: Index, problems: list[Problem]):
    rust = next(one for one in problems if one.id == "Rust/0")
    hits = index.hits(Document(solution=rust.declaration + rust.buggy_solution, language="rust"))
    assert "exact" in layers(hits, "Rust/0")


def test_raw_code_of_a_run_is_a_document(index: Index, below_zero: Problem):
    raw = RawCode(
        id="1",
        language="python",
        name="below_zero",
        code=below_zero.prompt.split('"""')[0].rstrip() + "\n" + below_zero.canonical_solution,
        docstring=None,
        source="directory:src",
        path="a.py",
        start_line=1,
        end_line=9,
        content_hash="0",
    )
    assert "ast" in layers(index.hits(document_of_record(raw)), PROBLEM)


def test_layers_are_optional(index: Index, below_zero: Problem):
    document = Document(solution=below_zero.prompt + below_zero.canonical_solution)
    assert {hit.layer for hit in index.hits(document, ("ngram",))} == {"ngram"}
    only = Index.build([reference_of(below_zero)], ("exact",))
    assert only.layers == ("exact",)
    assert {hit.layer for hit in only.hits(document)} == {"exact"}


def test_an_unknown_layer_is_named():
    with pytest.raises(ConfigError, match=r"no layer 'ngrams'\. Did you mean 'ngram'\?"):
        Index.build([], ("ngrams",))


def test_an_index_of_no_problem_finds_nothing():
    assert Index.build([]).hits(Document(solution=RENAMED)) == []


def test_an_index_can_be_pickled(index: Index):
    copy = pickle.loads(pickle.dumps(index))
    assert copy.hits(Document(solution=RENAMED)) == index.hits(Document(solution=RENAMED))


def test_a_reference_without_a_language_is_read_in_the_one_it_parses_in():
    reference = Reference("own", "1", None, "", (RENAMED,), (RENAMED,), "")
    index = Index.build([reference])
    assert index.names[0].language == "python"
    again = RENAMED.replace("purse", "wallet").replace("went_under", "is_low")
    assert {hit.layer for hit in index.hits(Document(solution=again))} >= {"ast"}


def test_a_row_of_ten_megabytes_is_looked_at(index: Index):
    filler = "".join(f"x{number} = y{number % 7} * {number}\n" for number in range(450_000))
    assert len(filler) > 8_000_000
    found = index.hits(Document(solution=filler + RENAMED + filler[:2_000_000], language="python"))
    assert layers(found, PROBLEM) == {"ast"}


def test_text_that_is_no_unicode_is_looked_at(index: Index):
    text = json.loads('"\\ud800"') + RENAMED
    assert layers(index.hits(Document(solution=text)), PROBLEM) == {"ast"}
