"""In which language is code that parses in several? Signs that one has and another cannot have.

Grammars are lenient: C++ takes nearly all C, C# a third of Java, Ruby takes statements of Java for
calls. A sign counts outside comments and strings only. Where there is none, nothing is said: a
short C function is C++ as well.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from wavecoder.languages.syntax import leaves, read
from wavecoder.languages.table import LANGUAGES

__all__ = ["Sign", "bare", "foreign_sign"]


class Sign(NamedTuple):
    """What tells that code is in another language."""

    line: int
    what: str
    """`System.out` is Java`."""


# The checks of one function ask for it several times.
@lru_cache(maxsize=8)
def bare(code: str, language: str) -> str:
    """Return code with spaces for its comments and `""` for its strings, line by line as it was."""
    data = bytearray(code.encode("utf-8", "replace"))
    row = LANGUAGES[language]
    for leaf in leaves(code, language):
        quoted = not leaf.is_comment and len(leaf.text) > 1 and leaf.text[:1] in "\"'`"
        whole = quoted and leaf.text[-1:] == leaf.text[:1]
        if leaf.is_comment or whole or (quoted and row.name in ("python", "ruby")):
            filler = b"" if leaf.is_comment else b'""'
            kept = bytes(10 if one == 10 else 32 for one in data[leaf.start : leaf.end])
            data[leaf.start : leaf.end] = filler + kept[len(filler) :]
    return data.decode("utf-8", "replace")


def foreign_sign(code: str, language: str) -> Sign | None:
    """Return the first sign that code, which parses, is in another language, or None.

    Signs are words and forms that the language gives no meaning to. Two are weaker, and ask for
    more: TypeScript whose functions have parameters and no type anywhere is JavaScript, and C++
    that calls C's library and has nothing that C has not is C.

    Args:
        code: Code that parses in `language`.
        language: A name from `LANGUAGES`.
    """
    text = bare(code, language)
    found = [
        (match.start(), f"`{' '.join(match[0].split())[:40]}` is {other}")
        for other, pattern in _signs(language)
        if (match := pattern.search(text))
    ]
    if found:
        at, what = min(found)
        return Sign(text.count("\n", 0, at) + 1, what)
    if language == "typescript":
        return _untyped(code)
    if language == "cpp":
        return _plain_c(text)
    if language in ("java", "csharp"):
        return _by_capitals(text, language)
    return None


_SCRIPT_WORDS = (
    r"[!=]==|(?<!, )(?<!: )\bfunction\b\s*\w*\s*\([\w\s,]*\)\s*\{|\bundefined\b|"
    r"(?:^|[;{(])\s*let\s+\w+\s*(?:=|;|\bof\b|\bin\b)"
)
# C# has its own `var`, and `const` before a type.
_SCRIPT = rf"{_SCRIPT_WORDS}|(?:^|[;{{(])\s*(?:var\s+\w+\s*(?:=|;|\bof\b|\bin\b)|const\s+\w+\s*=)"
# A method of JavaScript, which has no types, stands for a constructor elsewhere.
_LONE_METHOD = (
    r"\A\s*(?:static\s+)?(?!(?:if|for|while|switch|catch|main)\b)[a-z]\w*\s*"
    r"\(\s*\w+(?:\s*=\s*[\w.]+)?\s*(?:,\s*\w+(?:\s*=\s*[\w.]+)?\s*)*\)\s*\{"
)
_METHOD = r"^[ \t]*(?:public|private|protected|internal)\s+(?:static\s+)?[\w<>\[\], ]+\([^;:]*\{"
_SHARP = (
    r"\bConsole\.(?:Write|Read)\w*|\busing\s+System\b|\bforeach\s*\(|\bstring\.[A-Z]|"
    r"(?<![.\w])(?:string|bool|decimal|uint|ulong|ushort|sbyte)(?:\[\]|\?)*\s+\w+\s*[=;,)({]|"
    r"\bout\s+(?:var|int|string)\b|\{\s*get\s*;"
)
_JAVA = (
    r"\bSystem\.(?:out|err|arraycopy|currentTimeMillis)\b|\bboolean\b|@Override\b|"
    r"\bimport\s+(?:static\s+)?javax?\.|\bthrows\s+[A-Z]|\binstanceof\s+[A-Z]|"
    r"\bnew\s+(?:ArrayList|HashMap|TreeMap|ArrayDeque)\b|\bfinal\s+\w+"
)
_CPP = (
    r"#\s*include\s*<(?:algorithm|array|cmath|cstdint|cstdio|cstdlib|cstring|deque|functional|"
    r"iostream|limits|list|map|memory|numeric|queue|set|sstream|stack|string|tuple|unordered_map|"
    r"unordered_set|utility|vector)>|\bstd::|\busing\s+namespace\b|\btemplate\s*<|\bnullptr\b|"
    r"\b(?:static|dynamic|reinterpret|const)_cast\s*<|\bc(?:out|err)\s*<<|\bcin\s*>>"
)
_C_ONLY_HERE = r"#\s*include\b|\bNULL\b|\bunsigned\s+\w|\bconst\s+(?:char|void)\b"
# Legal in C# where it says `unsafe`.
_POINTERS = r"\A(?![\s\S]*\bunsafe\b)[\s\S]*?(?:\w->\w|[(,=]\s*&\w|\w\s+\*+\w+\s*[,);=])"
_SIGNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "java": (
        ("C#", rf"{_SHARP}|\bnamespace\s+\w|\binternal\s+\w|\bdelegate\s*\("),
        ("C or C++", rf"{_C_ONLY_HERE}|\bnullptr\b|\bstd::|\bsizeof\s*\("),
        ("JavaScript", rf"[!=]==|\bfunction\b\s*\w*\s*\(|\bundefined\b|{_LONE_METHOD}"),
    ),
    "csharp": (
        ("Java", _JAVA),
        ("C or C++", rf"{_CPP}|{_C_ONLY_HERE}|\bprintf\s*\(|{_POINTERS}"),
        ("JavaScript", rf"{_SCRIPT_WORDS}|\.prototype\b|{_LONE_METHOD}"),
    ),
    "cpp": (
        (
            "Java",
            rf"\bSystem\.out\b|\bimport\s+java|\bfinal\s+\w+\s+\w+\s*[=;,)]|{_METHOD}|\bnull\b",
        ),
        ("C#", r"\bConsole\.(?:Write|Read)|\busing\s+System\s*;|\bforeach\s*\(|\bvar\s+\w+\s*="),
        ("JavaScript", rf"{_SCRIPT}|{_LONE_METHOD}"),
    ),
    "c": (
        ("C++", rf"{_CPP}|\bthis->|\bdelete\s*\[\]|\bpublic\s*:"),
        ("Java", rf"\bSystem\.out\b|\bboolean\s+\w|{_METHOD}|\bnew\s+[A-Z]\w*\s*[(<]"),
        ("JavaScript", _SCRIPT),
    ),
    "ruby": (
        (
            "not Ruby",
            r"\bnull\b(?!\s*(?::|=>))|\bfunction\b\s*\w*\s*\(|\bthis\.\w|\+\+[ \t]*[;)]|"
            r"[)\w];[ \t]*\n[^\n]*[)\w];[ \t]*$|\bnew\s+[A-Z]\w*\s*[(<]|"
            r"\b(?:const|var|let|void|boolean|public\s+\w+)\s+\w+\s*[=(]",
        ),
    ),
    "javascript": (("C or C++", r"#\s*include\b|\bstd::"),),
    "php": (("JavaScript", r"\b(?:let|var)\s+\w+\s*=|\bconsole\.log\b"),),
}  # fmt: skip


@cache
def _signs(language: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (other, re.compile(pattern, re.MULTILINE)) for other, pattern in _SIGNS.get(language, ())
    )


_TYPES = frozenset(
    {"type_annotation", "interface_declaration", "type_alias_declaration", "as_expression",
     "type_arguments", "satisfies_expression", "enum_declaration", "non_null_expression",
     "type_parameters", "accessibility_modifier", "type_predicate_annotation",
     "asserts_annotation", "readonly"}
)  # fmt: skip
_DECLARED = frozenset(
    {"function_declaration", "method_definition", "generator_function_declaration"}
)


def _untyped(code: str) -> Sign | None:
    """Return the first function with parameters in TypeScript that has no type at all, or None."""
    reading = read(code, "typescript")
    first: int | None = None
    pending = [reading.tree.root_node]
    while pending:
        node = pending.pop()
        if node.type in _TYPES:
            return None
        if node.type in _DECLARED and first is None:
            parameters = node.child_by_field_name("parameters")
            if parameters is not None and parameters.named_child_count:
                first = node.start_byte
        pending.extend(reversed(node.children))
    if first is None:
        return None
    line = reading.data.count(b"\n", min(reading.start, first), first) + 1
    return Sign(line, "parameters without a type, and no type anywhere, are JavaScript")


_C_LIBRARY = re.compile(
    r"\b(?:malloc|calloc|realloc|free|printf|scanf|fprintf|sprintf|snprintf|sscanf|puts|strlen|"
    r"strcpy|strncpy|strcmp|strncmp|strcat|strchr|strstr|strtok|strdup|memcpy|memset|memcmp|qsort|"
    r"atoi|fopen|fclose|fgets)\s*\("
)
_BEYOND_C = re.compile(
    rf"{_CPP}|::|\b(?:class|main|namespace|new|delete|auto|constexpr|virtual|override|public|"
    r"private|protected|operator|try|catch|throw|this|vector|string(?!\.h)|bool|using|noexcept|friend|"
    r"mutable|explicit|typename)\b|\w\s*&\s*\w+\s*[,)=]|\w\.\w+\s*\(|\w->\w+\s*\(|\w+<[\w:*, ]+>|"
    r"\bfor\s*\([^;)]*:[^;)]*\)|\[[&=]?\]\s*\(|\bextern\s+\"\""
)


def _plain_c(text: str) -> Sign | None:
    """Return the first call of C's library in code that has nothing that C has not, or None."""
    match = _C_LIBRARY.search(text)
    if match is None or _BEYOND_C.search(text):
        return None
    return Sign(
        text.count("\n", 0, match.start()) + 1,
        f"`{match[0]}…)` and nothing that C has not are C",
    )


_CALL = re.compile(r"(?<!\bnew\s)(?<![\w.])(?:\w+(?:\([^()]*\))?\s*\.\s*)+(\w+)\s*\(")
_DEFINITION = re.compile(
    r"(?<!\bnew\s)\b(?!(?:public|private|protected|internal|static|final|return|else|new|throw)\b)"
    r"\w+(?:<[\w<>, ]+>)?(?:\[\])*\s+(?!(?:if|for|while|switch|catch)\b)(\w+)\s*"
    r"\((?:[\w<>\[\].,@ \t\n?]*)\)\s*(?:throws [\w, .]+)?\{"
)
# So many names, all with the other language's capitals, are no accident; a definition counts twice.
_FEWEST_NAMES = 3


def _by_capitals(text: str, language: str) -> Sign | None:
    """Tell Java from C# by the first letters of methods, or return None.

    By the conventions of both, nearly without exception, they are small in Java and capital in C#.
    """
    names = [(match.start(), match[1], 1) for match in _CALL.finditer(text)]
    names += [(match.start(), match[1], 2) for match in _DEFINITION.finditer(text)]
    wrong = [one for one in names if one[1][:1].isupper() == (language == "java")]
    if len(wrong) < len(names) or sum(weight for _, _, weight in wrong) < _FEWEST_NAMES:
        return None
    letter, other = ("a capital", "C#") if language == "java" else ("a small letter", "Java")
    line = text.count("\n", 0, min(wrong)[0]) + 1
    return Sign(line, f"methods that all begin with {letter} are {other}")
