from collections.abc import Callable
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import go, toolchain
from wavecoder.records import Execution, Mode, Status

# An import of the prompt that nothing uses, helpers that the tests call, random inputs, the order
# of a map, a package whose path has two parts.
SAMPLE = (0, 27, 32, 38, 50, 53, 91, 95, 162)
# Go/53: the sum of two numbers.
HEAD = "func Add(x int, y int) int {\n"
RIGHT = f"{HEAD}return x + y\n}}\n"
WRONG = f"{HEAD}return 0\n}}\n"
OS = 'import "os"\n'


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_canonical_solutions_pass_and_buggy_ones_do_not(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    assert not_as_known("go", mode, field, SAMPLE) == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_all_of_them(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    assert not_as_known("go", mode, field, range(164)) == {}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "program",
    [
        RIGHT,
        f"package main\n{RIGHT}",
        f'package main\n\nimport "fmt"\n\n{RIGHT}\nfunc main() {{ fmt.Println(Add(1, 2)) }}\n',
        # used without an import, as the published harness allows
        f'{HEAD}z, _ := strconv.Atoi("0")\n_ = rand.Int()\nreturn x + y + z\n}}\n',
        # named only in a comment and a text, so not to be imported
        f'// math.Pi\n{HEAD}_ = "sort.Ints `"\nreturn x + y\n}}\n',
        f'import (\n\t"math"\n)\n{HEAD}return x + y + int(math.Floor(0.5))\n}}\n',
        f"{HEAD}go func() {{ for {{}} }}()\nreturn x + y\n}}\n",
    ],
)
def test_a_right_program_passes_however_it_is_written(
    program: str, mode: Mode, run_program: Callable[..., Execution]
) -> None:
    went = run_program("go", 53, program, mode)

    assert (went.status, went.detail) == (Status.PASSED, "")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (WRONG, Status.WRONG),
        (f"{HEAD}panic(1)\n}}\n", Status.ERROR),
        (f"{HEAD}return x +\n", Status.COMPILE_ERROR),
        ("", Status.COMPILE_ERROR),
        (f"\0{RIGHT}", Status.COMPILE_ERROR),
        (f'// int x;\nimport "C"\n{RIGHT}', Status.COMPILE_ERROR),
    ],
)
def test_a_failure_has_its_name(
    program: str, status: Status, mode: Mode, run_program: Callable[..., Execution]
) -> None:
    assert run_program("go", 53, program, mode).status == status


FORGERIES = {
    "exit in init": (f"{OS}{WRONG}func init() {{ os.Exit(0) }}\n", Status.ERROR),
    "exit in the function": (f"{OS}{HEAD}os.Exit(0)\nreturn 0\n}}\n", Status.ERROR),
    "TestMain": (
        f'import (\n"os"\n"testing"\n)\n{WRONG}func TestMain(m *testing.M) {{ os.Exit(0) }}\n',
        Status.WRONG,
    ),
    "an assert of its own": (
        "type fake struct{}\nvar assert fake\n"
        "func (fake) New(t interface{}) fake { return assert }\n"
        f"func (fake) Equal(a, b interface{{}}) bool {{ return true }}\n{WRONG}",
        Status.WRONG,
    ),
    "recover": (f"{HEAD}defer func() {{ recover() }}()\npanic(1)\n}}\n", Status.WRONG),
    "the end of its goroutine": (
        f'import "runtime"\n{HEAD}runtime.Goexit()\nreturn 0\n}}\n',
        Status.ERROR,
    ),
    "descriptors before main": (
        f'{OS}var x = func() int {{ b := make([]byte, 16); n, _ := os.NewFile(3, "").Read(b)\n'
        f'os.NewFile(4, "").Write(b[:n]); os.Exit(0); return 0 }}()\n{WRONG}',
        Status.ERROR,
    ),
    "our own code, linked by name": (
        'import _ "unsafe"\n//go:linkname answer wavecoder/early.answer\nfunc answer()\n'
        f"{HEAD}answer()\nreturn 0\n}}\n",
        Status.COMPILE_ERROR,
    ),
    "unsafe in other letters": (
        f'import "\\x75nsafe"\n{RIGHT}var _ = unsafe.Sizeof(1)\n',
        Status.COMPILE_ERROR,
    ),
    "system calls": (
        f'import "syscall"\n{HEAD}syscall.Exit(0)\nreturn 0\n}}\n',
        Status.COMPILE_ERROR,
    ),
    "our assert": (
        f'import "wavecoder/assert"\n{HEAD}assert.Asserted++\nreturn 0\n}}\n',
        Status.COMPILE_ERROR,
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_does_not_pass(name: str, run_program: Callable[..., Execution]) -> None:
    program, status = FORGERIES[name]

    went = run_program("go", 53, program, Mode.STRICT)

    assert (went.status, went.detail.strip() != "") == (status, True)


def test_the_published_rule_lets_an_early_exit_pass(run_program: Callable[..., Execution]) -> None:
    program, _ = FORGERIES["exit in init"]

    assert run_program("go", 53, program, Mode.PUBLISHED).status == Status.PASSED


def test_a_program_finds_no_tests_to_read(run_program: Callable[..., Execution]) -> None:
    program = (
        f'{OS}{HEAD}all, _ := os.ReadDir(".")\nif len(all) == 0 {{ return x + y }}\nreturn 0\n}}\n'
    )

    assert run_program("go", 53, program, Mode.STRICT).status == Status.PASSED


def test_a_helper_of_the_tests_is_the_problem_s(run_program: Callable[..., Execution]) -> None:
    # Both do nothing, so decoding what was encoded gives the text again.
    program = (
        "func EncodeCyclic(s string) string { return s }\n"
        "func DecodeCyclic(s string) string { return s }\n"
    )

    assert run_program("go", 38, program, Mode.STRICT).status == Status.WRONG


def test_a_missing_compiler_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, benchmarks: Path
) -> None:
    monkeypatch.setattr(toolchain, "_PATH", str(tmp_path))
    go.toolchain.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"Programs in Go cannot be run here.*golang-go"):
            go.job(load_benchmark("humanevalfix-go")[0], RIGHT, Mode.STRICT)
    finally:
        go.toolchain.cache_clear()
