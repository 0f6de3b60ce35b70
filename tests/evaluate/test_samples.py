import gzip
import json
import os
import re
import tracemalloc
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.evaluate.samples import MOST_CHARACTERS, Kind, Sample, open_samples
from wavecoder.records import Problem


def problems_called(*ids, benchmark="mine"):
    return [
        Problem(
            id=one,
            benchmark=benchmark,
            language="python",
            prompt="",
            entry_point="f",
            canonical_solution="",
            test="",
        )
        for one in ids
    ]


THREE = problems_called("Mine/0", "Mine/1", "Mine/2")
ROWS = [{"task_id": f"Mine/{n}", "completion": f"c{n}"} for n in range(3)]


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="samples.jsonl"):
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return to_file


def refused(path, words, problems=THREE, **options):
    with pytest.raises(ConfigError, match=words) as caught:
        list(open_samples(path, problems, **options))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_human_evals_file(write, humaneval):
    rows = [{"task_id": one.id, "completion": one.canonical_solution} for one in humaneval]
    samples = open_samples(write(rows * 2), humaneval)
    found = list(samples)
    assert found[:164] == [
        Sample(one.id, 0, one.canonical_solution, Kind.COMPLETION) for one in humaneval
    ]
    assert {one.index for one in found[164:]} == {1}
    assert set(samples.counts.values()) == {2}
    assert samples.notes == []
    assert list(samples) == found  # it may be read again


def test_evalpluss_file(write, benchmarks):
    problems = load_benchmark("mbpp+")
    rows = [{"task_id": one.id, "solution": "pass", "other": 1} for one in problems]
    found = list(open_samples(write(rows), problems))
    assert found[0] == Sample("Mbpp/2", 0, "pass", Kind.SOLUTION)
    assert len(found) == 378


def test_a_solution_goes_before_a_completion(write):
    rows = [{**row, "solution": "whole"} for row in ROWS]
    assert {(one.text, one.kind) for one in open_samples(write(rows), THREE)} == {
        ("whole", Kind.SOLUTION)
    }


def test_evalpluss_folder(tmp_path):
    for task in (10, 2, 0):
        folder = tmp_path / f"Mine_{task}"
        folder.mkdir()
        for number in (10, 9):
            (folder / f"{number}.py").write_text(f"{task}.{number}")
        (folder / "notes.txt").write_text("none of it")
        (folder / "a.py").mkdir()
    (tmp_path / "eval_results.json").write_text("{}")
    found = list(open_samples(tmp_path, problems_called("Mine/0", "Mine/2", "Mine/10")))
    assert [(one.task_id, one.index, one.text) for one in found] == [
        ("Mine/0", 0, "0.9"),
        ("Mine/0", 1, "0.10"),
        ("Mine/2", 0, "2.9"),
        ("Mine/2", 1, "2.10"),
        ("Mine/10", 0, "10.9"),
        ("Mine/10", 1, "10.10"),
    ]
    assert {one.kind for one in found} == {Kind.SOLUTION}


def test_bigcodes_list(write):
    path = write(json.dumps([["a", "b"], ["c"], ["d"]], indent=2), "generations.json")
    samples = open_samples(path, THREE)
    assert [(one.task_id, one.index, one.text, one.kind) for one in samples] == [
        ("Mine/0", 0, "a", Kind.SOLUTION),
        ("Mine/0", 1, "b", Kind.SOLUTION),
        ("Mine/1", 0, "c", Kind.SOLUTION),
        ("Mine/2", 0, "d", Kind.SOLUTION),
    ]


def test_bigcode_writes_explain_as_one_list_a_description(write):
    entries = [[f"{task}.{n}"] for task in range(3) for n in range(4)]
    problems = problems_called("Go/0", "Go/1", "Go/2", benchmark="humanevalexplain-go")
    found = list(open_samples(write(json.dumps(entries)), problems))
    assert [(one.task_id, one.index, one.text) for one in found] == [
        (f"Go/{task}", n, f"{task}.{n}") for task in range(3) for n in range(4)
    ]
    refused(write(json.dumps(entries)), "is a list of 12, and the benchmark has 3 problems")


@pytest.mark.parametrize(
    "shape",
    [
        lambda text: text,
        lambda text: [text],
        lambda text: {"completion": text},
        lambda text: {"solution": text, "prompt": "what was asked"},
    ],
)
def test_wavecoders_mbpp_list(write, mbpp, shape):
    entries = [shape(f"program {one.id}") for one in mbpp]
    found = list(open_samples(write(json.dumps(entries)), mbpp))
    assert [(one.task_id, one.text) for one in found] == [
        (f"Mbpp/{n}", f"program Mbpp/{n}") for n in range(11, 511)
    ]


def test_objects_that_name_their_task_stand_in_any_order(write, mbpp):
    entries = [{"task_id": n, "solution": str(n)} for n in reversed(range(11, 511))] * 2
    found = list(open_samples(write(json.dumps(entries)), mbpp))
    assert (found[0].task_id, found[0].text) == ("Mbpp/510", "510")
    assert len(found) == 1000


def test_a_number_stands_for_the_problems_id(write):
    rows = [{"task_id": one, "completion": ""} for one in (0, "1", "Mine/2")]
    assert [one.task_id for one in open_samples(write(rows), THREE)] == [
        "Mine/0",
        "Mine/1",
        "Mine/2",
    ]


@pytest.mark.parametrize("name", ["samples.jsonl.gz", "samples.jsonl"])
def test_a_packed_file_needs_no_name_of_its_own(write, name):
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
    assert len(list(open_samples(write(packed, name), THREE))) == 3


def test_a_mark_at_the_start_blank_lines_and_windows_line_ends(write):
    text = "\ufeff\r\n" + "\r\n\r\n".join(json.dumps(row) for row in ROWS)
    assert [one.text for one in open_samples(write(text), THREE)] == ["c0", "c1", "c2"]
    listed = "\ufeff\n [1, 2, 3]".replace("1, 2, 3", '"a", "b", "c"')
    assert len(list(open_samples(write(listed), THREE))) == 3


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "only prose", "\t\r\n"])
def test_odd_answers_are_given_out_as_they_are(write, text):
    rows = [{**row, "completion": text} for row in ROWS]
    assert {(one.text, one.fault) for one in open_samples(write(rows), THREE)} == {(text, "")}


def test_a_lone_surrogate_is_a_fault_of_the_answer(write):
    rows = [{"task_id": "Mine/0", "completion": "a = '\ud800'"}, *ROWS[1:]]
    first, *others = open_samples(write(rows), THREE)
    assert first.fault == "The answer has a lone surrogate, which no file can hold."
    assert first.text == "a = '?'"
    assert not any(one.fault for one in others)


def test_bytes_that_are_no_utf8_are_a_fault_of_the_answer(write, tmp_path):
    lines = [json.dumps(row).encode() for row in ROWS]
    path = write(b"\n".join([lines[0].replace(b"c0", b"\xff"), *lines[1:]]))
    first, *others = open_samples(path, THREE)
    assert first.fault == "The answer is not UTF-8: byte 0xff."
    assert first.text == "\ufffd"
    assert not any(one.fault for one in others)

    (tmp_path / "folder" / "Mine_0").mkdir(parents=True)
    (tmp_path / "folder" / "Mine_0" / "0.py").write_bytes(b"a = '\xe9'")
    (only,) = open_samples(tmp_path / "folder", THREE[:1])
    assert only.fault == "The answer is not UTF-8: byte 0xe9."
    refused(write(b'["\xff", "", ""]'), "is not UTF-8: byte 2 is 0xff. Write it as UTF-8")


def test_ten_megabytes_are_kept_and_more_than_the_cap_is_cut(write):
    long, over = "x" * 10_000_000, "x" * (MOST_CHARACTERS + 1)
    rows = [{"task_id": f"Mine/{n}", "solution": text} for n, text in enumerate([long, over, ""])]
    first, second, third = open_samples(write(rows), THREE)
    assert (first.text, first.fault) == (long, "")
    assert len(second.text) == MOST_CHARACTERS
    assert second.fault == "The answer has 16777217 characters, more than 16777216."
    assert not third.fault


def test_lines_are_not_held(write):
    rows = [{"task_id": f"Mine/{n % 3}", "completion": "x" * 100_000} for n in range(150)]
    path = write(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in open_samples(path, THREE)) == 150
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # of 15 MB
    finally:
        tracemalloc.stop()


def test_tasks_the_benchmark_does_not_have(write, humaneval):
    path = write([{"task_id": "Mbpp/11", "completion": ""}])
    refused(
        path,
        "has answers for Mbpp/11, which the benchmark, HumanEval/0 to HumanEval/163, does not have",
        humaneval,
    )
    refused(path, "Name the right benchmark", humaneval, partial=True)
    extra = write([*ROWS, *({"task_id": f"Mine/{n}", "completion": ""} for n in range(3, 9))])
    refused(extra, r"for Mine/3, Mine/4, Mine/5 and 3 more, .* or grade the others with --allow-p")
    samples = open_samples(extra, THREE, partial=True)
    assert [one.task_id for one in samples] == ["Mine/0", "Mine/1", "Mine/2"]
    assert samples.notes == ["6 answers are for other problems and are passed over."]


def test_a_task_id_is_shown_without_its_escape_sequences(write):
    path = write([{"task_id": "\x1b[2J\ud800" + "x" * 99, "completion": ""}])
    text = refused(path, re.escape(r"\x1b[2J\ud800xxx"))
    assert "\x1b" not in text
    assert len(text) < 300


def test_missing_tasks(write):
    path = write(ROWS[1:2])
    refused(path, "has no answer for 2 of the benchmark's 3 problems: Mine/0, Mine/2. Add them, or")
    samples = open_samples(path, THREE, partial=True)
    assert [one.task_id for one in samples] == ["Mine/1"]
    assert samples.left_out == ("Mine/0", "Mine/2")
    assert samples.notes == ["2 of 3 problems have no answer and are left out: Mine/0, Mine/2."]


def test_a_list_of_another_length(write):
    refused(write("[[], [], [], []]"), "is a list of 4, and the benchmark has 3 problems. Give one")
    short = write('[["a"], ["b"]]')
    refused(short, "is a list of 2, .* or grade the first ones with --allow-partial")
    samples = open_samples(short, THREE, partial=True)
    assert [one.task_id for one in samples] == ["Mine/0", "Mine/1"]
    assert samples.left_out == ("Mine/2",)


def test_a_task_written_twice_is_pointed_at(write):
    samples = open_samples(write([*ROWS, ROWS[1]]), THREE)
    assert [(one.task_id, one.index) for one in samples][-1] == ("Mine/1", 1)
    assert samples.notes == [
        "Problems have between 1 and 2 answers; Mine/1 has 2. Look for a task written twice."
    ]


@pytest.mark.parametrize("content", ["", "\n\n", "[]", "[[], [], []]", b"\xef\xbb\xbf"])
def test_no_answers(write, content):
    refused(write(content), "has no answers. Give a file that has some")


def test_a_folder_without_answers(tmp_path):
    (tmp_path / "Mine_0").mkdir()
    refused(tmp_path, "has no answers")


ROW = json.dumps(ROWS[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{ROW}\n{{", "Line 2 of .* is not JSON: Expecting property name .* Mend it"),
        (f"{ROW}\n\n{ROW[:-3]}", "Line 3 of .* is not JSON: Unterminated string"),
        ("task_id,completion", "Line 1 of .* is not JSON"),
        ("PK\x03\x04", "Line 1 of .* is not JSON"),
        ('{"task_id": "Mine/0"}', "Line 1 of .* has neither `completion` nor `solution`, but task"),
        ('{"completion": "a"}', "Line 1 of .* has no `task_id`. Say which problem"),
        ('{"task_id": null, "completion": ""}', "Line 1 of .* has null as `task_id`"),
        ('{"task_id": true, "completion": ""}', "Line 1 of .* has true or false as `task_id`"),
        ('{"task_id": "Mine/0", "completion": null}', "Line 1 of .* has null as `completion`, not"),
        ('{"task_id": "Mine/0", "solution": ["a"]}', "has a list as `solution`, not text. Give e"),
        ('{"task_id": 1.5, "solution": ""}', "has a number as `task_id`"),
        ("7", "Line 1 of .* is a number, not an object"),
        ('"text"', "Line 1 of .* is text, not an object"),
        ("[1, 2, 3]", "Entry 0 of .* holds a number, not text. Give programs"),
        ('["a", [["b"]], "c"]', "Entry 1 of .* holds a list, not text"),
        ('["a", {"prompt": 1}, "c"]', "Entry 1 of .* has neither `completion` nor `solution`, but"),
        ('["a", "b"', "samples.jsonl is not JSON: Expecting ',' delimiter"),
        ("[" * 100_000, "is not JSON: it is nested too deeply"),
        ('{"task_id": ' + "9" * 5000 + "}", "Line 1 of .* is not JSON: Exceeds the limit"),
        (gzip.compress(ROW.encode())[:-9], "is a damaged gz file: .* Pack it again"),
        (b"\x1f\x8bno gz at all", "is a damaged gz file"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(write, content, words):
    refused(write(content), words)


def test_a_line_without_end(write):
    refused(write(b"{" + b" " * (64 * 2**20)), "Line 1 of .* has more than 67108864 bytes")


def test_paths_that_are_no_files(tmp_path):
    refused(tmp_path / "none.jsonl", "none.jsonl does not exist. Give the file of answers")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "pipe is not a file or folder")
    refused(tmp_path / ("a" * 300), "cannot be read: File name too long")
    refused(Path("/proc/self/mem"), "cannot be read: Input/output error")
