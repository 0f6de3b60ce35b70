"""Code as its syntax tree tells it, written again so that `tokens.symbols` reads it without doubt.

Comments and docstrings are gone, every string literal is empty, and every token stands alone.
"""

from collections.abc import Iterator

from wavecoder.languages import Leaf, functions, leaves, statements

__all__ = ["bodies", "rendered"]

_QUOTES = ("'", '"', "`")
_PREFIXES = "rRbBfFuU"


def rendered(code: str, language: str) -> str:
    """Return the code's tokens with spaces between them."""
    return " ".join(_words(leaves(code, language)))


def bodies(program: str, language: str) -> list[str]:
    """Return the bodies of a program's functions, rendered; signatures and docstrings are left out.

    A text without a function is one body.
    """
    found = []
    for span in functions(program, language):
        inside = statements(span.code, language)
        if not inside:
            continue
        data = span.code.encode("utf-8", "replace")
        start = data.find(inside[0].encode("utf-8", "replace"))
        last = inside[-1].encode("utf-8", "replace")
        end = data.rfind(last) + len(last)
        kept = (leaf for leaf in leaves(span.code, language) if start <= leaf.start < end)
        found.append(" ".join(_words(kept)))
    return found or [rendered(program, language)]


def _words(found: Iterator[Leaf]) -> Iterator[str]:
    for leaf in found:
        text = leaf.text
        bare = text.lstrip(_PREFIXES)
        if leaf.is_comment or bare.startswith(('"""', "'''")):
            continue
        yield '""' if bare.startswith(_QUOTES) else text
