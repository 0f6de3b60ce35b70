"""What the fake endpoint says: texts made from a prompt and the hash of its request.

It knows our own prompts by their words: a generator's prompt gets four sections that pass the
checks, a discriminator's a verdict, those of the other methods what `field.py` writes, and any
other prompt a line of text and a fence of code.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from wavecoder.llm.fake.code import NOUNS, TITLES, VERBS, function
from wavecoder.llm.fake.field import Write, writer

__all__ = ["ODD_VERDICTS", "Prompt", "embedding", "fitting", "read_prompt", "text_of", "tokens"]

_RULE = re.compile(r"^rule (\d+): (?!yes or no)", re.MULTILINE)
_TASK = re.compile(r"^task_name: (.+)$", re.MULTILINE)
_SHOWN = re.compile(r"function[^\n]*:\n`{3,}([^\s`]+)\n")
_TARGET = re.compile(r"in one `{3,}([^\s`]+) fence")
_NAME = re.compile(r"for `([^`\n]+)`\.\s*\Z")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt asks for, as far as its words tell."""

    rules: int = 0
    """Rules of a verdict; 0 where none is asked for."""
    task: str = ""
    """A generator's task, as the prompt calls it: `code repair`."""
    language: str = "python"
    target: str = ""
    """Tag of the language of a translation."""
    name: str = ""
    """The function that is spoken of; empty where the reply makes up one."""
    write: Write | None = None
    """Writes the reply to a prompt of another method than the paper's."""

    def reply(self, number: int, *, refuse: float = 0.0, odd: bool = False) -> str:
        """Return the reply's text.

        Args:
            number: Hash of the request; it decides all that the prompt leaves open.
            refuse: Share of verdicts in which one rule is no.
            odd: Give a verdict in one of the forms of `ODD_VERDICTS`.
        """
        rng = Random(number)
        if self.rules:
            refused = self._refused(rng, refuse)
            if odd:
                return rng.choice(list(ODD_VERDICTS.values()))(self.rules)
            return "\n".join([*_rule_lines(self.rules, refused), f"overall: {_word(refused < 0)}"])
        if self.task:
            parts = self._sections(rng)
            if "\n" in parts["solution"]:
                tag = self.target or self.language
                parts["solution"] = f"\n```{tag}\n{parts['solution']}\n```"
            return "\n".join(f"{name}: {text}" for name, text in parts.items())
        if self.write is not None:
            return self.write(rng)
        code = function("python", f"answer_{number % 9973}", rng).code
        return f"This is reply {number:016x}.\n\n```python\n{code}\n```"

    def object(self, schema: Mapping[str, Any], number: int, *, refuse: float = 0.0) -> Any:
        """Return a value that fits a JSON schema and says what `reply` would say."""
        rng = Random(number)
        refused = self._refused(rng, refuse) if self.rules else -1
        known = self._sections(rng) if self.task else {}
        return _Filler(schema, known, rng, self.rules, refused).value(schema, "")

    def _refused(self, rng: Random, share: float) -> int:
        """Return the place of the rule that is no, or -1."""
        return rng.randrange(self.rules) if rng.random() < share else -1

    def _sections(self, rng: Random) -> dict[str, str]:
        """Return the four sections; a solution in code stands without its fence."""
        title = TITLES.get(self.language, self.language)
        name = self.name
        # Every few words differ between replies: what repeats an example is refused as copied.
        one, two = rng.randrange(100, 1000), rng.randrange(100, 1000)
        verb, noun = rng.choice(VERBS), rng.choice(NOUNS)
        information, solution = "given", "given"
        if self.task == "code summarization":
            instruction = f"Describe for a reader what the {title} function `{name}` does."
            solution = (
                f"The function `{name}` takes what it needs to {verb} the {noun} of case {one}. "
                f"It returns the {noun} that belongs to {two}, and the plain value in other cases."
            )
        elif self.task == "code translation":
            into = TITLES.get(self.target, self.target)
            instruction = (
                f"Translate the {title} function `{name}` to {into}, "
                f"with the same results up to {one}."
            )
            # `is-empty?` and `delete` are no names everywhere.
            plain = re.sub(r"\W+", "_", name)
            solution = function(self.target, f"{plain}_{one}", rng).code
        elif self.task == "code repair":
            instruction = (
                f"The {title} function `{name}` should {verb} the {noun} for case {one}. "
                f"It gives a wrong result for {two} of its inputs. Find and fix the bug."
            )
        else:
            name = f"{verb}_{noun}_{one}"
            made = function(self.language, name, rng)
            solution, information = made.code, "none"
            instruction = (
                f"Write a {title} function `{name}(number)` that returns a whole number above "
                f"{made.above} times {made.times}, and any other less {made.less}."
            )
        return {
            "task_name": self.task,
            "instruction": instruction,
            "information": information,
            "solution": solution,
        }


def read_prompt(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """Return what the messages of a chat ask for."""
    asked = text_of(messages[-1])
    system = text_of(messages[0])
    if "rule by rule" in asked or "rule by rule" in system:
        # The rules stand in the system message; the turns hold the examples' verdicts.
        numbers = [int(number) for number in _RULE.findall(system)]
        if numbers:
            return Prompt(rules=max(numbers))
    task = _TASK.search(system)
    if task is None:
        return Prompt(write=writer(system, asked))
    shown, target, name = _SHOWN.search(asked), _TARGET.search(system), _NAME.search(asked)
    return Prompt(
        task=task[1].strip(),
        language=shown[1] if shown else "python",
        target=target[1] if target else "",
        name=name[1] if name else "",
    )


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message; its content may be a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def tokens(text: str) -> int:
    """Return about how many tokens a text has: four characters each."""
    return (len(text) + 3) // 4


def embedding(text: str, dimensions: int) -> list[float]:
    """Return a vector of length one, drawn with the text as the seed."""
    rng = Random(text)
    vector = [rng.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = sum(value * value for value in vector) ** 0.5
    return [value / length for value in vector]


def fitting(response_format: object) -> Mapping[str, Any] | None:
    """Return the schema of a `response_format`, or None where text is asked for."""
    if not isinstance(response_format, Mapping) or response_format.get("type") == "text":
        return None
    described = response_format.get("json_schema")
    schema = described.get("schema") if isinstance(described, Mapping) else None
    if isinstance(schema, Mapping):
        return schema
    return {"type": "object", "properties": {"reply": {"type": "string"}}}


class _Filler:
    """Fills a JSON schema: by the names of its properties where these tell, else by the hash."""

    def __init__(
        self,
        root: Mapping[str, Any],
        known: Mapping[str, str],
        rng: Random,
        rules: int,
        refused: int,
    ) -> None:
        self._root, self._known, self._rng = root, known, rng
        self._rules, self._refused = rules, refused
        self._answered = 0

    def value(self, schema: Any, name: str, index: int = 0) -> Any:
        """Return a value that fits `schema`, the property `name` of an array's item `index`."""
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._one_of(schema["enum"], name)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            inside: Mapping[str, Any] = schema.get("properties", {})
            return {key: self.value(part, key, index) for key, part in inside.items()}
        if kind == "array":
            least, most = schema.get("minItems", 1), schema.get("maxItems", 1 << 10)
            count = min(max(least, self._rules or 1), most)
            return [self.value(schema.get("items", {}), name, at) for at in range(count)]
        if kind == "boolean":
            return self._answer(name)
        if kind in ("integer", "number"):
            wanted = index + 1 if self._rules else self._rng.randrange(100)
            least = schema.get("minimum", schema.get("exclusiveMinimum", wanted - 1) + 1)
            most = schema.get("maximum", schema.get("exclusiveMaximum", wanted + 1) - 1)
            return max(min(wanted, most), least)
        return None if kind == "null" else self._string(schema, name)

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """Follow `$ref`, and take the first arm of a union."""
        while isinstance(schema, Mapping):
            arms = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if "$ref" in schema:
                found: Any = self._root
                for key in str(schema["$ref"]).split("/")[1:]:
                    found = found.get(key, {})
                schema = found
            elif arms:
                schema = arms[0]
            else:
                return schema
        return {}

    def _answer(self, name: str) -> bool:
        """Return the next rule's answer, or the overall one."""
        if not self._rules:
            return self._rng.random() < 0.5
        if "overall" in name.lower() or self._answered >= self._rules:
            return self._refused < 0
        self._answered += 1
        return self._answered - 1 != self._refused

    def _one_of(self, values: Sequence[Any], name: str) -> Any:
        lower = {str(value).lower(): value for value in values}
        if "yes" in lower and "no" in lower:
            return lower[_word(self._answer(name))]
        return self._rng.choice(list(values))

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        text = self._known.get(name.lower(), f"{name or 'text'} {self._rng.randrange(10_000)}")
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema.get("maxLength", len(text))]


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def _rule_lines(rules: int, refused: int = -1) -> list[str]:
    return [
        f"rule {at + 1}: {_word(at != refused)}, because check {at + 1} "
        f"{'found something' if at == refused else 'holds'}"
        for at in range(rules)
    ]


def _lines(*more: str, refused: int = -1) -> Callable[[int], str]:
    return lambda rules: "\n".join([*_rule_lines(rules, refused), *more])


def _with_reason(reason: str) -> Callable[[int], str]:
    return lambda rules: "\n".join(
        [f"rule {at + 1}: {reason}" for at in range(rules)] + ["overall: yes"]
    )


ODD_VERDICTS: Mapping[str, Callable[[int], str]] = {
    "capital_reasons": _lines("- Overall answer: yes", "- Reasons: all of it is right."),
    "no_overall": _lines(),
    "yes_with_dot": _lines("overall: yes."),
    "yes_in_brackets": _lines("overall: <yes>"),
    "yes_in_quotes": _lines('overall: "yes"'),
    "yes_nothing": _lines("overall: Yes, nothing is missing"),
    "no_rule_but_overall_yes": _lines("overall: yes", refused=0),
    "long_reasons": _with_reason("yes, because\nthe first line says so\nand the second one, too"),
    "template_echoed": _with_reason("yes or no, because ..."),
    "answer_in_brackets": _with_reason("<answer (yes/no), reason>"),
    "bracket_in_reason": _with_reason("<answer: yes, 2 > 1 and a -> b>"),
}
"""Verdicts by name, made from the number of rules, in the forms on which the released code fails,
drops what is good or keeps what is bad (paper facts, section 3.2)."""
