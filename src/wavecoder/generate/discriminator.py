"""The discriminator: judges a draft rule by rule with a reason, then overall (paper, figure 4).

A verdict is read from its lines alone. An instance passes only if every rule is there, every rule
is yes and the overall answer is yes; a reply that lacks any of them is no verdict at all.
"""

import re
from collections.abc import Sequence

from wavecoder.generate.generator import example_variables, raw_variables
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

__all__ = ["discriminator_request", "parse_verdict"]

_TICKS = "✅❌✔✓✗✘☑\ufe0f"
_LINE = re.compile(
    rf"^[\s\-*>#_{_TICKS}]*(?:\d+[.)])?[\s*_{_TICKS}]*"
    r"(?:rule[ \t]*#?[ \t]*(?P<number>\d+)|"
    r"overall(?:[ \t]+(?:answer|verdict|judge?ment|result|decision|assessment|evaluation))?)\b"
    r"(?P<rest>.*)$",
    re.IGNORECASE,
)
# Only a word that stands first, behind marks, is an answer; "no" inside a reason is none, and
# "yes or no" is our own template.
_ANSWER = re.compile(
    r"^[\s*_]*(?:\((?!\s*(?:yes|no)\b)[^)]*\))?"
    rf"[\s:*_<>\-–—=`\"'.({_TICKS}]*(?:answer[\s:]*)?(?P<word>yes|no)\b[*_`\"'>)]*"
    r"(?!\W{0,4}(?:(?<=[/|])|\b(?:or|and)\b)\W{0,4}(?:yes|no)\b)",
    re.IGNORECASE,
)
_LABELS = re.compile(r"[\s*_]*(?:\([^)]*\)[\s*_]*)?(?:[:=\-–—]|$)")
_BARE_ANSWER = re.compile(r"[\s,*_]*(?P<word>yes|no)[*_]*(?:\s*$|[.,;:!])", re.IGNORECASE)


def discriminator_request(
    task: Task,
    instance: Instance,
    examples: Sequence[Example],
    sampling: Sampling,
) -> ChatRequest:
    """Return the request: the rules, judged examples as turns, then the draft."""
    variables = {
        **raw_variables(
            task,
            instance.raw_code,
            target=instance.target_language,
            information=instance.information,
        ),
        "instruction": instance.instruction,
        "solution": instance.solution,
    }
    prompt = task.discriminator
    messages = [Message(role="system", content=prompt.render("system", variables))]
    for example in examples:
        turn = prompt.render("turn", example_variables(task, example))
        messages.append(Message(role="user", content=turn))
        messages.append(Message(role="assistant", content=_written(example)))
    messages.append(Message(role="user", content=prompt.render("turn", variables)))
    return ChatRequest(messages=tuple(messages), sampling=sampling)


def parse_verdict(reply: str, rules: Sequence[Rule]) -> Verdict | str:
    """Return the verdict in a reply, or the reason why it holds none."""
    answers: dict[str, tuple[bool, str]] = {}
    current: str | None = None
    for line in reply.splitlines():
        match = _LINE.match(line)
        if match is None or _is_prose(match):
            if current is not None and line.strip():  # a reason that runs over several lines
                passed, reason = answers[current]
                answers[current] = passed, f"{reason} {line.strip()}".strip()
            continue
        current = str(int(match["number"])) if match["number"] else "overall"
        if match["number"] and not 1 <= int(current) <= len(rules):
            return f"there is no rule {current} among the {len(rules)}"
        answer = _answer(match["rest"])
        if answer is None:
            return f"{_called(current)} has no yes or no in front"
        if current in answers:
            return f"{_called(current)} is answered twice"
        answers[current] = answer
    wanted = [str(number) for number in range(1, len(rules) + 1)]
    for key in [*wanted, "overall"]:
        if key not in answers:
            return f"{_called(key)} is not answered"
    judged = tuple(
        RuleVerdict(rule=rule.slug, passed=answers[key][0], reason=answers[key][1])
        for key, rule in zip(wanted, rules, strict=True)
    )
    passed = answers["overall"][0] and all(rule.passed for rule in judged)
    return Verdict(rules=judged, passed=passed, analysis=reply)


def _called(key: str) -> str:
    return "the overall line" if key == "overall" else f"rule {key}"


def _is_prose(line: re.Match[str]) -> bool:
    """Say whether a line that begins with "overall" is a sentence and no answer."""
    if line["number"] or _LABELS.match(line["rest"]):
        return False
    return _BARE_ANSWER.match(line["rest"]) is None and not line["rest"].lstrip().startswith("(")


def _answer(rest: str) -> tuple[bool, str] | None:
    """Return (yes?, reason) from what follows the rule's number, or None."""
    match = _ANSWER.match(rest.lstrip(" \t,"))
    if match is None:
        return None
    reason = match.string[match.end() :].lstrip(" \t,;:.-–—>*_").rstrip(" \t>*_")
    return match["word"].lower() == "yes", re.sub(r"^because\s+", "", reason, flags=re.IGNORECASE)


def _written(example: Example) -> str:
    """Return the judgement of an example in the form a reply must have."""
    lines = [
        f"rule {number}: {'yes' if rule.passed else 'no'}, because {rule.reason}"
        for number, rule in enumerate(example.rules, start=1)
    ]
    return "\n".join([*lines, f"overall: {'yes' if example.good else 'no'}"])
