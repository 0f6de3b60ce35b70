"""One row a language. To add one: its grammar to pyproject.toml, a row here, a sample to the tests.

Node types are those of the language's tree-sitter grammar.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

import tree_sitter

from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest

__all__ = [
    "LANGUAGES",
    "Language",
    "grammars",
    "language",
    "language_named",
    "language_of",
    "languages_of",
    "names_language",
]

_NOTHING: Mapping[str, tuple[str, str]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Language:
    """What the package knows of a language."""

    name: str
    """As in records and recipes: `cpp`."""
    title: str
    """As in prose: `C++`."""
    also: tuple[str, ...] = ()
    """Other names a person may write in prose."""
    tags: tuple[str, ...] = ()
    """Names that only code fences and suffixes use: `rb`, `rs`."""
    exact_case: bool = False
    """The names are ordinary words in lower case, and count only as written here."""
    suffixes: tuple[str, ...]
    grammars: tuple[str, ...]
    """`module:function`, in the order they are tried."""
    functions: frozenset[str]
    """Node types of functions and methods."""
    assigned: Mapping[str, tuple[str, str]] = field(default_factory=lambda: _NOTHING)
    """Node types that give a name to a function: field of the name, field of the function."""
    scopes: frozenset[str] = frozenset()
    """Node types whose name qualifies the functions inside: classes and their like."""
    holders: frozenset[str] | None = None
    """Node types that functions are looked for in, beside scopes and wrappers; None for any."""
    barren: frozenset[str] = frozenset()
    """Node types that they are not looked for in."""
    wrappers: frozenset[str] = frozenset()
    """Node types around a single function that belong to it: decorators, template heads."""
    leads: frozenset[str] = frozenset()
    """Node types beside a function that belong to it when they stand right before."""
    comments: frozenset[str] = frozenset({"comment"})
    strings: frozenset[str]
    """Node types of literals that count as one leaf."""
    wrap: tuple[str, str] | None = None
    """Text before and after what is legal inside a class only: a lone method."""
    bare_calls: bool = False
    """A call needs no brackets, so that prose parses as calls inside calls."""
    foreign: frozenset[str] = frozenset()
    """Words that other languages begin a definition with, and this grammar takes for names."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# C's grammar takes `function f() {…}` for a function that returns a `function`, and Ruby's takes
# `int f(x) {…}` for a call of `int`.
_DEFINERS = _set("function def fn func fun let val async get set")
_SCRIPT_ASSIGNED = MappingProxyType(
    {
        "variable_declarator": ("name", "value"),
        "assignment_expression": ("left", "right"),
        "field_definition": ("property", "value"),
        "public_field_definition": ("name", "value"),
    }
)
_SCRIPT_FUNCTIONS = _set("function_declaration generator_function_declaration method_definition")
_SCRIPT_STRINGS = _set("string template_string regex")
_SCRIPT_BARREN = _SCRIPT_STRINGS | _set(
    "import_statement member_expression subscript_expression formal_parameters jsx_opening_element "
    "interface_declaration type_alias_declaration ambient_declaration enum_declaration "
    "type_annotation type_parameters type_arguments function_signature method_signature "
    "abstract_method_signature"
)
_CLASS = ("class X {\n", "\n}")
_PREPROCESSOR = "preproc_if preproc_ifdef preproc_else preproc_elif preproc_elifdef"

_ROWS = (
    Language(
        name="python",
        title="Python",
        also=("py",),
        tags=("python3", "py3", "pyi"),
        suffixes=(".py", ".pyi", ".pyw"),
        grammars=("tree_sitter_python:language",),
        functions=_set("function_definition"),
        scopes=_set("class_definition"),
        holders=_set(
            "module block if_statement elif_clause else_clause try_statement except_clause "
            "finally_clause with_statement for_statement while_statement match_statement "
            "case_clause ERROR"
        ),
        wrappers=_set("decorated_definition"),
        strings=_set("string"),
    ),
    Language(
        name="java",
        title="Java",
        suffixes=(".java",),
        grammars=("tree_sitter_java:language",),
        functions=_set(
            "method_declaration constructor_declaration compact_constructor_declaration"
        ),
        scopes=_set(
            "class_declaration interface_declaration enum_declaration record_declaration "
            "annotation_type_declaration"
        ),
        holders=_set(
            "program class_body interface_body enum_body enum_body_declarations enum_constant "
            "annotation_type_body ERROR"
        ),
        comments=_set("line_comment block_comment"),
        strings=_set("string_literal character_literal"),
        wrap=_CLASS,
        foreign=_DEFINERS,
    ),
    Language(
        name="javascript",
        title="JavaScript",
        also=("Java Script", "ECMAScript", "Node.js", "NodeJS", "js"),
        tags=("node", "jsx", "mjs", "cjs", "es6"),
        suffixes=(".js", ".mjs", ".cjs", ".jsx"),
        grammars=("tree_sitter_javascript:language",),
        functions=_SCRIPT_FUNCTIONS,
        assigned=_SCRIPT_ASSIGNED,
        scopes=_set("class_declaration class"),
        barren=_SCRIPT_BARREN,
        leads=_set("decorator"),
        comments=_set("comment html_comment hash_bang_line"),
        strings=_SCRIPT_STRINGS,
        wrap=_CLASS,
    ),
    Language(
        name="typescript",
        title="TypeScript",
        also=("Type Script", "ts"),
        tags=("tsx", "mts", "cts"),
        suffixes=(".ts", ".tsx", ".mts", ".cts"),
        # `<T>x` is a cast in .ts and opens an element in .tsx.
        grammars=(
            "tree_sitter_typescript:language_typescript",
            "tree_sitter_typescript:language_tsx",
        ),
        functions=_SCRIPT_FUNCTIONS,
        assigned=_SCRIPT_ASSIGNED,
        scopes=_set("class_declaration abstract_class_declaration class"),
        barren=_SCRIPT_BARREN,
        leads=_set("decorator"),
        comments=_set("comment html_comment hash_bang_line"),
        strings=_SCRIPT_STRINGS,
        wrap=("abstract class X {\n", "\n}"),
    ),
    Language(
        name="php",
        title="PHP",
        tags=("php5", "php7", "php8"),
        suffixes=(".php", ".phtml"),
        # The second wants the opening tag, and takes all text without one for a page.
        grammars=("tree_sitter_php:language_php_only", "tree_sitter_php:language_php"),
        functions=_set("function_definition method_declaration"),
        scopes=_set("class_declaration interface_declaration trait_declaration enum_declaration"),
        holders=_set(
            "program declaration_list enum_declaration_list namespace_definition "
            "compound_statement if_statement else_clause else_if_clause colon_block "
            "return_statement expression_statement assignment_expression "
            "object_creation_expression anonymous_class ERROR"
        ),
        strings=_set("string encapsed_string heredoc nowdoc"),
        wrap=_CLASS,
    ),
    Language(
        name="go",
        title="Go",
        also=("Golang", "golang", "GoLang"),
        exact_case=True,
        suffixes=(".go",),
        grammars=("tree_sitter_go:language",),
        functions=_set("function_declaration method_declaration"),
        holders=_set("source_file ERROR"),
        strings=_set("interpreted_string_literal raw_string_literal rune_literal"),
    ),
    Language(
        name="ruby",
        title="Ruby",
        tags=("rb",),
        suffixes=(".rb", ".rake"),
        grammars=("tree_sitter_ruby:language",),
        functions=_set("method singleton_method"),
        scopes=_set("class module"),
        barren=_set(
            "argument_list hash array scope_resolution binary string string_array symbol_array "
            "method_parameters superclass"
        ),
        strings=_set("string string_array symbol_array regex delimited_symbol"),
        bare_calls=True,
        foreign=_set(
            "function def fn func fun var const static final void int long char bool boolean double"
        ),
    ),
    Language(
        name="c",
        title="C",
        also=("ANSI C", "C89", "C90", "C99", "C11", "C17", "C23"),
        tags=("h",),
        exact_case=True,
        suffixes=(".c", ".h"),
        grammars=("tree_sitter_c:language",),
        functions=_set("function_definition"),
        holders=_set(
            f"translation_unit linkage_specification declaration_list {_PREPROCESSOR} ERROR"
        ),
        strings=_set("string_literal char_literal system_lib_string"),
        foreign=_DEFINERS | _set("var class public private protected namespace template import"),
    ),
    Language(
        name="cpp",
        title="C++",
        also=("C plus plus", "cpp"),
        tags=("cc", "cxx", "hpp"),
        suffixes=(".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++", ".h"),
        grammars=("tree_sitter_cpp:language",),
        functions=_set("function_definition"),
        scopes=_set("class_specifier struct_specifier union_specifier"),
        holders=_set(
            "translation_unit linkage_specification declaration_list namespace_definition "
            "field_declaration_list field_declaration declaration type_definition "
            f"export_declaration {_PREPROCESSOR} ERROR"
        ),
        wrappers=_set("template_declaration"),
        strings=_set("string_literal raw_string_literal char_literal system_lib_string"),
        wrap=("class X {\n", "\n};"),
        foreign=_DEFINERS | _set("var import extends implements throws"),
    ),
    Language(
        name="rust",
        title="Rust",
        tags=("rs",),
        suffixes=(".rs",),
        grammars=("tree_sitter_rust:language",),
        functions=_set("function_item"),
        scopes=_set("impl_item trait_item"),
        holders=_set("source_file mod_item declaration_list foreign_mod_item ERROR"),
        leads=_set("attribute_item"),
        comments=_set("line_comment block_comment"),
        strings=_set("string_literal raw_string_literal char_literal"),
    ),
    Language(
        name="csharp",
        title="C#",
        also=("C Sharp", "C-Sharp", "CSharp"),
        tags=("cs", "c_sharp", "dotnet"),
        suffixes=(".cs", ".csx"),
        grammars=("tree_sitter_c_sharp:language",),
        functions=_set("method_declaration constructor_declaration local_function_statement"),
        scopes=_set(
            "class_declaration struct_declaration interface_declaration record_declaration"
        ),
        holders=_set(
            "compilation_unit namespace_declaration file_scoped_namespace_declaration "
            "declaration_list global_statement block preproc_if preproc_elif preproc_else ERROR"
        ),
        strings=_set(
            "string_literal verbatim_string_literal raw_string_literal character_literal "
            "interpolated_string_expression"
        ),
        wrap=_CLASS,
        foreign=_DEFINERS,
    ),
)

LANGUAGES: Mapping[str, Language] = MappingProxyType({row.name: row for row in _ROWS})
"""Every language by its name."""

# A line that no C header has outside a comment.
_CPP_LINE = re.compile(
    r"^\s*(?:namespace\b|template\s*<|using\s+\w|class\s+\w[^;]*[{:]|(?:public|private|protected)\s*:)",
    re.MULTILINE,
)
_BY_ANY_NAME = {
    word.lower(): row for row in _ROWS for word in (row.name, row.title, *row.also, *row.tags)
}


def language(name: str) -> Language:
    """Return the language called `name`, which may be any of its names.

    Raises:
        ConfigError: There is none.
    """
    found = language_named(name)
    if found is None:
        raise ConfigError(
            f"There is no language {name!r}.{nearest(name.lower(), sorted(_BY_ANY_NAME))} "
            f"Known: {', '.join(LANGUAGES)}."
        )
    return found


def language_named(name: str) -> Language | None:
    """Return the language that a code fence's tag or a person's word stands for, or None."""
    return _BY_ANY_NAME.get(name.strip().lower())


def languages_of(path: Path) -> tuple[Language, ...]:
    """Return the languages a file may be in, by its suffix: two for `.h`, none for most others."""
    return tuple(row for row in _ROWS if path.suffix.lower() in row.suffixes)


def language_of(path: Path, text: str = "") -> Language | None:
    """Return the language of a file by its suffix, or None.

    Args:
        path: The file.
        text: Its content; it decides whether a `.h` is C or C++.
    """
    found = languages_of(path)
    if len(found) < 2:
        return found[0] if found else None
    return LANGUAGES["cpp" if _CPP_LINE.search(text) else "c"]


@cache
def grammars(name: str) -> tuple[tree_sitter.Language, ...]:
    """Return the grammars of a language, loaded at the first call."""
    loaded = []
    for place in LANGUAGES[name].grammars:
        module, _, function = place.partition(":")
        loaded.append(tree_sitter.Language(getattr(import_module(module), function)()))
    return tuple(loaded)


_NAMES = "|".join(re.escape(word) for row in _ROWS for word in (row.title, *row.also))
# What looks like a language's name and is none. Longer names win, so that these hide the shorter.
_DECOYS = (
    r"Objective[- ]C(?:\+\+)?",
    r"C-(?:style|like)",
    # At a sentence's beginning; "from Go to Python" and "Go to Python" name two languages.
    r"(?<![a-z,;:`'\")] )Go (?:to|through|over|back|ahead|from|into|up|down|on)\b"
    rf"(?! (?i:{_NAMES})(?!\w))",
)


@cache
def _names_in_prose() -> tuple[re.Pattern[str], Mapping[str, str]]:
    """Return a pattern for every name in prose, and the language of each name in lower case."""
    found: list[tuple[str, str]] = [(decoy, decoy) for decoy in _DECOYS]
    names = {}
    for row in _ROWS:
        for word in (row.title, *row.also):
            names[word.lower()] = row.name
            # A version may follow, as in Python3 and C++17; not where the name is one letter.
            pattern = re.escape(word) + (r"(?:\d[\d.]*(?<!\.))?" if len(word) > 1 else "")
            found.append((word, pattern if row.exact_case else f"(?i:{pattern})"))
    found.sort(key=lambda item: -len(item[0]))
    # A dot before: main.c and app.js are files.
    arms = "|".join(pattern for _, pattern in found)
    return re.compile(rf"(?<![\w.@$#])(?:{arms})(?![\w+#])"), names


def names_language(text: str, name: str) -> bool:
    """Say whether prose names the language: `Java` is not in "JavaScript", nor `Go` in "go to"."""
    pattern, names = _names_in_prose()
    found = (match[0].lower() for match in pattern.finditer(text))
    return any(names.get(word, names.get(word.rstrip("0123456789."))) == name for word in found)
