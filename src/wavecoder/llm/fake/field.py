"""What the fake endpoint says to the prompts of OSS-Instruct, Evol-Instruct and Self-Instruct.

Like a model, it goes by what a prompt asks for; replies pass the filters of these methods.
"""

import re
from collections.abc import Callable
from functools import partial
from random import Random

from wavecoder.llm.fake.code import NOUNS, TITLES, VERBS, Made, function

__all__ = ["Write", "writer"]

Write = Callable[[Random], str]
"""Returns a reply; the generator decides what the prompt leaves open."""

_PARTS = re.compile(r"the mark \[Problem\].*?one `{3,}([^\s`]+) block", re.DOTALL)
_SENTENCE = re.compile(r'asks for `([^`\n]+)`, beginning with "Write an? ([^"\n]+?) function"')
_CODE_ALONE = re.compile(r"correct (\S+) code in one `{3,} fence")
_ONE_MORE = re.compile(r"^Now write task \d+\. Language: (.+?)\. ", re.MULTILINE)
_HARDER = "Make it harder: "
_LANGUAGE = re.compile(r"Write an? (\S+) (?:function|method)")
_FENCE = re.compile(r"^`{3,}.*?^`{3,}$", re.DOTALL | re.MULTILINE)
_TAGS = {title: tag for tag, title in TITLES.items()}


def writer(system: str, asked: str) -> Write | None:
    """Return who writes what a prompt asks for, or None where it is none of these methods'.

    Args:
        system: The first message.
        asked: The last one.
    """
    before, harder, way = asked.rpartition(_HARDER)
    if harder:
        return partial(_harder, before.strip(), "wrong code" in way)
    # The last that is found: what is quoted in a prompt stands before what it asks for.
    if found := _PARTS.findall(asked):
        return partial(_problem, found[-1])
    if found := _SENTENCE.findall(asked):
        return partial(_sentence, *found[-1])
    if found := _ONE_MORE.findall(asked):
        return partial(_task, found[-1])
    if found := _CODE_ALONE.findall(system):
        return partial(_answer, found[-1])
    return None


def _problem(tag: str, rng: Random) -> str:
    instruction, made = _made_up(tag, rng)
    return f"[Problem]\n{instruction}\n\n[Solution]\n{_fenced(tag, made)}"


def _task(title: str, rng: Random) -> str:
    tag = _TAGS.get(title, "python")
    instruction, made = _made_up(tag, rng)
    return f"Instruction: {instruction}\nInput: none\nOutput:\n{_fenced(tag, made)}"


def _sentence(name: str, title: str, rng: Random) -> str:
    one, two = _numbers(rng, 2)
    return (
        f"Write a {title} function `{name}` that takes a number and returns it times {one}, or "
        f"{two} where it is below zero."
    )


def _harder(instruction: str, astray: bool, rng: Random) -> str:
    """Add a requirement, and wrong code where that is asked for; such code does not stay."""
    words = _FENCE.sub("", instruction).strip()
    one, two, three = _numbers(rng, 3)
    more = rng.choice(
        (
            f"Results from {one} to {one + two} grow by {three}.",
            f"It also counts how often it returned {one}, and stops after {two} or {three} times.",
            f"Where the outcome would pass {one + two}, it is {three} less than {one}.",
        )
    )
    if not astray:
        return f"{words} {more}"
    title = _LANGUAGE.search(words)
    tag = _TAGS.get(title[1], "python") if title else "python"
    wrong = function(tag, f"attempt_{three}", rng)
    return f"{words} {more} This attempt is wrong:\n{_fenced(tag, wrong)}"


def _answer(title: str, rng: Random) -> str:
    tag = _TAGS.get(title, "python")
    made = function(tag, _name(rng), rng)
    return f"{_fenced(tag, made)}\n\nWhat is above {made.above} is multiplied by {made.times}."


def _made_up(tag: str, rng: Random) -> tuple[str, Made]:
    """Return an instruction and what solves it.

    Half of its words are numbers, so that two of them are no more alike than Self-Instruct allows.
    """
    name = _name(rng)
    made = function(tag, name, rng)
    shown = ", ".join(f"{number} becomes {made.of(number)}" for number in _numbers(rng, 6))
    return (
        f"Write a {TITLES.get(tag, tag)} function `{name}(number)`: above {made.above} it returns "
        f"the number times {made.times}, else the number less {made.less}. So {shown}.",
        made,
    )


def _name(rng: Random) -> str:
    return f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}_{rng.randrange(100, 1000)}"


def _numbers(rng: Random, count: int) -> list[int]:
    return rng.sample(range(100, 20_000), count)


def _fenced(tag: str, made: Made) -> str:
    return f"```{tag}\n{made.code}\n```"
