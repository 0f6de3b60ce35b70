"""Self-Instruct as Code Alpaca does it: a model shown some tasks makes up one more.

Three tasks are shown: some of our own, and, where `good_examples` is not 0, up to two that it made
in earlier rounds (Self-Instruct, arXiv 2212.10560; Code Alpaca shows its own alone). What comes
back goes through Code Alpaca's filters on the instruction, and is dropped where its ROUGE-L F with
one of ours or an instruction of an earlier round is above 0.7.

The original asks for 20 tasks a call. Here a call makes one, because one input has one outcome: a
function can then be counted, resumed and compared with what other methods made of it. And the
original reads no code at all. Here a function gives its language and, as the topic, the words of
its name; the model does not see its code. Two functions of the same round are not compared with
each other, as a round knows nothing of itself.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict

from wavecoder.errors import ConfigError
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.method import Desk, Outcome
from wavecoder.generate.methods.labels import is_open, parse_labels
from wavecoder.generate.methods.rouge import rouge_l
from wavecoder.generate.methods.unjudged import (
    accepted,
    ask,
    load_prompts,
    refuse_keys,
    refused,
)
from wavecoder.generate.sections import fences
from wavecoder.generate.task import Prompt
from wavecoder.languages import language
from wavecoder.records import Example, Rejected

__all__ = ["SelfInstruct", "instruction_problem", "topic"]

_SHOWN = 3
_MOST_MADE = 2
_MOST_ALIKE = 0.7
_FEWEST_WORDS, _MOST_WORDS = 4, 150
_NEXT_TASK = re.compile(r"\n[ \t#*]*(?:Now write )?Task \d+\b", re.IGNORECASE)


class _Starter(BaseModel):
    """A task of our own."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    language: str
    instruction: str
    input: str | None = None
    output: str


class _Prompts(BaseModel):
    """The data file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Prompt
    blacklist: tuple[str, ...]
    starters: tuple[_Starter, ...]


class SelfInstruct:
    """One call a function: three tasks in, one more out."""

    def __init__(self, config: GenerateConfig) -> None:
        """Load the prompt and our own tasks.

        Raises:
            ConfigError: The recipe sets a key that means nothing here, or asks for more examples
                than are shown.
        """
        refuse_keys(config)
        if config.good_examples > _MOST_MADE:
            raise ConfigError(
                f"generate.good_examples is {config.good_examples}; {config.method} shows at most "
                f"{_MOST_MADE} tasks that it made itself. Say 0, 1 or 2."
            )
        self.config = config
        self.prompts = load_prompts("self_instruct", _Prompts)
        self.own_examples: Sequence[Example] = ()
        arms = "|".join(re.escape(word) for word in self.prompts.blacklist)
        self._blacklist = re.compile(rf"\b(?:{arms})\b", re.IGNORECASE)

    def identity(self) -> Mapping[str, Any]:
        """Return the prompt, our own tasks and the list of words."""
        return {"prompts": self.prompts.model_dump(mode="json")}

    async def attempt(self, desk: Desk) -> Outcome:
        """Show some tasks, ask for one more, and filter it."""
        raw, rng = desk.raw, desk.rng()
        desk.task = "self-instruct"
        made, shown = self._examples(desk, rng)
        variables = {
            "language": language(raw.language).title,
            "topic": topic(raw.name),
            "examples": shown,
        }
        sampling = self.config.generator_sampling
        reply = await ask(desk, self.prompts.task, variables, sampling, rng.getrandbits(31))
        if isinstance(reply, Rejected):
            return reply
        # Only the first is looked at where the model goes on with the next task.
        first = _NEXT_TASK.split(reply.text.lstrip(), maxsplit=1)[0]
        sections = parse_labels(first, ("instruction", "input", "output"))
        if isinstance(sections, str):
            return refused(desk, reply, "no_sections", sections)
        if is_open(sections["output"]):
            return refused(desk, reply, "open_fence", "a code fence is not closed")
        empty = [name for name in ("instruction", "output") if not sections[name]]
        if empty:
            detail = f"the section {', '.join(empty)} is empty"
            return refused(desk, reply, "no_sections", detail)
        draft = accepted(
            desk,
            reply,
            instruction=sections["instruction"],
            information=_input(sections["input"]),
            solution=_unfenced(sections["output"]),
            example_ids=[one.id for one in made],
        )
        known = (
            *(one.instruction for one in self.prompts.starters),
            *desk.examples.instructions(desk.task),
        )
        problem = instruction_problem(draft.instruction, self._blacklist, known)
        return refused(desk, reply, *problem, draft) if problem else draft

    def _examples(
        self, desk: Desk, rng: Random
    ) -> tuple[Sequence[Example], list[dict[str, str | None]]]:
        """Return the machine-made examples of the prompt, and all of its examples, mixed."""
        if self.config.examples == "none":
            return (), []
        made: Sequence[Example] = ()
        if self.config.examples == "feedback" and desk.task:
            languages = (desk.raw.language, None)
            count = self.config.good_examples
            made = desk.examples.draw(desk.task, languages, rng, good=True, count=count)
        starters = rng.sample(self.prompts.starters, _SHOWN - len(made))
        shown = [
            *(_shown(one.language, one.instruction, one.input, one.output) for one in starters),
            *(_shown(one.language, one.instruction, one.information, one.solution) for one in made),
        ]
        rng.shuffle(shown)
        return made, shown


def topic(name: str) -> str:
    """Return the words of a function's name: `Path.readText2` gives `read text 2`."""
    last = name.rsplit(".", 1)[-1]
    words = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[^\W\d])(?=\d)|[\W_]+", " ", last)
    return " ".join(words.lower().split()) or last


def instruction_problem(
    instruction: str, blacklist: re.Pattern[str], known: Iterable[str]
) -> tuple[str, str] | None:
    """Return the first of Code Alpaca's filters that refuses an instruction, or None.

    Args:
        instruction: What the model made up.
        blacklist: Words that ask for more than text.
        known: Our own, and the instructions of earlier rounds.

    Returns:
        (reason, sentence).
    """
    words = len(instruction.split())
    if not _FEWEST_WORDS <= words <= _MOST_WORDS:
        detail = f"the instruction has {words} words; {_FEWEST_WORDS} to {_MOST_WORDS} are right"
        return "instruction_length", detail
    word = blacklist.search(instruction)
    if word:
        return "word", f"the instruction has the word {word[0]!r}, and a model of text has none"
    if instruction.startswith("Write a program"):
        return "write_a_program", "the instruction begins with 'Write a program'"
    first = instruction[0]
    if first in string.punctuation or not first.isascii():
        return "odd_beginning", f"the instruction begins with {first!r}"
    for other in known:
        score = rouge_l(instruction, other, least=_MOST_ALIKE)
        if score > _MOST_ALIKE:
            begins = " ".join(other.split()[:8])
            return "repeats", f"ROUGE-L {score:.2f} with the instruction that begins {begins!r}"
    return None


def _shown(name: str, instruction: str, input: str | None, output: str) -> dict[str, str | None]:
    return {
        "language": language(name).title,
        "instruction": instruction,
        "input": input,
        "output": output,
    }


def _input(text: str) -> str | None:
    """Return the information of a task, None where the model wrote that there is none."""
    plain = text.strip(" .`*\"'()<>-").lower()
    if plain in ("", "none", "noinput", "no input", "n/a", "null", "empty"):
        return None
    return _unfenced(text)


def _unfenced(text: str) -> str:
    """Return code that is all of a text without its fence; prose keeps its own."""
    blocks = fences(text)
    if len(blocks) == 1 and (blocks[0].start, blocks[0].end) == (0, len(text)):
        return blocks[0].body
    return text
