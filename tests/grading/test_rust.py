from collections.abc import Callable

import pytest

from wavecoder.records import Execution, Mode, Status

# Helpers that the tests call, `gen_range` with two arguments, regex, md5, a type of the program's.
SAMPLE = (0, 32, 38, 50, 53, 91, 95, 137, 162)
ENDLESS = (32,)  # its buggy solution uses up a minute
USES = (
    "use std::{slice::Iter, cmp::{max, self}, mem::replace, collections::{HashSet, HashMap}, "
    "ops::Index, ascii::AsciiExt};\nuse rand::Rng;\nuse regex::Regex;\nuse md5;\n"
    "use std::any::{Any, TypeId};\n"
)


def adding(body: str, *, beside: str = "", uses: str = USES) -> str:
    """Return an answer to Rust/53, the sum of two numbers."""
    return f"{uses}fn add(x:i32, y:i32) -> i32{{\n{body}\n}}\n{beside}\n"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_canonical_solutions_pass_and_buggy_ones_do_not(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    left_out = ENDLESS if field == "buggy_solution" else ()
    numbers = tuple(number for number in SAMPLE if number not in left_out)

    assert not_as_known("rust", mode, field, numbers) == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_all_of_them(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    assert not_as_known("rust", mode, field, range(164)) == {}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (adding("x + y"), Status.PASSED),
        (adding("x + y", uses=""), Status.PASSED),
        (adding("x + y", beside='fn main() { println!("{}", add(1, 2)); }'), Status.PASSED),
        (
            adding("x + y", beside="#[cfg(test)]\nmod mine { #[test] fn it() { assert!(true) } }"),
            Status.PASSED,
        ),
        (adding("x + y", beside="fn spare() { std::thread::spawn(|| loop {}); }"), Status.PASSED),
        (adding("0"), Status.WRONG),
        (adding("[1][x as usize + 5]"), Status.ERROR),
        (adding("add(x, y) + 1"), Status.ERROR),
        (adding("x +"), Status.COMPILE_ERROR),
        ("", Status.COMPILE_ERROR),
    ],
)
def test_a_verdict_has_its_name(
    program: str, status: Status, mode: Mode, run_program: Callable[..., Execution]
) -> None:
    assert run_program("rust", 53, program, mode).status == status


_FDS = (
    "use std::io::{Read, Write}; let mut b = [0u8; 16];"
    'let _ = std::fs::File::open("/proc/self/fd/3").map(|mut f| f.read_exact(&mut b));'
    'let _ = std::fs::OpenOptions::new().write(true).open("/proc/self/fd/4")'
    ".map(|mut f| f.write_all(&b)); std::process::exit(0)"
)
_NOTHING = "{ ($($t:tt)*) => {} }"
FORGERIES = {
    "exit": (adding("std::process::exit(0)"), Status.ERROR),
    "exit in a panic hook": (
        adding("std::panic::set_hook(Box::new(|_| std::process::exit(0))); 0"),
        Status.ERROR,
    ),
    "a macro": (adding("0", beside=f"macro_rules! assert {_NOTHING}"), Status.WRONG),
    "a macro before": (
        adding("0", uses=f"{USES}macro_rules! assert {_NOTHING}\n"),
        Status.WRONG,
    ),
    "an exported macro": (
        adding("0", beside=f"#[macro_export] macro_rules! assert {_NOTHING}"),
        Status.WRONG,
    ),
    "an imported macro": (
        adding("0", beside=f"macro_rules! nothing {_NOTHING}\npub(crate) use nothing as assert;"),
        Status.WRONG,
    ),
    "a bool of its own": (adding("0", beside="type bool = i32;"), Status.WRONG),
    "a rand of its own": (
        adding(
            "0",
            beside="mod rand { pub use ::rand::Rng; pub struct No;\n"
            "pub fn thread_rng() -> No { No }\nimpl No { pub fn gen(&mut self) -> i32 { 0 } } }",
        ),
        Status.WRONG,
    ),
    "equal to everything": (
        "struct All;\nimpl PartialEq<i32> for All { fn eq(&self, _: &i32) -> bool { true } }\n"
        "fn add(x:i32, y:i32) -> All { All }\n",
        Status.COMPILE_ERROR,
    ),
    "tests of its own": (
        adding("0", beside="mod tests { pub const TESTED: fn() = || (); }"),
        Status.COMPILE_ERROR,
    ),
    "descriptors": (adding(_FDS), Status.ERROR),
    "unsafe": (
        adding("unsafe { std::hint::unreachable_unchecked() }"),
        Status.COMPILE_ERROR,
    ),
    "code before main": (
        adding(
            "0",
            beside='extern "C" fn go() { std::process::exit(0) }\n#[used]\n'
            '#[link_section = ".init_array"]\nstatic GO: extern "C" fn() = go;',
        ),
        Status.COMPILE_ERROR,
    ),
    "a file of the system": (
        adding("x + y", beside='const S: &str = include_str!("/etc/passwd");'),
        Status.COMPILE_ERROR,
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_does_not_pass(name: str, run_program: Callable[..., Execution]) -> None:
    program, status = FORGERIES[name]

    went = run_program("rust", 53, program, Mode.STRICT)

    assert (went.status, went.detail != "") == (status, True)
    assert "root:" not in went.detail


def test_the_published_rule_lets_an_early_exit_pass(run_program: Callable[..., Execution]) -> None:
    program, _ = FORGERIES["exit"]

    assert run_program("rust", 53, program, Mode.PUBLISHED).status == Status.PASSED


def test_a_type_of_the_program_s_own_is_not_asked_for_equality(
    run_program: Callable[..., Execution],
) -> None:
    program = (
        f"{USES}#[derive(Debug)]\n"
        "pub enum RtnType<S, F, I> { Empty(), String(S), Float(F), Int(I) }\n"
        "impl<S, F, I> PartialEq for RtnType<S, F, I> { fn eq(&self, _: &Self) -> bool { true } }\n"
        "fn compare_one<'a>(a:&'a dyn Any, b:&'a dyn Any) -> RtnType<String,f64,i32>{\n"
        "RtnType::Empty()\n}\n"
    )

    assert run_program("rust", 137, program, Mode.PUBLISHED).status == Status.PASSED
    assert run_program("rust", 137, program, Mode.STRICT).status == Status.WRONG


@pytest.mark.parametrize("path", [".", "candidate.rs", "/proc/self/mem", "/proc/self/fd/4"])
def test_a_program_opens_no_file(path: str, run_program: Callable[..., Execution]) -> None:
    body = f'if std::fs::File::open("{path}").is_err() {{ x + y }} else {{ 0 }}'

    assert run_program("rust", 53, adding(body), Mode.STRICT).status == Status.PASSED


def test_a_helper_of_the_tests_is_the_problem_s(run_program: Callable[..., Execution]) -> None:
    # Both do nothing, so decoding what was encoded gives the text again.
    program = (
        f"{USES}pub fn encode_cyclic(s: &str) -> String {{ s.to_string() }}\n"
        "fn decode_cyclic(s: &str) -> String { s.to_string() }\n"
    )

    assert run_program("rust", 38, program, Mode.STRICT).status == Status.WRONG
