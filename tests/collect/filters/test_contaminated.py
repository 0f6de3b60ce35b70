import pickle

import pytest

from wavecoder.collect.filters.contaminated import Contaminated
from wavecoder.contamination import SHIPPED, Index, index_checksum, reference_of, save_index
from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.languages import functions
from wavecoder.records import RawCode, digest


def raw(code: str, docstring: str | None = None) -> RawCode:
    return RawCode(
        id=digest(code),
        language="python",
        name="f",
        code=code,
        docstring=docstring,
        source="directory:a",
        path="a/b.py",
        start_line=1,
        end_line=1,
        content_hash=digest(code),
    )


@pytest.fixture
def found() -> Contaminated:
    return Contaminated(Contaminated.Config())


def test_the_problems_of_a_benchmark_are_found_without_its_text(found):
    problems = load_benchmark("humaneval")
    missed = []
    for problem in problems:
        code = problem.prompt + problem.canonical_solution
        span = next(one for one in functions(code, "python") if one.name == problem.entry_point)
        verdict = found.check(raw(span.code, span.docstring))
        if verdict is None or verdict[0] != "contaminated":
            missed.append(problem.id)
        else:
            assert "%" in verdict[1] and "layer" in verdict[1]
    # Their problem is said in a few words, and solved in one line.
    assert len(missed) <= 3, missed


def test_other_code_is_kept(found):
    for code in (
        "def f(self, path):\n    with open(path) as file:\n        return json.load(file)",
        "def g(a, b):\n    return a + b",
        "def h(values):\n    return [one for one in values if one]",
    ):
        assert found.check(raw(code, "Reads a file.")) is None


def test_a_filter_travels_to_a_process_without_its_index(found):
    assert len(pickle.dumps(found)) < 2000
    assert pickle.loads(pickle.dumps(found)).config == found.config


def test_the_index_is_in_the_config_by_its_checksum(tmp_path):
    own = tmp_path / "own.index"
    save_index(Index.build(map(reference_of, load_benchmark("humaneval")[:3])), own)
    config = Contaminated(Contaminated.Config(index=own)).config
    assert config.checksum == index_checksum(own) != index_checksum(SHIPPED)
    assert "index" not in config.model_dump()
    assert Contaminated(Contaminated.Config(index=own, checksum=config.checksum)).config == config
    with pytest.raises(ConfigError, match="not that of the recipe"):
        Contaminated(Contaminated.Config(checksum=config.checksum))


@pytest.mark.parametrize("damage", ["", "wavecoder index 99 " + "0" * 64 + "\n"])
def test_a_file_that_is_no_index_is_one_sentence(damage, tmp_path):
    path = tmp_path / "bad.index"
    with pytest.raises(ConfigError, match="cannot be read"):
        Contaminated(Contaminated.Config(index=path))
    path.write_text(damage)
    with pytest.raises(ConfigError, match="--write-index"):
        Contaminated(Contaminated.Config(index=path))
