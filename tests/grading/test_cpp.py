from collections.abc import Callable
from dataclasses import replace

import pytest

from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import cpp, toolchain
from wavecoder.records import Execution, Mode, Problem, Status
from wavecoder.sandbox import Bubblewrap, execution

# A boost::any each, helpers that the tests call, a broken declaration, a map each, names spelled
# otherwise, a library, vectors of vectors, strings, floats.
SAMPLE = (4, 22, 38, 50, 52, 87, 95, 111, 121, 137, 156, 162)
ENDLESS = (22, 137, 156)  # their buggy solutions use up a minute
HEAD = "bool has_close_elements(vector<float> numbers, float threshold)"
RIGHT = f"""
{HEAD} {{
    for (size_t i = 0; i < numbers.size(); i++)
        for (size_t j = i + 1; j < numbers.size(); j++)
            if (fabs(numbers[i] - numbers[j]) < threshold) return true;
    return false;
}}
"""
WRONG = f"{HEAD} {{ return true; }}\n"
Run = Callable[[str, Mode], Execution]


@pytest.fixture
def problems(benchmarks: object) -> list[Problem]:
    return load_benchmark("humanevalfix-cpp")


@pytest.fixture
def run(run_program: Callable[..., Execution]) -> Run:
    """Run a program as an answer to CPP/0."""
    return lambda program, mode: run_program("cpp", 0, program, mode)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_canonical_solutions_pass_and_buggy_ones_do_not(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    left_out = ENDLESS if field == "buggy_solution" else ()
    numbers = tuple(number for number in SAMPLE if number not in left_out)

    assert not_as_known("cpp", mode, field, numbers) == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_all_of_them(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    found = not_as_known("cpp", mode, field, range(164))

    # The published header declares the library's strlen, and that is what CPP/23's tests call.
    published = field == "buggy_solution" and mode == Mode.PUBLISHED
    assert list(found) == (["CPP/23"] if published else [])


def test_strict_tests_call_the_program_where_the_library_has_a_function_of_that_name(
    problems: list[Problem], run_program: Callable[..., Execution]
) -> None:
    program = problems[23].prompt + problems[23].buggy_solution

    assert run_program("cpp", 23, program, Mode.STRICT).status == Status.WRONG


# Programs that do not solve the problem. Those in the first table pass by the published rule.
PUBLISHED_PASSES = {
    "exit": f"{HEAD} {{ exit(0); }}",
    "_Exit": f"{HEAD} {{ _Exit(0); }}",
    "quick_exit": f"{HEAD} {{ quick_exit(0); }}",
    "static constructor": f"struct E {{ E() {{ _Exit(0); }} }} e;\n{WRONG}",
    "constructor": f"__attribute__((constructor)) void e() {{ _Exit(0); }}\n{WRONG}",
    "signal": "#include <csignal>\nvoid e(int) { _Exit(0); }\n"
    f"__attribute__((constructor)) void s() {{ signal(SIGABRT, e); }}\n{WRONG}",
    "__assert_fail": 'extern "C" void __assert_fail(const char*, const char*, unsigned, '
    f"const char*) noexcept {{ _Exit(0); }}\n{WRONG}",
    "equal to all": "struct E {}; bool operator==(E, bool) { return true; }\n"
    "E has_close_elements(vector<float>, float) { return E(); }",
    "template": "struct E { template <class T> bool operator==(T) { return true; } };\n"
    "template <class... T> E has_close_elements(T...) { return E(); }\n"
    "E has_close_elements(initializer_list<double>, double) { return E(); }",
    "define bool": f"#define bool volatile int\n{HEAD.replace('bool', 'int', 1)} {{ _Exit(0); }}",
    "define main": f"int main() {{ return 0; }}\n#define main other\n{WRONG}".replace(
        "int main", "int  main"
    ),
}
FORGERIES = {
    **PUBLISHED_PASSES,
    "empty": "",
    "prose": "Here is the function you asked for.",
    "true": WRONG,
    "abort": f'extern "C" void abort() noexcept {{ _Exit(0); }}\n{WRONG}',
    "a bool of 2": "bool has_close_elements(vector<float>, float) "
    "{ union { char c; bool b; } u; u.c = 2; return u.b; }",
    "define assert": f"#define NDEBUG\n#define assert(x)\n{WRONG}",
    "define true": f"#define true 1\n#define false 1\n{WRONG}",
    "second main": f"int main() {{ return 0; }}\n{WRONG}",
    "alias of main": f'extern "C" int other() {{ return 0; }} int main() '
    f'__attribute__((alias("other")));\n{WRONG}',
    "at exit": f"void e() {{ _Exit(0); }}\nstruct S {{ S() {{ atexit(e); }} }} s;\n{WRONG}",
    "thread of namespace std": "namespace std { bool operator!=(const string&, const char*) "
    f"{{ return false; }} }}\n{WRONG}",
    "thrown": f"{HEAD} {{ throw 1; }}",
    "half a function": f"{HEAD} {{ return true;\n#if 0",
    "open comment": f"{WRONG}/*",
    "token guessed": f"#include <unistd.h>\n{HEAD} {{ char t[16] = {{}}; "
    "for (int fd : {3, 4, 7, 8}) if (write(fd, t, 16)) {} _Exit(0); }",
    "replies ahead": f"#include <unistd.h>\n{HEAD} {{ for (int i = 0; i < 99; i++) "
    'if (write(6, "\\1\\0\\0\\0\\0\\0\\0\\0\\1", 9)) {} return true; }',
    "no value": f"#include <unistd.h>\n{HEAD} {{ "
    'if (write(6, "\\1\\0\\0\\0\\0\\0\\0\\0\\7", 9)) {} return true; }',
    "examiner killed": f"#include <csignal>\n#include <unistd.h>\n{HEAD} {{ "
    "for (int pid = 2; pid < 60; pid++) if (pid != getpid()) kill(pid, SIGKILL); return true; }",
    "examiner told to abort": f"#include <csignal>\n#include <unistd.h>\n{HEAD} {{ "
    "for (int pid = 3; pid < 60; pid++) if (pid != getpid()) kill(pid, SIGABRT); return true; }",
    "link replaced": "namespace wavecoder { struct Yes; template <> struct Plain<Yes*> { "
    f"static bool get(In&) {{ return true; }} }}; }}\n{WRONG}",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_pass_is_refused_by_strict_mode(run: Run, name: str) -> None:
    went = run(FORGERIES[name], Mode.STRICT)

    allowed = (Status.WRONG, Status.ERROR, Status.COMPILE_ERROR, Status.VIOLATION)
    assert went.status in allowed, went.detail


@pytest.mark.parametrize("name", PUBLISHED_PASSES)
def test_published_mode_is_the_published_rule_with_its_holes(run: Run, name: str) -> None:
    went = run(PUBLISHED_PASSES[name], Mode.PUBLISHED)

    assert went.status == Status.PASSED, went.detail


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (WRONG, Status.WRONG),
        ("Here is the function.", Status.COMPILE_ERROR),
        ('#include "/etc/shadow"', Status.COMPILE_ERROR),
        (f"{HEAD} {{ throw 1; }}", Status.ERROR),
        (f"{HEAD} {{ __builtin_trap(); }}", Status.ERROR),
        (f'{HEAD} {{ for (;;) printf("%1000d", 1); }}', Status.OUTPUT),
        (
            f"{HEAD} {{ vector<vector<char>> a; for (;;) a.emplace_back(1 << 24, 1); }}",
            Status.MEMORY,
        ),
    ],
)
def test_verdicts_on_wrong_programs(run: Run, mode: Mode, program: str, status: Status) -> None:
    went = run(program, mode)

    assert went.status == status, went.detail


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "program",
    [
        RIGHT,
        f'{RIGHT}int main() {{ cout << "an example"; return 1; }}',
        f'struct S {{ S() {{ cout << "noise" << endl; }} }} s;\n{RIGHT}',
        RIGHT.replace("vector<float> numbers", "const std::vector<float>& numbers"),
        RIGHT.replace("float threshold", "double threshold"),
        f"#include <bits/stdc++.h>\nint receive, send_all;\n{RIGHT}",
        f"#include <thread>\n#include <unistd.h>\n{RIGHT}",
    ],
)
def test_a_right_program_may_be_written_otherwise(run: Run, mode: Mode, program: str) -> None:
    went = run(program, mode)

    assert went.status == Status.PASSED, went.detail


def test_numbers_that_are_none_pass_no_test_in_strict_mode(
    box: Bubblewrap, problems: list[Problem]
) -> None:
    # The tests of CPP/20 look for a difference above a limit.
    program = "vector<float> find_closest_elements(vector<float>) { return {NAN, NAN}; }"
    published = cpp.job(problems[20], program, Mode.PUBLISHED)
    strict = cpp.job(problems[20], program, Mode.STRICT)

    assert execution(published, box.run(published)).status == Status.PASSED
    assert execution(strict, box.run(strict)).status == Status.WRONG


def test_tests_are_nowhere_that_a_program_or_its_compiler_can_look(
    box: Bubblewrap, problems: list[Problem]
) -> None:
    hunting = f"""
    #include <dirent.h>
    void look() {{
        DIR *folder = opendir(".");
        while (dirent *one = readdir(folder))
            if (one->d_name[0] != '.') puts(one->d_name);
    }}
    struct S {{ S() {{ look(); }} }} s;
    {HEAD} {{ look(); return true; }}
    """
    job = cpp.job(problems[0], hunting, Mode.STRICT)

    report = box.run(job)

    listed = set(report.steps[2].stdout.split())
    assert listed == {b"header", b"program", b"program.cpp"}
    assert set(job.files) == {"header/wavecoder.h", "program.cpp"}
    assert "0.95" not in "".join(str(text) for text in job.files.values())


def test_a_program_cannot_include_the_tests(run: Run) -> None:
    for name in ("examiner", "examiner.cpp", "test.cpp", "tests.cpp"):
        went = run(f'asm(".incbin \\"{name}\\"");\n{RIGHT}', Mode.STRICT)
        assert went.status == Status.COMPILE_ERROR, went.detail


def test_without_the_compiled_header_the_verdict_is_the_same(
    box: Bubblewrap, problems: list[Problem]
) -> None:
    job = replace(cpp.job(problems[0], RIGHT, Mode.STRICT), folders={})

    assert execution(job, box.run(job)).status == Status.PASSED


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_PATH", "/nonexistent")
    cpp.toolchain.cache_clear()
    with pytest.raises(ConfigError, match=r"C\+\+ cannot be run here: g\+\+ is not installed"):
        cpp.toolchain()

    monkeypatch.undo()
    monkeypatch.setattr(cpp, "_NEEDED", {"no/such.h": "libnone-dev"})
    with pytest.raises(ConfigError, match=r"no/such\.h is not installed.*package libnone-dev"):
        cpp.toolchain()
