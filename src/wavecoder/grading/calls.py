"""Calls of a program in the text of tests, found to be wrapped."""

import re

__all__ = ["wrap_calls"]

_LITERALS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)'")


def wrap_calls(test: str, name: str, wrapper: str) -> str:
    """Return tests with every call of a function as the argument of a call of `wrapper`.

    Args:
        test: A benchmark's own text, in a language of quotes and parentheses.
        name: A pattern for what is called, without the parenthesis.
        wrapper: The name of a function that gives back what it gets.
    """
    blank = _LITERALS.sub(lambda found: "_" * len(found[0]), test)
    parts, done = [], 0
    for call in re.finditer(rf"\b{name}\(", test):
        if call.start() < done:
            raise ValueError(f"a call of {name} stands inside another one")
        end = _closing(blank, call.end())
        parts += [test[done : call.start()], f"{wrapper}({test[call.start() : end]})"]
        done = end
    return "".join([*parts, test[done:]])


def _closing(text: str, start: int) -> int:
    """Return the position behind the parenthesis that closes the one before `start`."""
    depth = 1
    for found in re.compile(r"[()]").finditer(text, start):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.end()
    raise ValueError("a parenthesis is not closed")
