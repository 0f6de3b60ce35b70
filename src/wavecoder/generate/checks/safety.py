"""Rules on what must not go further: secrets, other people's licences, orders to the judge."""

import re

from wavecoder.generate.checks.draft import Check, Draft, Problem, line_of, quoted
from wavecoder.languages.secrets import secret_in

__all__ = ["CHECKS", "UNSHOWN"]


def _secret(draft: Draft) -> Problem | None:
    parts = {**draft.written, "solution": draft.solution}
    for part, text in parts.items():
        found = secret_in(text)
        if found:
            kind, _, line = found.partition(" on line ")
            return Problem(f"the {part} holds {kind}", part, int(line) if line else None)
    return None


# A licence's own words, or a line that says whose code it is.
_LICENCE = re.compile(
    r"\bcopyright\b[^\n]{0,12}(?:\(c\)|©|\b(?:19|20)\d\d\b)|(?:\(c\)|©) (?:19|20)\d\d\b|"
    r"\bSPDX-License-Identifier\b|\ball rights reserved\b|\bpermission is hereby granted\b|"
    r"\blicen[sc]ed (?:under|to you under) the\b|\bgnu (?:\w+ )?general public licen[sc]e\b|"
    r"\bredistribution and use in source\b",
    re.IGNORECASE,
)


def _licence(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    match = _LICENCE.search(draft.solution)
    if match is None:
        return None
    what = f"the solution holds the words of a licence: {quoted(match[0])}"
    return Problem(what, "solution", line_of(draft.solution, match.start()))


# "Note to reviewers" is an honest comment.
_JUDGE = r"(?:judge|grader|evaluator|discriminator|verifier|assessor|examiner)s?"
# Marks that end a turn in the chat templates of common models.
_TEMPLATE = (
    r"<\|(?:im_start|im_end|im_sep|endoftext|start_header_id|end_header_id|eot_id|begin_of_text|"
    r"end_of_text|system|user|assistant|end|endofprompt)\|>|<(?:start|end)_of_turn>|"
    r"\[/?INST\]|<</?SYS>>|<｜\w+[^｜\n]{0,20}｜>"
)
_VERDICT = (
    r"^[^\w\n]*rule\s*#?\d+\W{0,3}[:=]\W{0,4}(?:yes|no)\b|"
    r"\boverall(?:\s+(?:answer|verdict|judge?ment))?\s{0,2}[:=][ \t\"'`*]{0,4}(?:yes|no)\b|"
    r'"overall"\s*:\s*"(?:yes|no)"|'
    r"\boverall (?:answer|verdict|judge?ment) (?:is|must be|should be|has to be) [\"'`*]*yes\b|"
    r"\ball rules are (?:met|satisfied|fulfilled|passed)\b"
)
_COMMANDS = (
    r"\b(?:ignore|disregard|forget|override|bypass) (?:(?:all|any|every|the|these|those|your|of|"
    r"above|previous|prior|preceding|earlier|other|given|following) ){1,4}(?:rules|instructions?|"
    r"prompts?|directions|guidelines|criteria|system prompt)\b|"
    r"\b(?:answer|say|reply|respond|output|return|write|mark|give)(?: with)? [\"'`*]*yes[\"'`*,]* "
    r"(?:to|for|on) (?:all|every|each|any|both|the)(?: of (?:the|these))? "
    r"(?:rules?|checks?|criteria)\b|"
    r"\b(?:mark|rate|grade|judge|score|accept|approve|pass) (?:this|the) (?:\w+ )?(?:solution|"
    r"answer|instance|submission|exercise|translation|summary|draft|report) (?:as )?(?:correct|"
    r"passed|passing|accepted|valid|good|perfect|yes|without|regardless|unconditionally)\b|"
    r"\b(?:dear|attention|note to(?: the)?|message to(?: the)?|instructions? (?:to|for)(?: the)?) "
    rf"(?:ai )?{_JUDGE}\b|"
    rf"\byou are (?:now )?(?:a|an|the) (?:\w+ )?{_JUDGE}\b(?! of)|"
    rf"\bthe {_JUDGE} (?:must|should|has to|shall|will) "
    r"(?:answer|say|accept|approve|pass|ignore|reply)\b"
)
_ORDERS = re.compile(f"{_TEMPLATE}|{_VERDICT}|{_COMMANDS}", re.IGNORECASE | re.MULTILINE)


def _orders(draft: Draft) -> Problem | None:
    # The judge is shown the raw code as well, and whoever wrote it may have known that.
    raw = draft.assignment.raw_code
    parts = {**draft.written, "raw code": raw.code, "doc comment": raw.docstring or ""}
    for part, text in parts.items():
        match = _ORDERS.search(text)
        if match:
            what = f"the {part} speaks to the judge, or as one: {quoted(match[0].strip())}"
            return Problem(what, part, line_of(text, match.start()))
    return None


CHECKS = (
    Check("secret", _secret),
    Check("orders_to_the_judge", _orders),
    Check("licence_text", _licence),
)
UNSHOWN = frozenset({"secret", "orders_to_the_judge"})
"""Reasons of drafts that no later prompt may show, not as a bad example either."""
