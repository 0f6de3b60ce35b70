from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.languages import (
    LANGUAGES,
    language,
    language_named,
    language_of,
    languages_of,
    names_language,
    parse,
)


def test_every_row_has_a_grammar_that_loads():
    for name in LANGUAGES:
        assert parse("", name).root_node is not None


def test_a_language_is_found_by_any_of_its_names():
    assert language("C++") is language("cpp") is language("hpp")
    assert language_named("Node.js") is LANGUAGES["javascript"]
    assert language_named("golang") is LANGUAGES["go"]
    assert language_named("py") is LANGUAGES["python"]
    assert language_named("brainfuck") is None


def test_an_unknown_language_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no language 'pyhton'\. Did you mean 'python'"):
        language("pyhton")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.py", "python"),
        ("A.java", "java"),
        ("a.mjs", "javascript"),
        ("a.tsx", "typescript"),
        ("a.php", "php"),
        ("a.go", "go"),
        ("a.rb", "ruby"),
        ("a.c", "c"),
        ("a.hpp", "cpp"),
        ("a.rs", "rust"),
        ("a.CS", "csharp"),
    ],
)
def test_a_file_is_known_by_its_suffix(path, name):
    assert language_of(Path(path)) is LANGUAGES[name]


def test_a_file_of_another_suffix_is_of_no_language():
    assert language_of(Path("a.txt")) is None
    assert language_of(Path("Makefile")) is None


def test_a_header_is_c_unless_its_content_is_cpp():
    header = Path("a.h")
    assert {row.name for row in languages_of(header)} == {"c", "cpp"}
    assert language_of(header, "int f(void);\n").name == "c"
    assert language_of(header, "/* no class here */\nstruct a { int b; };\n").name == "c"
    assert language_of(header, "namespace a {\nint f();\n}\n").name == "cpp"
    assert language_of(header, "struct a {\npublic:\n  int b;\n};\n").name == "cpp"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Write a JavaScript function.", {"javascript"}),
        ("Write a Java function.", {"java"}),
        ("Translate it from Java to JavaScript.", {"java", "javascript"}),
        ("in Java Script", {"javascript"}),
        ("in TypeScript, for Node.js", {"typescript", "javascript"}),
        ("use JS", {"javascript"}),
        ("see app.js and main.c", set()),
        ("in C++17", {"cpp"}),
        ("in C#.", {"csharp"}),
        ("Write a C function.", {"c"}),
        ("in C99", {"c"}),
        ("C/C++", {"c", "cpp"}),
        ("in Objective-C", set()),
        ("a C-style loop in Rust", {"rust"}),
        ("the variable c", set()),
        ("Write it in Go.", {"go"}),
        ("Go to the store, then go home", set()),
        ("Translate `f` from Go to Python.", {"go", "python"}),
        ("Port it from Go into idiomatic Rust", {"go", "rust"}),
        ("Go to Python", {"go", "python"}),
        ("Golang", {"go"}),
        ("Python3.11, please", {"python"}),
        ("`python`", {"python"}),
        ("Pythonic", set()),
        ("PHP's arrays", {"php"}),
        ("Ruby, not R", {"ruby"}),
        ("csharp or C Sharp", {"csharp"}),
        ("trusty rubys", set()),
    ],
)
def test_prose_names_exactly_these_languages(text, named):
    assert {name for name in LANGUAGES if names_language(text, name)} == named
