import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from wavecoder.contamination import HASHED, load_index
from wavecoder.decontaminate import Options, decontaminate, engine
from wavecoder.errors import ConfigError, StoppedError
from wavecoder.executor import map_ordered
from wavecoder.pipeline import Recipe, RunOptions, run
from wavecoder.progress import Silent

Write = Callable[..., Path]
Rows = list[dict[str, Any]]

HUMANEVAL = Options(benchmarks=("humaneval",))


def removed(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "removed.jsonl").read_text().splitlines()]


def test_a_dataset_is_written_without_what_was_found(rows: Rows, write: Write, tmp_path: Path):
    path, out = write(rows), tmp_path / "out"
    report = decontaminate(path, out, HUMANEVAL)
    assert (report.rows, report.removed, report.clean) == (7, 1, 6)
    kept = path.read_bytes().splitlines(keepends=True)
    del kept[3]
    assert (out / "clean.jsonl").read_bytes() == b"".join(kept)
    assert {(one["row"], one["id"], one["benchmark"], one["problem"]) for one in removed(out)} == {
        (4, "leak", "humaneval", "HumanEval/3")
    }
    assert {one["layer"] for one in removed(out)} == {"exact", "ngram", "ast"}
    assert all("balance" in one["excerpt"] for one in removed(out))
    told = json.loads((out / "report.json").read_text())
    assert told["hits"] == {layer: {"humaneval": 1} for layer in ("exact", "ngram", "ast")}
    assert "| humaneval | 1 | 1 | 1 | 1 |" in (out / "report.md").read_text()


def test_processes_decide_nothing(rows: Rows, write: Write, tmp_path: Path):
    path = write(rows * 200)
    for processes, name in ((1, "a"), (2, "b")):
        options = Options(benchmarks=("humaneval",), processes=processes)
        decontaminate(path, tmp_path / name, options)
    for name in ("clean.jsonl", "removed.jsonl", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_list_and_a_packed_file_come_back_in_their_form(rows: Rows, tmp_path: Path):
    listed, packed = tmp_path / "data.json", tmp_path / "data.jsonl.gz"
    listed.write_text(json.dumps(rows, indent=1))
    packed.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    clean = [row for row in rows if row["id"] != "leak"]
    for path in (listed, packed):
        decontaminate(path, tmp_path / "out", HUMANEVAL)
    assert json.loads((tmp_path / "out" / "clean.json").read_text()) == clean
    text = gzip.decompress((tmp_path / "out" / "clean.jsonl.gz").read_bytes()).decode()
    assert [json.loads(line) for line in text.splitlines()] == clean


def test_parquet_keeps_its_columns(rows: Rows, tmp_path: Path):
    table = pa.Table.from_pylist([row | {"extra": [1, None]} for row in rows])
    parquet.write_table(table, tmp_path / "data.parquet")
    decontaminate(tmp_path / "data.parquet", tmp_path / "out", HUMANEVAL)
    found = parquet.read_table(tmp_path / "out" / "clean.parquet")
    assert found.schema == table.schema
    assert found.to_pylist() == [row for row in table.to_pylist() if row["id"] != "leak"]


def test_a_list_longer_than_what_is_read_at_once(rows: Rows, tmp_path: Path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([*rows, {"instruction": "x" * 3_000_000}, *rows], indent=2))
    report = decontaminate(path, tmp_path / "out", HUMANEVAL)
    assert (report.rows, report.removed) == (15, 2)
    assert len(json.loads((tmp_path / "out" / "clean.json").read_text())) == 13


def test_an_index_stands_for_the_text(
    rows: Rows, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, file = write(rows), tmp_path / "hashes.idx"
    first = decontaminate(path, None, Options(benchmarks=("humaneval",), write_index=file))
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path))
    second = decontaminate(path, None, Options(index=file))
    assert first == second
    assert load_index(file).benchmarks == ("humaneval",)


def test_an_index_has_no_text_for_other_layers(rows: Rows, write: Write, tmp_path: Path):
    file = tmp_path / "hashes.idx"
    decontaminate(write(rows), None, Options(benchmarks=("humaneval",), write_index=file))
    with pytest.raises(ConfigError, match="embedding needs an embedder"):
        decontaminate(write(rows), None, Options(index=file, layers=("embedding",)))


def test_a_file_of_the_users_own(rows: Rows, write: Write):
    mine = write([rows[3]], "mine.jsonl")
    report = decontaminate(write(rows), None, Options(benchmarks=(str(mine),)))
    assert report.hits["exact"] == {"mine": 1}
    assert report.removed == 1


def test_nothing_is_written_without_a_folder(rows: Rows, write: Write, tmp_path: Path):
    path = write(rows)
    decontaminate(path, None, HUMANEVAL)
    assert list(tmp_path.iterdir()) == [path]


def test_lines_that_are_no_row_are_counted_and_the_first_is_named(
    rows: Rows, write: Write, tmp_path: Path
):
    path = write(rows, end='{"a": 1}\nnot json\n\n[1]\n')
    report = decontaminate(path, tmp_path / "out", HUMANEVAL)
    assert report.unread == {"invalid_json": 1, "no_object": 1, "no_text": 1}
    assert report.first_unread.startswith("row 8: it has no text")
    assert (report.rows, report.removed, report.clean) == (10, 1, 6)
    assert [one["row"] for one in removed(tmp_path / "out")] == [4, 4, 4, 8, 9, 11]


def test_a_row_of_ten_megabytes(rows: Rows, write: Write, tmp_path: Path):
    long = {"instruction": "x", "output": "y = 1\n" * 1_700_000 + rows[3]["output"]}
    report = decontaminate(write([*rows, long]), None, HUMANEVAL)
    assert (report.rows, report.removed) == (8, 2)


def test_a_row_longer_than_a_row_may_be_is_left_out(rows: Rows, write: Write, tmp_path: Path):
    report = decontaminate(
        write([*rows, {"output": "y" * 17_000_000}]), tmp_path / "out", HUMANEVAL
    )
    assert report.unread == {"line_too_long": 1}
    assert len((tmp_path / "out" / "clean.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("name, text", [("a.jsonl", ""), ("a.jsonl", "\n\n"), ("a.json", "[]")])
def test_an_empty_dataset_is_refused(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match="has no row"):
        decontaminate(tmp_path / name, None, HUMANEVAL)


def test_a_dataset_that_is_not_there_or_of_no_known_form(tmp_path: Path):
    (tmp_path / "data.txt").write_text("x")
    for path, words in (
        (tmp_path / "none.jsonl", "There is no dataset"),
        (tmp_path / "data.txt", "no form that is known"),
        (tmp_path, "no run and no stage"),
    ):
        with pytest.raises(ConfigError, match=words):
            decontaminate(path, None, HUMANEVAL)


def test_a_folder_that_holds_the_dataset_itself_is_refused(
    rows: Rows, write: Write, tmp_path: Path
):
    path = write(rows, "clean.jsonl")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="holds the dataset itself"):
        decontaminate(path, tmp_path, HUMANEVAL)
    assert path.read_bytes() == before


def test_an_unknown_layer_and_an_unknown_benchmark_are_named(rows: Rows, write: Write):
    with pytest.raises(ConfigError, match="no layer 'asts'"):
        decontaminate(write(rows), None, Options(layers=("asts",)))
    with pytest.raises(ConfigError, match=r"no benchmark 'humanevil'\. Did you mean 'humaneval'"):
        decontaminate(write(rows), None, Options(benchmarks=("humanevil",)))


def test_a_benchmark_file_that_changed_or_is_missing_is_named(
    rows: Rows, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "theirs"
    (folder / "mbpp").mkdir(parents=True)
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(folder))
    with pytest.raises(ConfigError, match=r"MbppPlus-v0\.2\.0\.jsonl\.gz is not in"):
        decontaminate(write(rows), None, Options(benchmarks=("mbpp+",)))
    (folder / "mbpp" / "mbpp.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="expected sha256 ccf64ceae9c5"):
        decontaminate(write(rows), None, Options(benchmarks=("mbpp",)))


def test_a_row_of_a_users_file_that_is_no_problem_is_named(rows: Rows, write: Write):
    mine = write(rows, "mine.jsonl", end='{"a": 1}\n')
    with pytest.raises(ConfigError, match=r"Row 8 of .*mine\.jsonl is no problem: it has no text"):
        decontaminate(write(rows), None, Options(benchmarks=(str(mine),)))


def test_the_leakage_is_measured_and_the_nearest_rows_can_be_dropped(
    rows: Rows, write: Write, tmp_path: Path
):
    options = Options(benchmarks=("humaneval",), embedder="lexical")
    report = decontaminate(write(rows), None, options)
    (leakage,) = report.leakage
    assert (leakage.benchmark, leakage.problems) == ("humaneval", 164)
    assert 0 < leakage.mean < leakage.highest < 1
    assert report.removed == 1
    near = Options(
        benchmarks=("humaneval",),
        layers=("embedding",),
        embedder="lexical",
        neighbours=1,
        cosine=0.6,
    )
    report = decontaminate(write(rows), tmp_path / "out", near)
    assert [(one["row"], one["problem"]) for one in removed(tmp_path / "out")] == [
        (4, "HumanEval/3")
    ]
    every = Options(
        benchmarks=("humaneval",), layers=("embedding",), embedder="lexical", neighbours=7
    )
    assert decontaminate(write(rows), None, every).removed == 7


def test_code_that_passes_a_benchmarks_tests_is_found_by_what_it_does(
    rows: Rows, write: Write, tmp_path: Path
):
    ask = "Return True if the given number is prime, and otherwise False."
    right = "def f(k):\n    return k > 1 and not [d for d in range(2, k) if k // d * d == k]\n"
    wrong = right.replace("k > 1", "k > 11")
    takes_two = right.replace("f(k)", "f(k, limit)")
    answers = [f"Here:\n```python\n{code}```" for code in (wrong, right, takes_two)]
    mine = [*rows, *({"instruction": ask, "output": answer} for answer in answers)]
    options = Options(benchmarks=("humaneval",), layers=("ast", "behaviour"), unsandboxed=True)
    report = decontaminate(write(mine), tmp_path / "out", options)
    found = [one for one in removed(tmp_path / "out") if one["layer"] == "behaviour"]
    assert [(one["row"], one["problem"]) for one in found] == [(9, "HumanEval/31")]
    assert report.removed == 2
    assert report.likely >= report.tried >= 2


def test_a_renamed_program_too_short_for_a_proof_by_its_tokens_is_run(
    rows: Rows, write: Write, tmp_path: Path
):
    answers = [
        "def total(one, other):\n    return one + other\n",
        "def total(one, other):\n    return one * other\n",
        'def both(n: int, m: int) -> int:\n    """Whatever."""\n    return n + m  # done\n',
        "def total(one, other, third):\n    return one + other\n",
    ]
    mine = [*rows, *({"instruction": "Go on.", "output": answer} for answer in answers)]
    options = Options(benchmarks=("humaneval",), layers=HASHED, unsandboxed=True)
    before = decontaminate(write(mine), None, options)
    tried = replace(options, layers=(*HASHED, "behaviour"))
    report = decontaminate(write(mine), tmp_path / "out", tried)
    found = [one for one in removed(tmp_path / "out") if one["layer"] == "behaviour"]
    first = len(rows)
    assert [(one["row"], one["problem"]) for one in found] == [
        (first + 1, "HumanEval/53"),
        (first + 3, "HumanEval/53"),
    ]
    assert report.removed == before.removed + 2


def test_problems_that_call_their_functions_alike_are_told_apart(
    rows: Rows, write: Write, tmp_path: Path
):
    # HumanEval/53 is `add(x, y)`, HumanEval/85 `add(lst)`.
    code = "def g(v):\n    return sum(v[i] for i in range(1, len(v), 2) if v[i] % 2 == 0)\n"
    options = Options(benchmarks=("humaneval",), layers=("behaviour",), unsandboxed=True)
    mine = [*rows, {"instruction": "Go on.", "output": code}]
    decontaminate(write(mine), tmp_path / "out", options)
    found = [(one["row"], one["problem"]) for one in removed(tmp_path / "out")]
    assert (len(mine), "HumanEval/85") in found


def test_rows_that_only_look_alike_crowd_nothing_out(rows: Rows, write: Write, tmp_path: Path):
    # HumanEval/60 is the sum of the numbers to n; the numbers of a body are not looked at.
    ask = "sum_to_n is a function that sums numbers from 1 to n."
    decoys = [f"def f(k):\n    return sum(range(k + {n}))\n" for n in range(5, 15)]
    own = "def g(k):\n    s = 0\n    while k:\n        s, k = s + k, k - 1\n    return s\n"
    copies = ["def h(v):\n    return sum(range(v + 1))\n"] * 7
    mine = [
        *({"instruction": "Go on.", "output": one} for one in (*copies, *decoys)),
        {"instruction": ask, "output": own},
    ]
    options = Options(benchmarks=("humaneval",), layers=("behaviour",), unsandboxed=True)
    decontaminate(write(mine), tmp_path / "out", options)
    found = {one["row"] for one in removed(tmp_path / "out") if one["problem"] == "HumanEval/60"}
    assert found == {*range(1, 8), len(mine)}


class _Stopping(Silent):
    """Asks to stop after some rows, and notes how many were looked at."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after, self.stop, self.rows = after, Event(), []

    def step(self, what: str, done: int, total: int | None) -> None:
        self.rows.append(done)
        if done >= self.after:
            self.stop.set()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    processes: int, rows: Rows, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, out, whole = write([*rows * 300, {"text": 3}]), tmp_path / "out", tmp_path / "whole"
    layers = ("exact", "ngram", "ast", "behaviour")
    options = Options(
        benchmarks=("humaneval",), layers=layers, processes=processes, unsandboxed=True
    )
    decontaminate(path, whole, options)
    shown = _Stopping(1000)
    with pytest.raises(StoppedError, match="goes on where it was"):
        decontaminate(path, out, options, progress=shown, stop=shown.stop)
    kept = (out / "looked.partial").read_bytes()
    assert [one.name for one in out.iterdir()] == ["looked.partial"]
    (out / "looked.partial").write_bytes(kept + kept[-100:-1])  # as a kill tears a line
    seen: list[int] = []

    def noting(work, items, **rest):
        noted = []
        for one in items:
            seen.extend(one.numbers)
            noted.append(one)
        return map_ordered(work, noted, **rest)

    monkeypatch.setattr(engine, "map_ordered", noting)
    decontaminate(path, out, options)
    assert seen and min(seen) > 1000  # what was looked at is not looked at again
    for name in ("clean.jsonl", "removed.jsonl", "report.json", "report.md"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not (out / "looked.partial").exists()


def test_what_was_looked_at_in_another_dataset_is_not_gone_on_with(
    rows: Rows, write: Write, tmp_path: Path
):
    path, out = write(rows * 300), tmp_path / "out"
    shown = _Stopping(1000)
    with pytest.raises(StoppedError):
        decontaminate(path, out, HUMANEVAL, progress=shown, stop=shown.stop)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row["id"] != "leak"))
    assert decontaminate(path, out, HUMANEVAL).removed == 0


def test_a_run_without_a_folder_writes_nothing_and_says_no_more(rows: Rows, write: Write):
    shown = _Stopping(1000)
    with pytest.raises(StoppedError, match=r"again\.$"):
        decontaminate(write(rows * 300), None, HUMANEVAL, progress=shown, stop=shown.stop)


def test_a_run_is_a_dataset(rows: Rows, tmp_path: Path):
    source = tmp_path / "src"
    source.mkdir()
    (source / "a.py").write_text(rows[3]["output"] + "\n\n" + rows[0]["output"] + "\n")
    off = dict.fromkeys(("length", "trivial", "contaminated"), False)
    recipe = Recipe(collect={"sources": [{"directory": str(source)}], "filters": off})
    run(recipe, tmp_path / "run", RunOptions(progress=Silent(), stop=Event()))
    report = decontaminate(tmp_path / "run", tmp_path / "out", HUMANEVAL)
    assert (report.rows, report.removed) == (2, 1)
    names = parquet.read_table(tmp_path / "out" / "clean.parquet")["name"].to_pylist()
    assert names == ["port_0"]
