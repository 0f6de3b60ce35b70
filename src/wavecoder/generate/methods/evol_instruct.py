"""Evol-Instruct for code (WizardCoder, arXiv 2306.08568): a task made harder, then answered.

It begins with what the function is documented to do, or with one made up by a first call where it
has no doc comment; the original begins with Code Alpaca's instructions. One to three times the
model rewrites it by one of five means, drawn evenly; then it answers. A rewrite that is none is
left, and the instruction before it goes on, as the original puts it back into its pool. There each
generation of instructions is kept, so that the dataset holds all degrees of difficulty; here a
function gives one instance, and the number of rewrites is drawn.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict

from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.examples import purpose
from wavecoder.generate.method import Desk, Outcome
from wavecoder.generate.methods.unjudged import (
    accepted,
    ask,
    load_prompts,
    read_answer,
    refuse_keys,
    refused,
)
from wavecoder.generate.sections import fences
from wavecoder.generate.task import Prompt
from wavecoder.languages import language
from wavecoder.records import Example, Rejected

__all__ = ["EvolInstruct", "instruction_problem", "rewrite_problem"]

_MOST_ROUNDS = 3
_REWRITE_TOKENS = 512
"""Most tokens of a reply that is an instruction; one in a loop would fill any allowance."""
_FEWEST_WORDS = 4
_FEWEST_NEW_WORDS = 3
_MOST_WORDS_ADDED = 120
"""A means asks for about ten; one that shows wrong code adds more."""
_DECLINES = re.compile(
    r"\W*(?:(?:i'?m|i am|we are) (?:very |so )?sorry|sorry|i (?:cannot|can't|can not|am unable)|"
    r"as an ai\b|unfortunately)",
    re.IGNORECASE,
)


_START = "Write a {language} function `{name}` that does this: {docstring}"


class _Means(BaseModel):
    """A way to make a task harder, with a task before and after."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    way: str
    before: str
    after: str


class _Prompts(BaseModel):
    """The data file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    means: dict[str, _Means]
    first: Prompt
    rewrite: Prompt
    answer: Prompt
    leaks: tuple[str, ...]


class EvolInstruct:
    """Two to five calls a function: perhaps a first instruction, rewrites, the answer."""

    def __init__(self, config: GenerateConfig) -> None:
        """Load the prompts.

        Raises:
            ConfigError: The recipe sets a key that means nothing here.
        """
        refuse_keys(config, "good_examples")
        self.sampling = config.generator_sampling
        most = min(self.sampling.max_tokens, _REWRITE_TOKENS)
        self._short = self.sampling.model_copy(update={"max_tokens": most})
        self.prompts = load_prompts("evol_instruct", _Prompts)
        self.own_examples: Sequence[Example] = ()

    def identity(self) -> Mapping[str, Any]:
        """Return the prompts."""
        return {"prompts": {"start": _START, **self.prompts.model_dump(mode="json")}}

    async def attempt(self, desk: Desk) -> Outcome:
        """Begin, rewrite, answer."""
        desk.task = "evol-instruct"
        rng = desk.rng()
        begun = await self._begin(desk, rng)
        if isinstance(begun, Rejected):
            return begun
        evolved = await self._evolve(desk, begun, rng)
        if isinstance(evolved, Rejected):
            return evolved
        return await self._answer(desk, evolved, rng)

    async def _begin(self, desk: Desk, rng: Random) -> str | Rejected:
        """Return the instruction to begin with."""
        raw = desk.raw
        title, name = language(raw.language).title, raw.name.rsplit(".", 1)[-1]
        documented = purpose(raw.docstring)
        if documented and re.match(r"\w", documented):  # `@see Other` says nothing
            return _START.format(language=title, name=name, docstring=documented)
        variables = {"language": title, "tag": raw.language, "name": name, "code": raw.code}
        reply = await ask(desk, self.prompts.first, variables, self._short, rng.getrandbits(31))
        if isinstance(reply, Rejected):
            return reply
        problem = instruction_problem(reply.text, self.prompts.leaks)
        return refused(desk, reply, *problem) if problem else reply.text.strip()

    async def _evolve(self, desk: Desk, instruction: str, rng: Random) -> str | Rejected:
        """Return the instruction after one to three rewrites, those that are none left out."""
        title = language(desk.raw.language).title
        evolved, failure = False, None
        for _ in range(rng.randint(1, _MOST_ROUNDS)):
            name = rng.choice(sorted(self.prompts.means))
            means = self.prompts.means[name]
            request = {"language": title, "instruction": instruction, "way": means.way}
            example = ({**request, "instruction": means.before}, means.after)
            reply = await ask(
                desk,
                self.prompts.rewrite,
                request,
                self._short,
                rng.getrandbits(31),
                shown=(example,),
            )
            if isinstance(reply, Rejected):
                failure = reply
                continue
            problem = rewrite_problem(instruction, reply.text, self.prompts.leaks)
            if problem is None and bool(fences(reply.text)) != (name == "misleading"):
                problem = "code_or_not", f"the rewrite by {name} holds code, or lacks it"
            if problem:
                failure = refused(desk, reply, *problem)
                continue
            instruction, evolved = reply.text.strip(), True
        return instruction if evolved or failure is None else failure

    async def _answer(self, desk: Desk, instruction: str, rng: Random) -> Outcome:
        """Return the instance of an instruction and the model's answer to it."""
        variables = {"language": language(desk.raw.language).title, "instruction": instruction}
        reply = await ask(desk, self.prompts.answer, variables, self.sampling, rng.getrandbits(31))
        if isinstance(reply, Rejected):
            return reply
        if _DECLINES.match(reply.text):
            return refused(desk, reply, "declined", "the model declines to answer")
        solution = read_answer(reply.text, desk.raw)
        if isinstance(solution, tuple):
            return refused(desk, reply, *solution)
        return accepted(desk, reply, instruction=instruction, information=None, solution=solution)


def instruction_problem(text: str, leaks: Sequence[str]) -> tuple[str, str] | None:
    """Return why a reply is no instruction, as (reason, sentence), or None.

    Args:
        text: The reply.
        leaks: Words of the prompts that no instruction has, in lower case.
    """
    if _DECLINES.match(text):
        return "declined", "the model declines to write an instruction"
    prose = text
    for block in reversed(fences(text)):
        prose = prose[: block.start] + prose[block.end :]
    if len(prose.split()) < _FEWEST_WORDS:
        return "empty_instruction", f"the instruction has fewer than {_FEWEST_WORDS} words"
    leak = next((words for words in leaks if words in text.lower()), None)
    if leak:
        return "prompt_leak", f"the instruction has {leak!r} in it, which are the prompt's words"
    return None


def rewrite_problem(before: str, after: str, leaks: Sequence[str]) -> tuple[str, str] | None:
    """Return why a reply is no rewrite of an instruction, as (reason, sentence), or None."""
    problem = instruction_problem(after, leaks)
    if problem:
        return problem
    old, new = (re.findall(r"\w+", text.lower()) for text in (before, after))
    gained = len(set(new) - set(old))
    if gained < _FEWEST_NEW_WORDS:
        return "not_evolved", f"the rewrite has {gained} words that the instruction had not"
    if len(new) > len(old) + _MOST_WORDS_ADDED:
        detail = f"the rewrite has {len(new)} words, {len(new) - len(old)} more than before"
        return "overgrown", detail
    return None
