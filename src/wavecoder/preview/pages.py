"""A look for a person or a program: plain text, pieces for a terminal, JSON values, HTML."""

import html
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from wavecoder.generate.method import Outcome
from wavecoder.preview.looking import Asked, Attempt, Look
from wavecoder.records import Instance

__all__ = ["Part", "as_html", "as_table", "as_text", "parts"]


class Part(NamedTuple):
    """A piece of a look, for a person: a title, and a text that stands below it."""

    level: int
    """1 for a function, 2 for its parts, 3 and 4 for parts of these."""
    title: str
    text: str = ""


def parts(look: Look) -> Iterator[Part]:
    """Yield a look piece by piece; what a terminal would obey, as a character that is seen."""
    for part in _parts(look):
        yield Part(part.level, _seen(part.title), _seen(part.text))


def _parts(look: Look) -> Iterator[Part]:
    raw = look.raw
    yield Part(1, f"{raw.where} (id {raw.id}, pick {look.place})")
    origin = f"{raw.repository or raw.source}{f' at {raw.commit}' if raw.commit else ''}"
    licence = raw.license or "licence unknown"
    yield Part(2, f"raw code: {raw.language}, from {origin}, {licence}", raw.code)
    if raw.docstring:
        yield Part(2, "its doc comment", raw.docstring)
    if look.note:
        yield Part(2, "note", look.note)
    for number, attempt in enumerate(look.attempts, start=1):
        of = f"attempt {number}: " if len(look.attempts) > 1 else ""
        yield Part(2, f"{of}task {attempt.task or 'not known yet'}")
        for role in ("generator", "discriminator"):
            for asked in attempt.asked:
                if asked.role == role:
                    yield from _question(asked)
            yield from _draft(attempt) if role == "generator" else _verdict(attempt)
        if len(look.attempts) > 1:
            yield _ending(3, attempt.outcome)
    if not look.attempts:
        yield Part(2, "no model was asked")
    yield _ending(2, look.outcome)


def _question(asked: Asked) -> Iterator[Part]:
    sampling = asked.request.sampling
    how = (
        f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, "
        f"at most {sampling.max_tokens} tokens, seed {sampling.seed}"
    )
    if asked.request.reply_schema is not None:
        how += ", a JSON schema where the endpoint takes one"
    yield Part(3, f"the {asked.role} is asked: {asked.model}", how)
    shown = [f"{'good' if one.good else 'bad'} {one.id} ({one.language})" for one in asked.examples]
    yield Part(4, f"examples shown: {len(shown)}", "\n".join(shown))
    for message in asked.request.messages:
        yield Part(4, f"prompt, {message.role}", message.content)
    reply = asked.reply
    if reply is None:
        yield Part(4, "no reply", asked.problem or "")
        return
    counts = [
        f"{'?' if count is None else count} tokens {what}"
        for count, what in ((reply.prompt_tokens, "read"), (reply.completion_tokens, "written"))
    ]
    words = [f"finish reason {reply.finish_reason}", *counts, f"{reply.seconds:.2f} s"]
    if reply.endpoint:
        words.append(reply.endpoint)
    words.append("from the ledger, nothing was sent" if asked.remembered else "asked now")
    yield Part(4, f"raw reply: {', '.join(words)}", reply.text)


def _draft(attempt: Attempt) -> Iterator[Part]:
    """Yield what the generator's reply was read as, and what the checks say of it."""
    if attempt.draft is None:
        yield Part(3, "parsed fields: none")
        return
    yield Part(3, "parsed fields")
    for name in ("instruction", "information", "solution"):
        value = getattr(attempt.draft, name)
        yield Part(4, name, "none" if value is None else value)
    if attempt.checks:
        failed = sum(problem is not None for problem in attempt.checks.values())
        lines = [
            f"ok    {slug}" if problem is None else f"FAIL  {slug}: {problem}"
            for slug, problem in attempt.checks.items()
        ]
        yield Part(3, f"checks by program: {failed} of {len(lines)} fail", "\n".join(lines))


def _verdict(attempt: Attempt) -> Iterator[Part]:
    """Yield the discriminator's answers rule by rule."""
    verdict = attempt.draft.verdict if attempt.draft else None
    if verdict is not None:
        lines = [
            f"{'yes' if rule.passed else 'NO '}  {rule.rule}: {rule.reason}"
            for rule in verdict.rules
        ]
        word = "passed" if verdict.passed else "not passed"
        yield Part(3, f"verdict: {word}", "\n".join(lines))


def _ending(level: int, outcome: Outcome) -> Part:
    if isinstance(outcome, Instance):
        return Part(level, "outcome: accepted")
    return Part(
        level,
        f"outcome: {'failed' if outcome.failed else 'rejected'}, {outcome.reason}",
        outcome.detail,
    )


# Raw code may hold what a terminal obeys: escapes, and marks that turn the order of letters round.
_SEEN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}
_SEEN |= {
    code: 0xFFFD for code in (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def _seen(text: str) -> str:
    text = text.replace("\r\n", "\n").translate(_SEEN)
    return text.encode("utf-8", "replace").decode("utf-8")


def as_text(look: Look) -> str:
    """Return a look as plain text; what others wrote is indented, so that it is no title."""
    lines = []
    for level, title, text in parts(look):
        mark = {1: "====", 2: "==", 3: "--", 4: "  -"}[level]
        lines += ["", f"{mark} {title}"] if level < 4 else [f"{mark} {title}"]
        lines += [f"    {line}".rstrip() for line in text.split("\n")] if text else []
    return "\n".join([*lines, ""])


def as_table(look: Look) -> dict[str, Any]:
    """Return a look as JSON values."""
    again = {"raw_code"}  # it is there already
    return look.model_dump(
        mode="json",
        exclude={
            "attempts": {
                "__all__": {"draft": again, "outcome": {*again, "instance"}},
            },
            "outcome": {*again, "instance"},
        },
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>wavecoder preview</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
pre {{ background: #8881; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere }}
h2 {{ border-top: 2px solid; margin-top: 3rem; padding-top: 1rem }}
:root {{ color-scheme: light dark }}
</style></head><body>
<h1>wavecoder preview</h1>
{body}
</body></html>
"""


def as_html(found: Sequence[Look]) -> str:
    """Return looks as one HTML page that loads nothing."""
    lines = []
    for look in found:
        for level, title, text in parts(look):
            head = html.escape(title)
            below = f"<pre>{html.escape(text)}</pre>" if text else ""
            if level == 4 and title.startswith("prompt"):
                lines.append(f"<details><summary>{head}</summary>{below}</details>")
            else:
                lines.append(f"<h{level + 1}>{head}</h{level + 1}>{below}")
    return _PAGE.format(body="\n".join(lines))
