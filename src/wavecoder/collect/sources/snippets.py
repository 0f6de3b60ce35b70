"""A function that stands alone, as datasets have it in a row: moved left, its doc comment cut out.

A row's text often begins at `def`, while the lines below keep the place they had in their file.
What comes out is what `languages.functions` would have cut from that file, so that one function
found in two places has one `content_hash`.
"""

import re
from inspect import cleandoc
from itertools import islice
from typing import NamedTuple

from wavecoder.collect.filters.secrets import shown
from wavecoder.collect.sources.rows import Fault
from wavecoder.languages import FunctionSpan, Language, functions, syntax_errors

__all__ = [
    "Snippet",
    "flush_left",
    "lone_function",
    "span_fault",
    "text_fault",
    "unix_lines",
    "without_docstring",
]

_PLAIN = r"""[^()\[\]{}'"#\\]++"""
_QUOTED = r"""'[^'\\\n]*+'|"[^"\\\n]*+\""""
# Brackets inside brackets, backslashes and comments are left to the parser.
_INSIDE = rf"(?:{_PLAIN}|\((?:{_PLAIN}|{_QUOTED})*+\)|\[(?:{_PLAIN}|{_QUOTED})*+\]|{_QUOTED})*+"
_HEADER = re.compile(
    rf"(?:async +)?def +\w+ *\({_INSIDE}\) *(?:-> *[\w.\[\], |]+)?:[ \t]*\n"
    r"(?:[ \t]*\n)*(?P<indent>[ \t]+)"
)
_DOC = re.compile(r'[rRuU]?"""((?:[^"\\]|\\[^"]|"(?!""))*+)"""[ \t]*\n(?:[ \t]*\n)*')
# What may be a docstring in another form, or a comment above one.
_UNSURE = re.compile(r"""[rRuUbBfF]{0,2}['"]|[#\\;]""")
_METHOD = re.compile(r"(?:async +)?def +\w+ *\(\s*(?:self|cls)\b")
_INDENTS = re.compile(r"\n([ \t]+)(?=\S)")
_CLOSERS = re.compile(r"[})\]]|end\b")


class Snippet(NamedTuple):
    """A function's parts."""

    code: str
    """At the left edge, without doc comment."""
    docstring: str | None
    name: str


def text_fault(text: str) -> Fault | None:
    """Return why a text can be no code in a record, or None."""
    if "\0" in text:
        return Fault("binary", f"it has a zero character at {text.index(chr(0))}")
    if not text or text.isspace():
        return Fault("empty", "it has no code, only space" if text else "it has no code")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Fault("not_utf8", f"it has half a character: {error}")
    return None


def unix_lines(text: str) -> str:
    """Return the text with line feeds only, without byte order mark."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff")


def flush_left(code: str, language: str, name: str = "") -> str:
    """Move code to the left edge, also where its first line is there already.

    How far the lines below stand from their place is read from the line that closes the function;
    in Python, where none does, from the indentation: a method's body is two steps in.

    Args:
        code: A function.
        language: A name from `wavecoder.languages`.
        name: Its name as far as known, qualified.
    """
    bare = code.lstrip()
    margin = code[: len(code) - len(bare)].rpartition("\n")[2]
    if not margin and "\n" in bare:
        margin = _python_margin(bare, name) if language == "python" else _closing_margin(bare)
    return bare.replace(f"\n{margin}", "\n") if margin else bare


def without_docstring(code: str) -> tuple[str, str | None, str] | None:
    """Return a Python function without its docstring, the docstring, and the name if it was read.

    Most functions are plain enough for a pattern; the rest is parsed, with the same outcome.

    Returns:
        None where the text is not one function.
    """
    code = code.rstrip()
    header = _HEADER.match(code)
    # Text at the left edge may be a second function, and a comment at the end may lie outside.
    if header and not re.search(r"\n(?=[^\s)\]}])|\n[ \t]*#[^\n]*\Z|\f", code):
        body = header.end()
        doc = _DOC.match(code, body)
        if doc:
            indent = header["indent"]
            after = doc.end() + len(indent)
            same = code.startswith(indent, doc.end()) and not code[after : after + 1].isspace()
            if same:
                return code[:body] + code[after:], cleandoc(doc[1]) or None, ""
        elif not _UNSURE.match(code, body):
            return code, None, ""
    spans = list(islice(functions(code, "python"), 2))
    if len(spans) != 1:
        return None
    return spans[0].code, spans[0].docstring, spans[0].name


def lone_function(code: str, row: Language, name: str = "") -> Snippet | Fault:
    """Return the parts of a text that is one function, parsed.

    Args:
        code: The text; a doc comment may stand above the function or in it.
        row: Its language.
        name: The function's name where it is known; it tells methods in Python.
    """
    code = flush_left(code, row.name, name)
    spans = list(islice(functions(code, row.name), 2))
    if row.wrap and (not spans or spans[0].issue):
        # A method without its class, which is no code by itself in some languages.
        before, after = row.wrap
        inside = list(islice(functions(before + code + after, row.name), 2))
        if inside and not inside[0].issue:
            spans = inside
    if not spans:
        issues = syntax_errors(code, row.name)
        if issues:
            return Fault("syntax_error", f"line {issues[0].line}, {shown(issues[0].what, code)}")
        return Fault("no_functions", "it has no function with a body")
    if len(spans) > 1:
        names = f"{spans[0].name} and {spans[1].name}"
        return Fault("several_functions", f"it has more than one, {names}; `cut: true` takes each")
    span = spans[0]
    if fault := span_fault(span, row):
        return fault
    name = span.name.removeprefix("X.")
    # In a class, a JavaScript function without a name is a method called so.
    return Snippet(span.code, span.docstring, "?" if name == "function" else name)


def span_fault(span: FunctionSpan, row: Language) -> Fault | None:
    """Return why a function that was cut out is no code, or None."""
    if span.issue is not None:
        what = shown(span.issue.what, span.code)
        return Fault("syntax_error", f"line {span.issue.line}, {what}")
    if alone := syntax_errors(span.code, row.name):
        what = shown(alone[0].what, span.code)
        return Fault("syntax_error", f"by itself it is no {row.title}, {what}")
    return None


def _closing_margin(code: str) -> str:
    """Return the white space before the line that closes the function."""
    last = code.rstrip().rpartition("\n")[2]
    bare = last.lstrip()
    return last[: len(last) - len(bare)] if _CLOSERS.match(bare) else ""


def _python_margin(code: str, name: str) -> str:
    """Return the white space that stood before `def`."""
    if code.startswith("@"):
        found = re.search(r"\n([ \t]*)(?=(?:async +)?def\b)", code)
        return found[1] if found else ""
    depth = name.count(".") or (1 if _METHOD.match(code) else 0)
    header = _HEADER.match(code) if depth else None
    if header:
        indent = header["indent"]
    else:
        indent = min(_INDENTS.findall(code), key=len, default="") if depth else ""
    # Steps are of one size: of a body depth + 1 steps in, depth steps are the classes'.
    steps, rest = divmod(len(indent) * depth, depth + 1)
    return "" if rest else indent[:steps]
