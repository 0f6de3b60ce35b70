"""OSS-Instruct (Magicoder, arXiv 2312.02120): a few lines of real code inspire a problem.

One to fifteen consecutive lines of the function are shown; the model makes up a problem that stands
alone and solves it. Nobody judges: what is cut off, lacks a section or does not parse is dropped.
The original drops duplicates over the whole dataset and what is in a benchmark besides; here the
engine does, for every method.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict

from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.method import Desk, Outcome
from wavecoder.generate.methods.labels import parse_labels
from wavecoder.generate.methods.unjudged import (
    accepted,
    ask,
    load_prompts,
    read_answer,
    refuse_keys,
    refused,
)
from wavecoder.generate.task import Prompt
from wavecoder.languages import language
from wavecoder.records import Example, Rejected

__all__ = ["OssInstruct", "snippet"]

_MOST_LINES = 15


class _Prompts(BaseModel):
    """The data file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problem: Prompt


class OssInstruct:
    """One call a function: lines of it in, a problem and its solution out."""

    def __init__(self, config: GenerateConfig) -> None:
        """Load the prompt.

        Raises:
            ConfigError: The recipe sets a key that means nothing here.
        """
        refuse_keys(config, "good_examples")
        self.sampling = config.generator_sampling
        self.prompts = load_prompts("oss_instruct", _Prompts)
        self.own_examples: Sequence[Example] = ()

    def identity(self) -> Mapping[str, Any]:
        """Return the prompt."""
        return {"prompts": self.prompts.model_dump(mode="json")}

    async def attempt(self, desk: Desk) -> Outcome:
        """Ask for a problem and its solution, and read both."""
        raw = desk.raw
        desk.task = "oss-instruct"
        variables = {
            "language": language(raw.language).title,
            "tag": raw.language,
            "snippet": snippet(raw.code, desk.rng()),
        }
        seed = desk.rng().getrandbits(31)
        reply = await ask(desk, self.prompts.problem, variables, self.sampling, seed)
        if isinstance(reply, Rejected):
            return reply
        sections = parse_labels(reply.text, ("problem", "solution"))
        if isinstance(sections, str):
            return refused(desk, reply, "no_sections", sections)
        if not sections["problem"]:
            return refused(desk, reply, "no_sections", "the section problem is empty")
        solution = read_answer(sections["solution"], raw)
        if isinstance(solution, tuple):
            return refused(desk, reply, *solution)
        return accepted(
            desk, reply, instruction=sections["problem"], information=None, solution=solution
        )


def snippet(code: str, rng: Random) -> str:
    """Return 1 to 15 consecutive lines of the code, drawn evenly: their number, then their place.

    Lines without a word (`}`) are no idea to anyone and are drawn again. The indent stays: it shows
    that the lines come out of the middle of something.
    """
    lines = code.strip("\n").split("\n")
    if not re.search(r"\w", code):
        return code
    while True:
        count = min(rng.randint(1, _MOST_LINES), len(lines))
        first = rng.randrange(len(lines) - count + 1)
        drawn = "\n".join(lines[first : first + count])
        if re.search(r"\w", drawn):
            return drawn
