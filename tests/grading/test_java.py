from collections.abc import Callable

import pytest

from wavecoder.records import Execution, Mode, Status

# Helpers that the tests call, a map, values compared by identity, an import of its own.
SAMPLE = (0, 32, 38, 50, 53, 91, 95, 137, 162)
IMPORTS = "import java.util.*;\nimport java.lang.*;\n"


def adding(body: str, *, beside: str = "", inside: str = "") -> str:
    """Return an answer to Java/53, the sum of two numbers."""
    method = f"public int add(int x, int y) {{ {body} }}"
    return f"{IMPORTS}{beside}\nclass Solution {{\n{inside}\n{method}\n}}\n"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_canonical_solutions_pass_and_buggy_ones_do_not(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    assert not_as_known("java", mode, field, SAMPLE) == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_all_of_them(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    assert not_as_known("java", mode, field, range(164)) == {}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (adding("return x + y;"), Status.PASSED),
        (adding("return x + y;", beside="public class Main {\n}"), Status.PASSED),
        (adding("return 0;"), Status.WRONG),
        (adding("throw new IllegalStateException();"), Status.ERROR),
        (adding("return add(x, y) + 1;"), Status.ERROR),
        (adding("return x +"), Status.COMPILE_ERROR),
        ("", Status.COMPILE_ERROR),
    ],
)
def test_a_verdict_has_its_name(
    program: str, status: Status, mode: Mode, run_program: Callable[..., Execution]
) -> None:
    assert run_program("java", 53, program, mode).status == status


FORGERIES = {
    "exit in a static block": (
        adding("return 0;", inside="static { System.exit(0); }"),
        Status.ERROR,
    ),
    "halt": (adding("Runtime.getRuntime().halt(0); return 0;"), Status.ERROR),
    "exit in a hook": (
        adding(
            "Runtime.getRuntime().addShutdownHook(new Thread(() -> "
            "Runtime.getRuntime().halt(0))); return 0;"
        ),
        Status.WRONG,
    ),
    "exit in a handler": (
        adding("Thread.setDefaultUncaughtExceptionHandler((t, e) -> System.exit(0)); return 0;"),
        Status.WRONG,
    ),
    "an AssertionError that exits": (
        adding(
            "return 0;",
            beside="class AssertionError extends RuntimeException { static { System.exit(0); } }",
        ),
        Status.WRONG,
    ),
    "an Arrays of its own": (
        adding(
            "return 0;",
            beside="class Arrays { static List<Boolean> asList(Object... x)"
            " { return List.of(true); } }\n"
            "class Random { Random(int seed) {} int nextInt(int n) { return 0; } }",
        ),
        Status.WRONG,
    ),
    "a List of its own": (
        adding("return 0;", beside="interface List<T> { boolean contains(Object o); }"),
        Status.WRONG,
    ),
    "a Plain of its own": (
        adding("return 0;", beside="class Plain { static int of(int x) { return 5; } }"),
        Status.WRONG,
    ),
    "a Main of its own": (
        adding("return 0;", beside="class Main { public static void main(String[] a) { } }"),
        Status.COMPILE_ERROR,
    ),
    "a package of ours": (f"package wavecoder;\n{adding('return 0;')}", Status.COMPILE_ERROR),
    "another security manager": (
        adding("System.setSecurityManager(null); return 0;"),
        Status.WRONG,
    ),
    "descriptors": (
        adding(
            'try { byte[] b = new byte[16]; new java.io.FileInputStream("/proc/self/fd/3").read(b);'
            ' new java.io.FileOutputStream("/proc/self/fd/4").write(b); System.exit(0); }'
            " catch (java.io.IOException e) { } return 0;"
        ),
        Status.ERROR,
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_does_not_pass(name: str, run_program: Callable[..., Execution]) -> None:
    program, status = FORGERIES[name]

    went = run_program("java", 53, program, Mode.STRICT)

    assert (went.status, went.detail != "") == (status, True)


@pytest.mark.parametrize(
    ("beside", "result", "status"),
    [
        (
            "",
            "new ArrayList<Integer>() { public boolean equals(Object o) { return true; } }",
            Status.WRONG,
        ),
        (
            "class Any { public boolean equals(Object o) { return true; } }",
            "new Any()",
            Status.ERROR,
        ),
    ],
)
def test_a_result_that_equals_everything_does_not_pass(
    beside: str, result: str, status: Status, run_program: Callable[..., Execution]
) -> None:
    kind = "Any" if beside else "List<Integer>"
    program = (
        f"{IMPORTS}{beside}\nclass Solution {{\n"
        f"public {kind} intersperse(List<Integer> numbers, int d) {{ return {result}; }}\n}}\n"
    )

    assert run_program("java", 5, program, Mode.STRICT).status == status
    assert run_program("java", 5, program, Mode.PUBLISHED).status == Status.PASSED


def test_threads_that_go_on_are_not_waited_for(run_program: Callable[..., Execution]) -> None:
    body = (
        "new Thread(() -> { try { Thread.sleep(1000000); } catch (InterruptedException e) { } })"
        ".start(); return x + y;"
    )

    assert run_program("java", 53, adding(body), Mode.STRICT).status == Status.PASSED


def test_a_program_finds_no_tests_to_read(run_program: Callable[..., Execution]) -> None:
    body = 'return new java.io.File(".").list().length == 0 ? x + y : 0;'

    assert run_program("java", 53, adding(body), Mode.STRICT).status == Status.PASSED


def test_a_helper_of_the_tests_is_the_problem_s(run_program: Callable[..., Execution]) -> None:
    # Both do nothing, so decoding what was encoded gives the text again.
    program = (
        f"{IMPORTS}class Solution {{\npublic String encodeCyclic(String s) {{ return s; }}\n"
        "public String decodeCyclic(String s) { return s; }\n}\n"
    )

    assert run_program("java", 38, program, Mode.STRICT).status == Status.WRONG
