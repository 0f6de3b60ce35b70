import gzip
import json
import re
import sysconfig
from itertools import islice
from pathlib import Path

import pytest

from wavecoder.collect.filters.lookalikes import BENCHMARKS_VARIABLE, Lookalike
from wavecoder.errors import ConfigError
from wavecoder.languages import functions
from wavecoder.records import RawCode, digest

BENCHMARKS = Path(__file__).parents[3].parent / "shared" / "benchmarks"
PACK = {
    "python": "python",
    "js": "javascript",
    "java": "java",
    "go": "go",
    "cpp": "cpp",
    "rust": "rust",
}
ORDINARY = """
def mean_of_columns(table, skipped):
    sums = {}
    for row in table:
        for name, value in row.items():
            if name not in skipped:
                sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}
"""


def raw(code, language="python", name="f", docstring=None):
    return RawCode(
        id=digest(code),
        language=language,
        name=name,
        code=code,
        docstring=docstring,
        source="directory:a",
        path="a/b",
        start_line=1,
        end_line=1,
        content_hash=digest(code),
    )


@pytest.fixture(scope="module")
def rule():
    return Lookalike(Lookalike.Config(benchmarks=BENCHMARKS))


def lookalike(folder, **options):
    return Lookalike(Lookalike.Config(benchmarks=folder, **options))


def rows(path):
    return [json.loads(line) for line in (BENCHMARKS / path).read_text().splitlines()]


def solution(row, language, field="canonical_solution"):
    """Return the function that a row of HumanEvalPack asks for, as it would be collected."""
    return list(functions(row["declaration"] + row[field], language))[-1]


def reasons(rule, found):
    refusals = [rule.check(one) for one in found]
    return {refusal and refusal[0] for refusal in refusals}


@pytest.mark.parametrize("file", PACK)
def test_every_solution_of_humanevalpack_is_caught(file, rule):
    language = PACK[file]
    spans = [solution(row, language) for row in rows(f"humanevalpack/{file}.jsonl")]
    assert len(spans) == 164
    as_is = (raw(span.code, language, span.name) for span in spans)
    assert reasons(rule, as_is) == {"benchmark_exact"}
    mark = "#" if language == "python" else "//"
    respaced = (
        raw(span.code.replace("    ", "  ").replace("\n", f"  {mark} why\n\n"), language, span.name)
        for span in spans
    )
    assert reasons(rule, respaced) == {"benchmark_exact"}
    renamed = (
        raw(re.sub(rf"\b{span.name.split('.')[-1]}\b", "mine", span.code), language, "A.mine")
        for span in spans
    )
    assert reasons(rule, renamed) == {"benchmark_exact"}


def test_every_buggy_solution_is_caught(rule):
    found = rows("humanevalpack/python.jsonl")
    spans = [solution(row, "python", "buggy_solution") for row in found]
    assert reasons(rule, (raw(span.code, name=span.name) for span in spans)) == {"benchmark_exact"}


def test_every_solution_of_mbpp_and_evalplus_is_caught(rule):
    programs = [row["code"].replace("\r\n", "\n") for row in rows("mbpp/mbpp.jsonl")]
    for file in ("humanevalplus/HumanEvalPlus-v0.1.10", "mbppplus/MbppPlus-v0.2.0"):
        with gzip.open(BENCHMARKS / f"{file}.jsonl.gz", "rt") as lines:
            found = [json.loads(line) for line in lines]
        programs += [row["prompt"] + row["canonical_solution"] for row in found]
    spans = [span for program in programs for span in functions(program, "python")]
    assert len(spans) > 1_500
    assert reasons(rule, (raw(span.code, name=span.name) for span in spans)) == {"benchmark_exact"}


def test_a_changed_solution_is_caught_by_its_runs(rule):
    code = """
def has_close_elements(numbers, threshold):
    numbers = list(numbers)
    for idx, elem in enumerate(numbers):
        for idx2, elem2 in enumerate(numbers):
            if idx != idx2:
                distance = abs(elem - elem2)
                if distance < threshold:
                    return True
    return False
"""
    reason, detail = rule.check(raw(code, name="has_close_elements"))
    assert reason == "benchmark_ngram"
    assert re.fullmatch(r"\d\d% of its runs of 10 tokens are in the solution of \w+/0", detail)
    # Half of it is another function's.
    assert rule.check(raw(code + ORDINARY.split("\n", 2)[2])) is None


def test_a_problems_text_in_a_doc_comment_is_caught(rule):
    text = rows("humanevalpack/python.jsonl")[0]["docstring"]
    reason, detail = rule.check(raw(ORDINARY, docstring=text))
    assert reason == "benchmark_ngram"
    assert detail.startswith("100% of its doc comment's runs of 10 words are in the text of ")
    assert detail.endswith("/0")
    reason, detail = rule.check(raw(ORDINARY, docstring=f"Compare the floats.\n\n{text[:120]}"))
    assert reason == "benchmark_ngram"
    few = " ".join(text.split()[:9])
    assert rule.check(raw(ORDINARY, docstring=f"{few} anything else that is said of it")) is None
    assert rule.check(raw(ORDINARY, docstring="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")) is None


def test_ordinary_functions_are_kept(rule):
    assert rule.check(raw(ORDINARY, docstring="Return the mean of each column.")) is None
    library = Path(sysconfig.get_path("stdlib"))
    spans = [
        span
        for file in sorted(library.glob("*.py"))
        for span in functions(file.read_text("utf-8", "replace"), "python")
        if 50 <= len(span.code) <= 800  # operator.pow is a problem's, in every letter
    ]
    refused = {
        span.name
        for span in islice(spans, 4_000)
        if rule.check(raw(span.code, name=span.name, docstring=span.docstring))
    }
    assert len(spans) > 3_000
    # bisect.py and heapq.py are textbook code, and yet no problem's.
    assert refused == set()


def test_a_signature_alone_is_not_enough(rule):
    row = rows("humanevalpack/python.jsonl")[11]
    code = row["declaration"].split("\n\n")[-1].strip() + "\n    return a ^ b"
    assert rule.check(raw(code, name=row["entry_point"])) is None


def problem(**fields):
    code = "def triple(x):\n    return [x, x, x, 'three times the same thing']\n"
    return {"task_id": 7, "text": "Give a thing three times in a list.", "code": code, **fields}


def write(folder, name, *found):
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in found)
    if name.endswith(".json"):
        text = json.dumps(found)
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "b.json"])
def test_the_same_benchmark_in_any_file_has_the_same_digest(name, tmp_path):
    ours = lookalike(write(tmp_path / "ours", name, problem()))
    theirs = lookalike(write(tmp_path / "theirs", "z.jsonl", problem()))
    assert ours.config.model_dump() == theirs.config.model_dump()
    code = "def mine(x):\n  return [x,x,x,'three times the same thing']"
    assert ours.check(raw(code, name="mine")) == (
        "benchmark_exact",
        "its tokens are those of MBPP/7's solution",
    )


def test_other_benchmarks_have_another_digest_that_a_recipe_can_hold_to(tmp_path):
    one = write(tmp_path / "one", "a.jsonl", problem())
    other = write(tmp_path / "other", "a.jsonl", problem(text="Give it thrice."))
    held = lookalike(one).config.digest
    assert lookalike(other).config.digest != held
    assert lookalike(one, digest=held).config.digest == held
    with pytest.raises(ConfigError, match=f"their digest is .*, lookalike.digest is {held}"):
        lookalike(other, digest=held)


def test_the_variable_names_the_folder_where_the_recipe_does_not(tmp_path, monkeypatch):
    monkeypatch.delenv(BENCHMARKS_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"or set {BENCHMARKS_VARIABLE} to the folder"):
        lookalike(None)
    folder = write(tmp_path / "one", "a.jsonl", problem())
    monkeypatch.setenv(BENCHMARKS_VARIABLE, str(folder))
    assert lookalike(None).config.digest == lookalike(folder).config.digest


def test_a_folder_without_benchmarks_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="There is no folder"):
        lookalike(tmp_path / "nowhere")
    (tmp_path / "a.json").write_text('{"figures": [1]}')
    with pytest.raises(ConfigError, match="has no benchmark"):
        lookalike(tmp_path)
    (tmp_path / "b.jsonl").write_text('{"task_id": ')
    with pytest.raises(ConfigError, match=r"Cannot read the benchmark .*b\.jsonl"):
        lookalike(tmp_path)
