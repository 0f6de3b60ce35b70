"""Text in a language with braces becomes its outermost items: imports, functions, types, values.

A scanner of our own, not a parser: it takes time in proportion to the text's length whatever the
text is, finds code in the middle of prose and keeps to it when the end is missing. A parser of the
whole language does none of the three; tree-sitter takes memory by the square of the length on
`a<a<a<…` in Java. The price: what looks like an item is one, right or wrong.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Item", "Kind", "bare", "items", "open_braces"]

_LINE = 400
"""Characters of a line by which it is judged: what decides stands in front."""


class Kind(StrEnum):
    """What an item is."""

    IMPORT = "import"
    FUNCTION = "function"
    TYPE = "type"
    VALUE = "value"
    PACKAGE = "package"
    OTHER = "other"
    """A line of prose, a statement, a comment on its own: anything else."""


@dataclass(frozen=True)
class Item:
    """A piece of the text at its outermost level."""

    kind: Kind
    name: str
    """The name it defines, or nothing."""
    text: str
    """With the comments and attributes in front of it."""
    code: str
    """Without them."""
    start: int
    end: int
    closed: bool = True
    """False where the text ends inside it."""
    body: int | None = None
    """Where its opening brace is in `code`; None where it has none."""

    def has_body(self, language: str) -> bool:
        """Say whether there is anything between its braces but comments."""
        if self.body is None:
            return self.kind is Kind.VALUE
        inner = bare(self.code[self.body + 1 :], language)
        return bool(inner.strip("{}();, \t\n")) and not re.match(r"\s*todo!\(", inner)


_STRING = r'"(?:[^"\\\n]|\\.)*+"?'
_CHARACTER = r"'(?:\\[^\n][^'\n]{0,8}|[^'\\\n])'"
_SPLITS = r"//[^\n]*|/\*|[{}()\[\];\n]"
_TOKENS = {
    "go": rf"{_SPLITS}|{_STRING}|{_CHARACTER}|`",
    "java": rf'{_SPLITS}|"""|{_STRING}|{_CHARACTER}',
    "cpp": rf'{_SPLITS}|R"[^\s()\\"]{{0,16}}\(|{_STRING}|{_CHARACTER}',
    # A string may go on over lines.
    "rust": rf'{_SPLITS}|\bb?r#*"|"(?:[^"\\]|\\.)*+"?|{_CHARACTER}',
    "javascript": rf"{_SPLITS}|{_STRING}|'(?:[^'\\\n]|\\.)*+'?|`|/",
}
_TOKEN = {name: re.compile(pattern, re.DOTALL) for name, pattern in _TOKENS.items()}
_END = {"/*": "*/", "`": "`", '"""': '"""'}
_TEMPLATE = re.compile(r"\\.|`|\$\{", re.DOTALL)
_REGEX = re.compile(r"/(?:[^/\\\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n]){0,99}+\]){1,499}+/\w{0,9}+")
_REGEX_AFTER = re.compile(r"(?:[=(,:;!&|?{}\[+*%<>~^-]|^|\breturn|\btypeof|\bcase)\Z")

_MODIFIED = r"(?:(?:public|private|protected|static|final|abstract|sealed|strictfp) )*"
_PUB = r"(?:pub(?:\([\w: ]+\))? )?"
_HEADS = {
    "go": (
        (Kind.PACKAGE, r"package (?P<name>\w+);?$"),
        (Kind.IMPORT, r'import ?(?:\(|(?:[\w.]+ )?["`])'),
        (Kind.FUNCTION, r"func (?:\([^)]*\) ?)?(?P<name>\w+) ?[(\[]"),
        (Kind.TYPE, r"type (?:\(|(?P<name>\w+) ?(?:=|\*|\[|struct|interface|func|map|chan|\w+$))"),
        (Kind.VALUE, r"(?:var|const) (?:\(|(?P<name>\w+)(?:[ ,]*[\w., \[\]*]*=| [\w.\[\]*{}]+$))"),
    ),
    "rust": (
        (Kind.IMPORT, rf"{_PUB}(?:use (?:::)?(?:\{{|\w+ ?(?:::|;|as\b))|extern crate \w+)"),
        (
            Kind.FUNCTION,
            rf'{_PUB}(?:(?:async|const|unsafe|extern(?: "C")?) )*fn (?P<name>\w+) ?[(<]',
        ),
        (Kind.TYPE, rf"{_PUB}(?:struct|enum|trait|union) (?P<name>\w+)(?: ?[{{;(<:]|$| where)"),
        (Kind.TYPE, rf"{_PUB}type (?P<name>\w+)[^=]*="),
        (Kind.TYPE, r"(?:unsafe )?impl\b[^;]*(?:\{|$)"),
        (Kind.TYPE, rf"{_PUB}mod (?P<name>\w+) ?[{{;]"),
        (Kind.TYPE, r"macro_rules! ?(?P<name>\w+)"),
        (Kind.VALUE, rf"{_PUB}(?:const|static) (?:mut )?(?P<name>\w+) ?:"),
    ),
    "java": (
        (Kind.PACKAGE, r"package [\w.]+ ?;"),
        (Kind.IMPORT, r"import (?:static )?[\w.*]+ ?;"),
        (
            Kind.TYPE,
            rf"{_MODIFIED}(?:class|interface|enum|record|@interface) (?P<name>\w+)"
            r"(?: ?[{(<]|$| extends | implements )",
        ),
    ),
    "cpp": (
        (Kind.IMPORT, r"# ?\w+"),
        (Kind.IMPORT, r"using (?:namespace )?[\w:]+(?: ?;| ?=)"),
        (
            Kind.TYPE,
            r"(?:typedef )?(?:struct|class|enum(?: class)?|union) (?P<name>\w+) ?(?:[{:]|$)",
        ),
        (Kind.TYPE, r"typedef [^.!?]+;"),
        (Kind.TYPE, r"(?:inline )?namespace(?: (?P<name>\w+))? ?(?:\{|$)"),
    ),
    "javascript": (
        (Kind.IMPORT, r"import (?:[\w{*\"']|.* from )"),
        (
            Kind.FUNCTION,
            r"(?:export (?:default )?)?(?:async )?function ?\*? ?(?P<name>[\w$]+) ?\(",
        ),
        (
            Kind.FUNCTION,
            r"(?:export )?(?:(?:const|let|var) )?(?P<name>[\w$]+) ?= ?"
            r"(?:async ?)?(?:function\b|\([^()]*\) ?=>|\($|[\w$]+ ?=>|\((?=[^;]*=> ?\{))",
        ),
        (
            Kind.TYPE,
            r"(?:export (?:default )?)?class (?P<name>[\w$]+)(?: extends [\w$.]+)? ?(?:\{|$)",
        ),
        (Kind.VALUE, r"(?:export )?(?:const|let|var) (?:(?P<name>[\w$]+) ?(?:=|;|,|$)|[{\[])"),
    ),
}
_HEAD = {
    name: [(kind, re.compile(pattern)) for kind, pattern in rows] for name, rows in _HEADS.items()
}
_CALLABLE = ("cpp", "java")
"""Languages whose functions begin with a type, and with no word that says so."""
_TYPES = re.compile(r"[\w<>,\[\]&*?.:~@ ]+")
_CALLED = re.compile(r"(?P<before>.*[ &*>\]])(?P<name>~?\w+|operator.{1,4}) ?\Z")
_STATEMENT = re.compile(
    r"(?:return|if|for|while|switch|else|do|throw|new|case|delete|catch|try|assert|goto|break)\b"
)
_BEHIND_PARAMETERS = re.compile(
    r"[^()]*\)\s*(?:(?:const|noexcept|override|final|throws)\b[\w\s,.]*)?"
    r"(?:->[\w:<>,\s&*]+)?\s*\Z"
)
_PLAIN_VALUE = re.compile(
    r"(?:(?:const|static|constexpr|final|inline|public|private|protected|unsigned|signed|long|short"
    r"|int|double|float|bool|boolean|char|string|String|auto|size_t) )+[\w<>,\[\]:&* ]*[=;{]"
    r"|(?:std::)?(?:vector|map|set|unordered_map|unordered_set|string|array|pair|List|Map|Set)\b"
    r"[\w<>,\[\]:&* ]*[=;{]"
)
_LEAD = re.compile(r"//|/\*|@\w|#!?\[|template ?<[^(]*>$")
_SEMICOLON = re.compile(r"[ \t]*;")
_SPACES = re.compile(r"[ \t]+")
_GOES_ON = {
    "go": re.compile(r"[,+*/&|=(.{\[<-]\Z"),
    "javascript": re.compile(r"(?:[=,+*/&|?:(<>.{\[-]|\breturn)\Z"),
}
_NEXT_GOES_ON = re.compile(r"\s*(?:[.?:)=&|+*,{\]-]|/(?![/*]))")


def items(text: str, language: str) -> list[Item]:
    """Return the outermost items of a text, in order; what is between them is `Kind.OTHER`.

    Args:
        text: Code, prose, or both.
        language: `go`, `java`, `cpp`, `rust` or `javascript`.
    """
    return list(_Scan(text, language).items())


def open_braces(text: str, language: str) -> int:
    """Return how many braces are open at the end of a text."""
    depth = 0
    for token, _, _ in _tokens(text, language):
        if token == "{":
            depth += 1
        elif token == "}":
            depth = max(0, depth - 1)
    return depth


def bare(text: str, language: str) -> str:
    """Return a text without its comments and the insides of its strings."""
    pieces = []
    begun = 0
    for token, start, end in _tokens(text, language):
        if token in ("//", '"x"'):
            pieces.append(text[begun:start])
            pieces.append(" " if token == "//" else '"x"')
            begun = end
    return "".join([*pieces, text[begun:]])


def _tokens(text: str, language: str) -> Iterator[tuple[str, int, int]]:
    """Yield brackets, semicolons and ends of lines, with their places.

    A comment comes as `//`, a string as `"x"`; ends of lines inside them do not come.
    """
    pattern = _TOKEN[language]
    at = 0
    templates: list[int] = []
    """For each template literal around, how many braces are open in its placeholder."""
    while match := pattern.search(text, at):
        token, here, at = match[0], match.start(), match.end()
        if token in "{}()[];\n":
            if templates and token in "{}":
                templates[-1] += 1 if token == "{" else -1
                if templates[-1] == 0:
                    templates.pop()
                    at = _template(text, at, templates)
                    continue
            yield token, here, at
        elif token == "`" and language == "javascript":
            at = _template(text, at, templates)
            yield '"x"', here, at
        elif token == "/":
            before = text[max(0, here - 16) : here].rstrip()
            regex = _REGEX.match(text, here) if _REGEX_AFTER.search(before) else None
            at = regex.end() if regex else at
        else:
            at = _whole(text, token, at)
            yield "//" if token[0] == "/" else '"x"', here, at


def _whole(text: str, token: str, at: int) -> int:
    """Return where a comment or string ends whose beginning is `token` and ends at `at`."""
    if token in _END:
        return _behind(text, _END[token], at)
    if token[0] == "R":
        return _behind(text, f'){token[2:-1]}"', at)
    if token[0] in "br":
        return _behind(text, '"' + "#" * token.count("#"), at)
    return at


def _behind(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return found + len(mark) if found >= 0 else len(text)


def _template(text: str, at: int, templates: list[int]) -> int:
    """Return where a template literal ends, or the code in its next placeholder begins."""
    while match := _TEMPLATE.search(text, at):
        at = match.end()
        if match[0] == "`":
            return at
        if match[0] == "${":
            templates.append(1)
            return at
    return len(text)


class _Scan:
    """One pass over a text."""

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self.language = language
        self.open: list[str] = []
        """The brackets that are open."""
        self.braces = 0
        """How many of them are braces."""
        self.begun = 0
        """Where the next item begins, with what leads to it."""
        self.lead: int | None = None
        self.head: int | None = None
        """Where the item begins that the scan is in."""
        self.kind = Kind.OTHER
        self.name = ""
        self.body: int | None = None

    def items(self) -> Iterator[Item]:
        """Yield the items."""
        text = self.text
        self._line(0)
        for token, here, end in _tokens(text, self.language):
            if token == "\n":
                yield from self._end_line(here, end)
            elif token in "{([":
                if token == "{" and self.depth == 0:
                    self._open(here)
                self.open.append(token)
                self.braces += token == "{"
            elif token in "})]":
                self._close(token)
                if token == "}" and self.depth == 0 and self._ends_at_brace(end):
                    yield from self._finish(self._with_semicolon(end))
            elif token == ";" and self.depth == 0:
                yield from self._finish(end)
        if self.head is not None:
            whole = self.depth == 0 and self.kind is not Kind.OTHER
            yield from self._finish(len(text), closed=whole)
        yield from self._gap(len(text))

    def _end_line(self, here: int, end: int) -> Iterator[Item]:
        """See the end of a line."""
        if self._ends_at_line(here):
            yield from self._finish(here)
        if self._begins_anew(end):
            yield from self._give_up(end)
        if self.depth == 0:
            self._line(end)

    @property
    def depth(self) -> int:
        """How many brackets are open."""
        return len(self.open)

    def _close(self, token: str) -> None:
        """See a closing bracket; in broken code one too many or too few changes no brace."""
        if token != "}":
            if self.open and self.open[-1] != "{":
                self.open.pop()
            return
        while self.open and (self.braces == 0 or self.open[-1] != "{"):
            self.open.pop()
        if self.open:
            self.open.pop()
            self.braces -= 1

    def _line(self, start: int) -> None:
        """Judge a line at the outermost level: does an item begin here?"""
        if self.head is not None and self.kind is not Kind.OTHER and not self._waits():
            return
        end = self.text.find("\n", start)
        end = len(self.text) if end < 0 else end
        line = _SPACES.sub(" ", self.text[start : min(end, start + _LINE)]).strip()
        if self._waits() and (not line or line[0] in "{:" or line.startswith(("throws ", "where"))):
            return
        kind, name = _judge(line, self.language)
        if kind is Kind.OTHER:
            if self._waits():
                self.head = None
            leads = bool(_LEAD.match(line))
            self.lead = (start if self.lead is None else self.lead) if leads else None
            return
        self.head, self.kind, self.name, self.body = start, kind, name, None

    def _waits(self) -> bool:
        """Say whether what looks like a function's first line has no brace yet."""
        waits = self.kind is Kind.FUNCTION and self.language in _CALLABLE and self.body is None
        return self.head is not None and waits

    def _open(self, here: int) -> None:
        """See an opening brace at the outermost level."""
        if self.head is None:
            self.head = self.text.rfind("\n", 0, here) + 1 if self.lead is None else self.lead
            self.head = max(self.head, self.begun)
            self.kind, self.name = Kind.OTHER, ""
        if self._waits():
            before = self.text[max(self.head, here - _LINE) : here]
            if not _BEHIND_PARAMETERS.search(before[before.rfind("(") + 1 :]):
                self.kind, self.name = Kind.OTHER, ""
        # In Go, a result of type interface{} has braces in front of the body's.
        if self.body is None or self.language == "go":
            self.body = here

    def _ends_at_line(self, here: int) -> bool:
        if self.head is None or self.depth:
            return False
        if self.language == "cpp":
            hash_line = self.text[self.head : self.head + _LINE].lstrip().startswith("#")
            return hash_line and self.text[here - 1] != "\\"
        if self.language not in _GOES_ON:
            return False
        before = self.text[max(self.head, here - 40) : here].rstrip()
        if _GOES_ON[self.language].search(before) and not before.endswith(("++", "--", "*/")):
            return False
        return self.language == "go" or not _NEXT_GOES_ON.match(self.text[here : here + 80])

    def _ends_at_brace(self, end: int) -> bool:
        if self.head is None:
            return False
        if self.language == "go":
            return False  # at the line's end; a result of type interface{} may stand in front
        if self.language == "javascript" and self.kind is not Kind.TYPE:
            behind = self.text[end : end + 40].lstrip(" \t")
            return not behind or behind[0] not in ".,([=?:&|+-*/;\n" or behind[0] == ";"
        return True

    def _with_semicolon(self, end: int) -> int:
        behind = _SEMICOLON.match(self.text, end)
        return behind.end() if behind else end

    def _begins_anew(self, start: int) -> bool:
        """Say whether the same function begins again at the edge, inside itself.

        A prompt's stub, which is never closed, may stand in front of the whole function.
        """
        if not self.depth or start >= len(self.text) or self.text[start].isspace():
            return False
        if self.head is not None and self.kind is not Kind.FUNCTION and self.kind is not Kind.OTHER:
            return False
        line = _SPACES.sub(" ", self.text[start : start + _LINE].partition("\n")[0]).strip()
        kind, name = _judge(line, self.language)
        if self.head is None or self.kind is Kind.OTHER:
            return kind in (Kind.FUNCTION, Kind.TYPE)
        return kind is Kind.FUNCTION and name == self.name

    def _give_up(self, here: int) -> Iterator[Item]:
        if self.head is not None:
            yield from self._finish(here, closed=False)
        self.open.clear()
        self.braces = 0

    def _finish(self, end: int, *, closed: bool = True) -> Iterator[Item]:
        """Yield the item that ends here, and what stands in front of it."""
        if self.head is None:
            yield from self._gap(end)
            return
        kind, body = self.kind, self.body
        if kind is Kind.FUNCTION and body is None and self.language in _CALLABLE:
            kind = Kind.OTHER  # a prototype, or prose with brackets
        start = self.head if self.lead is None else min(self.lead, self.head)
        yield from self._gap(start)
        code = self.text[self.head : end]
        place = None if body is None else body - self.head
        name = "" if kind is Kind.OTHER else self.name
        text = self.text[start:end]
        yield Item(kind, name, text, code, start, end, closed, place)
        self.begun, self.head, self.lead, self.body = end, None, None, None
        self.kind, self.name = Kind.OTHER, ""

    def _gap(self, end: int) -> Iterator[Item]:
        """Yield what is between the last item and here, if it is more than space."""
        text = self.text[self.begun : end]
        if text.strip():
            yield Item(Kind.OTHER, "", text, text, self.begun, end)
        self.begun = max(self.begun, end)


def _judge(line: str, language: str) -> tuple[Kind, str]:
    """Return what begins with a line whose runs of space are single spaces, and its name."""
    if not line:
        return Kind.OTHER, ""
    for kind, pattern in _HEAD[language]:
        if found := pattern.match(line):
            return kind, found.groupdict().get("name") or ""
    if language in _CALLABLE:
        before, paren, _ = line.partition("(")
        if paren and _TYPES.fullmatch(before) and line[0] != "*":
            called = _CALLED.match(before)
            if called and not _STATEMENT.match(line):
                return Kind.FUNCTION, called["name"]
        if _PLAIN_VALUE.match(line):
            return Kind.VALUE, ""
    return Kind.OTHER, ""
