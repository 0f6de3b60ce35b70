"""A function that does nothing of what it should, under the same signature."""

from wavecoder.behaviour.drivers.edits import spliced
from wavecoder.behaviour.shapes import Shape, ShapeKind, shape, top_level
from wavecoder.behaviour.signatures import Found, of_subject
from wavecoder.behaviour.subjects import Subject

__all__ = ["stub"]

K = ShapeKind
_SIMPLE = {K.INT: "0", K.FLOAT: "0.0", K.TEXT: '""', K.BOOL: "false", K.CHAR: "'a'"}
_SCRIPT = {**_SIMPLE, K.FLOAT: "0", K.LIST: "[]", K.SET: "new Set()", K.MAP: "{}", K.TUPLE: "[]"}
_PYTHON = {**_SIMPLE, K.BOOL: "False", K.LIST: "[]", K.SET: "set()", K.MAP: "{}", K.TUPLE: "()"}
_PHP = {**_SIMPLE, K.LIST: "[]", K.MAP: "[]"}


def stub(subject: Subject) -> Subject | None:
    """Return the subject with a body that gives back a constant, or nothing.

    The constant is the plainest of the declared type: 0, an empty text or list, a zero value. Where
    a type has none that can be written the body raises. Tests that this passes test nothing.

    Args:
        subject: A function with a body; None comes back for one without.
    """
    found = of_subject(subject)
    if found is None or found.body is None:
        return None
    body = _body(subject, found)
    start, end = found.body
    data = subject.code.encode("utf-8", "replace")
    if subject.language == "python":
        line = data.rfind(b"\n", 0, start) + 1
        lead = data[line:start]
        if lead.strip():  # on the line of its head
            body = body.strip()
    return Subject(spliced(subject.code, start, end, body), subject.language, subject.function)


def _body(subject: Subject, found: Found) -> str:
    language, returns = subject.language, found.signature.returns
    known = shape(returns, language) if returns else None
    if language == "python":
        return f"return {_constant(known, _PYTHON, 'None')}"
    if language == "ruby":
        return "nil"
    if language in ("javascript", "typescript"):
        value = _constant(known, _SCRIPT, "null")
        if found.expression:
            return f"({value})"
        return "{ }" if returns == "void" else f"{{ return {value}; }}"
    if language == "go":
        return _go(returns)
    made = {"php": _php, "java": _java, "rust": _rust}.get(language, _cpp)(returns, known)
    return f"{{ {made} }}"


def _php(returns: str, known: Shape | None) -> str:
    if returns in ("void", "static", "never"):
        return ""
    may = not returns or returns.startswith("?") or "null" in returns or returns == "mixed"
    value = _constant(known, _PHP, "null" if may else "")
    return f"return {value};" if value else 'throw new \\Exception("nothing");'


def _cpp(returns: str, known: Shape | None) -> str:
    if returns.endswith("void"):
        return ""
    if known is None and returns.endswith("&"):
        return "throw 0;"
    # A reference needs something that stays.
    if returns.endswith("&"):
        kind = returns.removesuffix("&").removeprefix("const ").strip()
        return f"static {kind} made; return made;"
    return "return {};" if "auto" not in returns else "return 0;"


def _constant(known: Shape | None, table: dict[ShapeKind, str], otherwise: str) -> str:
    return table.get(known.kind, otherwise) if known is not None else otherwise


def _java(returns: str, known: Shape | None) -> str:
    if returns == "void":
        return ""
    if known is None or known.kind is K.ANY:
        return "return null;"
    if known.kind is K.LIST and returns.endswith("[]"):
        base = returns.partition("<")[0].replace("[]", "")
        return f"return new {base}[0]{'[]' * (returns.count('[]') - 1)};"
    tree = "Tree" in returns
    plain = ("List", "ArrayList", "Collection", "Iterable")
    made = {
        K.LIST: "ArrayList" if returns.startswith(plain) else "",
        K.SET: "TreeSet" if tree else "HashSet",
        K.MAP: "TreeMap" if tree else "HashMap",
    }.get(known.kind, "")
    if made:
        return f"return new java.util.{made}<>();"
    if known.kind is K.MAYBE:
        return "return java.util.Optional.empty();"
    return f"return {_constant(known, _SIMPLE, 'null')};"


def _go(returns: str) -> str:
    text = " ".join(returns.split())
    if not text:
        return "{ }"
    parts = text[1:-1] if text.startswith("(") else text
    kinds = top_level(parts)
    # Named results have a name before the type; of `a, b int` the first is a name alone.
    if text.startswith("(") and any(
        " " in one and not one.startswith(("map[", "func", "chan ")) for one in kinds
    ):
        return "{ return }"
    names = [f"made{at}" for at in range(len(kinds))]
    lets = "; ".join(f"var {name} {kind}" for name, kind in zip(names, kinds, strict=True))
    return f"{{ {lets}; return {', '.join(names)} }}"


def _rust(returns: str, known: Shape | None) -> str:
    if returns in ("", "()"):
        return ""
    if known is not None and known.borrowed == "&":
        return {K.TEXT: '""', K.LIST: "&[]"}.get(known.kind, "unimplemented!()")
    if returns.startswith("Result<"):
        inner = _rust(top_level(returns[7:-1])[0], shape(top_level(returns[7:-1])[0], "rust"))
        return f"Ok({inner or '()'})" if inner != "unimplemented!()" else inner
    if known is None or known.borrowed:
        return "unimplemented!()"
    return "Default::default()"
