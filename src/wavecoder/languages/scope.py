"""What code takes from outside itself."""

import builtins
import symtable
import warnings
from collections.abc import Iterator

from wavecoder.languages.syntax import leaves

__all__ = ["is_self_contained", "outside_names"]

# How a function speaks of the object or class it belongs to, as leaf texts.
_OWNERS = frozenset({"self", "this", "super", "cls", "$this"})
# What a module has without a line of it, beside what every module has.
_OF_MODULES = frozenset({"__file__", "__path__", "__annotations__"})


def outside_names(code: str, language: str) -> list[str]:
    """Return the names `code` uses and neither defines nor imports, in order, each once.

    Python only: every name that is not the code's own or a built-in, and `self` or `cls` of a
    function outside a class. For other languages, and for code that does not compile, the list is
    empty: what a function may take from its file cannot be told from the function.
    """
    module = _module(code) if language == "python" else None
    return list(dict.fromkeys(_free_names(module))) if module else []


def is_self_contained(code: str, language: str) -> bool:
    """Say whether a function can be read without its class or module.

    Python: it compiles and has no outside names. Other languages: it does not speak of the object
    it belongs to.
    """
    if language == "python":
        return _module(code) is not None and not outside_names(code, language)
    texts = (leaf.text for leaf in leaves(code, language))
    # Ruby writes an object's own variables `@x`; elsewhere `@` begins an annotation.
    return not any(
        text in _OWNERS or (language == "ruby" and text.startswith("@")) for text in texts
    )


def _module(code: str) -> symtable.SymbolTable | None:
    """Return the names of Python code, scope by scope, or None where it does not compile."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return symtable.symtable(code, "raw code", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_parameter()


def _free_names(module: symtable.SymbolTable) -> Iterator[str]:
    """Yield the names that Python code takes from outside itself."""
    tables = [module]
    for table in tables:
        tables.extend(table.get_children())
    own = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if _is_bound(symbol) and (table is module or symbol.is_declared_global())
    }
    known = own | vars(builtins).keys() | _OF_MODULES
    for table in tables:
        for symbol in table.get_symbols():
            name = symbol.get_name()
            # `is_global` is also True of the locals of a function that is called `top`.
            outside = symbol.is_global() and (not _is_bound(symbol) or symbol.is_declared_global())
            if (outside or table is module) and name not in known:
                yield name
    for function in module.get_children():
        if function.get_type() == "function":
            yield from (name for name in function.get_identifiers() if name in _OWNERS)
