"""The discriminator: judges a draft rule by rule with a reason, then overall (paper, figure 4).

A verdict is read from its lines alone, or from one JSON object. An instance passes only if every
rule is there, every rule is yes and the overall answer is yes; a reply that lacks any of them, or
can be read in two ways, is no verdict at all. Every step takes time in proportion to the reply's
length: a reply may be a megabyte of anything.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from wavecoder.generate.generator import example_turn, raw_variables
from wavecoder.generate.quoting import as_data, one_line
from wavecoder.generate.sections import is_broken, json_object
from wavecoder.generate.symptoms import telling
from wavecoder.generate.task import Rule, Task
from wavecoder.records import (
    ChatRequest,
    Example,
    Instance,
    Message,
    RuleVerdict,
    Sampling,
    Verdict,
)

__all__ = ["discriminator_request", "parse_verdict", "verdict_schema"]

# Possessive repeats throughout: a class that gives back what it took is slow on a line of a
# million stars. "Not followed by [^\W_]" is the end of a word that may stand in _italics_.
_CROSSES = "❌✗✘✖⛔🚫👎"
_TICKS = f"✅✔✓☑\ufe0f{_CROSSES}"
_NAMES = "answer|verdict|judge?ment|result|decision|assessment|evaluation|conclusion"
_LINE = re.compile(
    rf"(?P<lead>[\s\-*+•·>#_{_TICKS}]*+(?:[0-9]++[.)][\s*_{_TICKS}]*+)?)"
    rf"(?:(?i:rule)[ \t]*+#?[ \t]*+(?P<number>[0-9]++)|"
    # ASCII, because a case-blind match otherwise takes İ for i.
    rf"(?ai:overall(?:[ \t]*+(?:{_NAMES}))?+))(?![^\W_])"
    r"(?P<rest>.*)",
    re.DOTALL,
)
# A word is an answer only where it stands first, behind marks; "no" inside a reason is none. What
# stands in brackets before it names the rule, and must not answer it too.
_ASIDE = r"\((?![^()]*?\b(?i:yes|no)\b)[^()]*+\)"
_ANSWER = re.compile(
    rf"[\s*_`,]*+(?:{_ASIDE})?+"
    rf"(?P<marks>[\s:：*_<>\-–—=`\"'“”‘’.(\[{_TICKS}]*+)(?:(?i:answer)[\s:：*_]*+)?"
    r"(?P<word>[yY][eE][sS]|[nN][oO])(?![^\W_])(?P<close>[*_`\"'”’>)\]]*+)(?P<after>.*)",
    re.DOTALL,
)
# What takes an answer back in the same breath: a question, a condition, the other answer. "yes or
# no" is our own template; "yes, no problem is left" is a yes with its reason.
_BETWEEN = r"/|\\→⇒➜>=&+~"
_TAKEN_BACK = re.compile(
    r"\s*+[?？]|-[^\W_]|"
    r"[\s,;]*+(?:but[\W_]++)?(?:only[\W_]++(?:if|when)|unless|or|nor)(?![^\W_])|"
    r"\s*+(?:if|when|is|was|would|should|could|may|might|not)(?![^\W_])|"
    r"\s*+(?:and[\W_]++)?(?:yes|no)(?![^\W_])|"
    rf"(?:[^\w{_BETWEEN}]|_)*+[{_BETWEEN}][\W_]*+(?:yes|no)(?![^\W_])|"
    r"[\W_]*+(?:and[\W_]++)?(?:yes|no)(?=[\W_]*+\Z|\s*+[.,;:：!?)\]])",
    re.IGNORECASE,
)
# Marks that make another letter of the one before them, and characters that are not seen.
_JOINED = ("Mn", "Mc", "Me", "Cf")
_LABELS = re.compile(r"[\s*_]*+(?:\([^)]*+\)[\s*_]*+)?+(?:[:：=\-–—]|\Z)")
_BARE_ANSWER = re.compile(r"[\s,*_]*+(?:yes|no)[*_]*+(?:\s*+\Z|[.,;:!])", re.IGNORECASE)
# A no that stands elsewhere in a reply that otherwise passes: "Rule 1: yes. Rule two: no.", or
# "Final answer: no" on a line behind the verdict.
_COUNT = "[0-9]+|one|two|three|four|five|six|seven|eight|nine|ten"
_SAYS_NO = re.compile(
    rf"(?:(?<![^\W_])(?:rule[^\w\n]{{0,8}}(?:{_COUNT})|overall)(?:[ \t]++(?:{_NAMES}))?+"
    r"(?:[ \t]*+\([^()\n]{0,200}\))?|"
    rf"^[^\w\n]{{0,20}}(?:(?:\w++[^\w\n]{{1,8}}){{0,2}}"
    rf"(?:{_NAMES}|correction|edit|update|actually|wait|[0-9]{{1,3}}))?)"
    r"(?:[^\w\n]{1,8}is)?[^\w\n,;.]{0,12}[,.]?[^\w\n,;.]{0,12}(?<![^\W_])no"
    r"(?=[^\w\n]*+(?:because\b|$)|[ \t*`\"'”’)\]]*+[.,;:!?>])",
    re.IGNORECASE | re.MULTILINE,
)


def discriminator_request(
    task: Task,
    instance: Instance,
    examples: Sequence[Example],
    sampling: Sampling,
    *,
    mark: str | None = None,
) -> ChatRequest:
    """Return the request: the rules, judged examples as turns, then the draft.

    Args:
        task: The instance's.
        instance: The draft.
        examples: Judged ones.
        sampling: How the verdict is drawn.
        mark: A word that no author of the draft can know: the draft stands between two lines of it.
    """
    variables = {
        **raw_variables(
            task,
            instance.raw_code,
            target=instance.target_language,
            information=instance.information,
            case=telling(instance.proof),
        ),
        "instruction": instance.instruction,
        "solution": instance.solution,
    }
    prompt = task.discriminator
    messages = [Message(role="system", content=prompt.render("system", variables))]
    for example in examples:
        messages.append(Message(role="user", content=example_turn(task, "discriminator", example)))
        messages.append(Message(role="assistant", content=_written(example)))
    turn = prompt.render("turn", variables)
    messages.append(Message(role="user", content=as_data(turn, mark) if mark else turn))
    return ChatRequest(messages=tuple(messages), sampling=sampling)


def verdict_schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """Return the JSON schema of a verdict on `rules`, for endpoints that hold a reply to one.

    It keeps to what OpenAI's strict mode takes: every key is required and no other is allowed. The
    keys are written in this order. Each reason comes before its answer: a model writes one word
    after the other, so an answer that comes first is given without a reason, and the reason is then
    made up to fit it.
    """
    answer = {"type": "string", "enum": ["yes", "no"]}
    rule = _closed({"reason": {"type": "string"}, "answer": answer})
    return _closed({**{_key(number): rule for number in _numbers(rules)}, "overall": answer})


def parse_verdict(reply: str, rules: Sequence[Rule]) -> Verdict | str:
    """Return the verdict in a reply, or the reason why it holds none."""
    if is_broken(reply):
        return "the reply holds half a character"
    table = json_object(reply, strict=True)
    if isinstance(table, str):
        return table
    answers = _from_lines(reply, len(rules)) if table is None else _from_json(table, rules)
    if isinstance(answers, str):
        return answers
    for name in [*map(str, _numbers(rules)), "overall"]:
        if name not in answers:
            return f"{_called(name)} is not answered"
    judged = tuple(
        RuleVerdict(rule=rule.slug, passed=answers[name][0], reason=answers[name][1])
        for name, rule in zip(map(str, _numbers(rules)), rules, strict=True)
    )
    passed = answers["overall"][0] and all(rule.passed for rule in judged)
    elsewhere = (
        _SAYS_NO.search(_visible(reply).replace("_", " ")) if passed and table is None else None
    )
    if elsewhere:
        return f"every rule is yes, and elsewhere it says {elsewhere[0].strip()[-60:]!r}"
    return Verdict(rules=judged, passed=passed, analysis=reply)


_Answers = dict[str, tuple[bool, str]]
"""(yes?, reason) by the number of the rule, or `overall`."""


def _from_lines(reply: str, count: int) -> _Answers | str:
    """Return the answers on the lines of a reply, or why it cannot be read."""
    answers: dict[str, tuple[bool, list[str]]] = {}
    current: str | None = None
    for line in re.split(r"\r\n|\r|\n", reply.removeprefix("\ufeff")):
        match = _LINE.match(line)
        if match is None or _is_prose(match):
            if current is not None and line.strip():  # a reason that runs over several lines
                answers[current][1].append(line.strip())
            continue
        current = (match["number"].lstrip("0") or "0")[:9] if match["number"] else "overall"
        if match["number"] and not 1 <= int(current) <= count:
            return f"there is no rule {current} among the {count}"
        answer = _answer(match)
        if answer is None:
            return f"{_called(current)} has no yes or no in front"
        if current in answers:
            return f"{_called(current)} is answered twice"
        answers[current] = answer[0], [answer[1]]
    return {name: (yes, " ".join(reason).strip()) for name, (yes, reason) in answers.items()}


def _from_json(table: dict[str, Any], rules: Sequence[Rule]) -> _Answers | str:
    """Return the answers in an object of the form of `verdict_schema`, or why it is of another."""
    names = {_key(number): str(number) for number in _numbers(rules)}
    answers: _Answers = {}
    for key, judged in table.items():
        name = names.get(key, "overall" if key == "overall" else None)
        if name is None:
            return f"the JSON object has a key {key[:40]!a}, which is none of the rules"
        if name != "overall" and (
            not isinstance(judged, dict) or set(judged) != {"reason", "answer"}
        ):
            return f"{_called(name)} is no JSON object of a reason and an answer"
        word, reason = (judged, "") if name == "overall" else (judged["answer"], judged["reason"])
        if not isinstance(word, str) or word.strip().lower() not in ("yes", "no"):
            return f"{_called(name)} has neither yes nor no as its answer"
        if not isinstance(reason, str) or is_broken(reason):
            return f"{_called(name)} has a reason that is no text"
        answers[name] = word.strip().lower() == "yes", reason.strip()
    return answers


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _numbers(rules: Sequence[Rule]) -> range:
    return range(1, len(rules) + 1)


def _key(number: int) -> str:
    # The prompt counts the rules; a slug may be anything, "overall" too.
    return f"rule_{number}"


def _called(name: str) -> str:
    return "the overall line" if name == "overall" else f"rule {name}"


def _is_prose(line: re.Match[str]) -> bool:
    """Say whether a line that begins with "overall" is a sentence and no answer."""
    if line["number"] or _LABELS.match(line["rest"]):
        return False
    return _BARE_ANSWER.match(line["rest"]) is None and not line["rest"].lstrip().startswith("(")


def _answer(line: re.Match[str]) -> tuple[bool, str] | None:
    """Return (yes?, reason) from a labelled line, or None."""
    match = _ANSWER.match(line["rest"])
    if match is None:
        return None
    after = match["after"]
    if _TAKEN_BACK.match(after) or _TAKEN_BACK.match(_visible(after)):
        return None
    if after and unicodedata.category(after[0]) in _JOINED:
        return None
    yes = match["word"].lower() == "yes"
    around = f"{line['lead']}{match['marks']}{after.lstrip()[:1]}{after.rstrip()[-1:]}"
    if yes and any(cross in around for cross in _CROSSES):
        return None
    reason = after.lstrip(" \t,;:.-–—>*_").rstrip(" \t>*_")
    return yes, re.sub(r"\Abecause\s+", "", reason, flags=re.IGNORECASE)


def _visible(text: str) -> str:
    """Return `text` as a reader sees it: without invisible characters, wide letters as narrow."""
    if not text.isascii():
        kept = (one for one in text if unicodedata.category(one) not in _JOINED)
        text = unicodedata.normalize("NFKC", "".join(kept))
    return "\n".join(text.splitlines())


def _written(example: Example) -> str:
    """Return the judgement of an example in the form a reply must have."""
    lines = [
        f"rule {number}: {'yes' if rule.passed else 'no'}, because {one_line(rule.reason)}"
        for number, rule in enumerate(example.rules, start=1)
    ]
    return "\n".join([*lines, f"overall: {'yes' if example.good else 'no'}"])
