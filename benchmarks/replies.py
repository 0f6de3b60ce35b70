"""A million fuzzed replies through both parsers: does one raise, and is a yes ever made up?

Run: `.venv/bin/python benchmarks/replies.py --replies 1000000 --seed 1` (four to ten minutes on
two cores).

Replies are made from the tasks' own examples: verdicts and sections in every way models write
them, spoilt ones, edited, cut and spliced ones, JSON, and noise. Whoever makes a reply knows what
it says, so three things are known of each: it may be a clear verdict, or it must not pass, or
(after blind edits) nobody knows. Every verdict that passes is also read by `could_pass`, a reader
of this file that shares no code with the parser and uses no regular expression.

Checked are, and the command exits with 1 and prints the reply if one fails:

- no reply makes a parser raise;
- no verdict passes that must not, or that the strict reader would not pass;
- a reply that is read is read right: each rule's answer, each section's text;
- no input is slow: each shape of a megabyte is timed beside a quarter of it.

Printed are also, for each kind, how often a clear reply is read, and the slowest replies. "Other
layouts" are ones that the prompts do not ask for and the parsers refuse on purpose.
"""

import argparse
import json
import multiprocessing
import random
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from wavecoder.generate.discriminator import parse_verdict
from wavecoder.generate.generator import example_reply
from wavecoder.generate.sections import Sections, parse_sections
from wavecoder.generate.task import Task, built_in_tasks, load_task
from wavecoder.records import Verdict

CHUNK = 5000
SHOWN = 5
MEGABYTE = 1_000_000
TASKS = tuple(load_task(name) for name in built_in_tasks())
REPLIES = [example_reply(task, one) for task in TASKS for one in task.own_examples]
REASONS = [rule.reason for task in TASKS for one in task.own_examples for rule in one.rules] + [
    "nothing is missing",
    "no problem is left",
    "not one import is missing",
    "now it runs",
    "it says yes, and means it",
    "there is no rule against it",
    "both <T> and `x > 0` are right",
    "it notes the case n = 0",
    "it prints “no” for an empty list\n   and nothing else",
]

MUST_NOT_PASS = "must not pass"
UNKNOWN = "unknown"
Truth = tuple[bool, ...] | str
"""The answers of the rules and, last, the overall one; or what else is known."""


@dataclass(frozen=True)
class Reply:
    """A made reply and what is known of it."""

    kind: str
    text: str
    task: Task
    truth: Truth = UNKNOWN
    sections: tuple[str, str | None, str] | str = UNKNOWN
    """Instruction, information and solution, or MUST_NOT_PASS: there are no four sections."""


@dataclass
class Tally:
    """What was found in a part of the replies."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[tuple[str, Reply]] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in what was found in another part."""
        self.counts += other.counts
        self.failures += other.failures
        self.slowest = sorted(self.slowest + other.slowest, reverse=True)[:3]


def main() -> None:
    """Make and read the replies; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replies", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    begun = time.perf_counter()
    tally = Tally()
    parts = [
        (f"{asked.seed}/{start}", min(CHUNK, asked.replies - start))
        for start in range(0, asked.replies, CHUNK)
    ]
    with multiprocessing.Pool(asked.processes) as pool:
        for part in pool.imap_unordered(read_part, parts):
            tally.add(part)
        shapes = pool.map(time_shape, SHAPES, chunksize=1)
    taken = time.perf_counter() - begun
    tell(tally, shapes)
    slow = [shape for shape in shapes if shape[1] > 0.5 and shape[1] > 10 * shape[0]]
    print(f"{asked.replies} replies, seed {asked.seed}, {taken:.0f} s: ", end="")
    print(f"{len(tally.failures)} violations, {len(slow)} shapes slower than in proportion")
    for what, reply in tally.failures[:SHOWN]:
        print(f"\nVIOLATION {what}\nkind {reply.kind}, {len(reply.task.rules)} rules, ", end="")
        print(f"known: {reply.truth!r} {reply.sections!r}\n{reply.text[:3000]!r}")
    sys.exit(1 if tally.failures or slow else 0)


def tell(tally: Tally, shapes: list[tuple[float, float, str]]) -> None:
    print(f"{'kind':24}{'replies':>9}{'clear':>9}{'read':>9}{'share':>8}{'passed':>9}")
    for kind in sorted({kind for kind, _ in tally.counts}):
        n = {what: tally.counts[kind, what] for what in ("made", "clear", "read", "passed")}
        share = f"{n['read'] / n['clear']:.2%}" if n["clear"] else ""
        print(f"{kind:24}{n['made']:9}{n['clear']:9}{n['read']:9}{share:>8}{n['passed']:9}")
    for seconds, length, kind in tally.slowest:
        print(f"slowest: {seconds * 1000:.1f} ms, {length} characters, {kind}")
    for quarter, whole, shape in sorted(shapes, key=lambda one: -one[1])[:3]:
        print(f"slowest of 1 MB: {whole:.2f} s, {quarter:.2f} s for a quarter of it, {shape}")


def read_part(part: tuple[str, int]) -> Tally:
    """Make and read the replies of one part."""
    rng = random.Random(part[0])
    tally = Tally()
    for _ in range(part[1]):
        reply = make(rng)
        try:
            seconds, verdict, sections = read(reply)
            if seconds > 0.005:  # a second look leaves out pauses of the machine
                seconds = min(seconds, read(reply)[0])
        except Exception as error:  # what this program is here to find
            tally.failures.append((f"raises {error!r}", reply))
            continue
        tally.slowest.append((seconds, len(reply.text), reply.kind))
        judge(reply, verdict, sections, tally)
    tally.add(Tally())
    return tally


def read(reply: Reply) -> tuple[float, Verdict | str, Sections | str]:
    """Return the seconds of processor time that both parsers took, and what they read."""
    begun = time.thread_time()
    verdict = parse_verdict(reply.text, reply.task.rules)
    sections = parse_sections(reply.text)
    return time.thread_time() - begun, verdict, sections


def judge(reply: Reply, verdict: Verdict | str, sections: Sections | str, tally: Tally) -> None:
    """Count one reply, and keep it if a parser did wrong."""
    tally.counts[reply.kind, "made"] += 1
    if isinstance(verdict, Verdict) and verdict.passed:
        tally.counts[reply.kind, "passed"] += 1
        if reply.truth == MUST_NOT_PASS:
            tally.failures.append(("passes and must not", reply))
        elif not could_pass(reply.text, len(reply.task.rules)):
            tally.failures.append(("passes, and a strict reader would not pass it", reply))
    truth: Any = reply.truth
    if isinstance(truth, tuple):
        truth = (truth[:-1], all(truth))
    for known, got in ((truth, said(verdict)), (reply.sections, said(sections))):
        if isinstance(known, tuple):
            tally.counts[reply.kind, "clear"] += 1
            tally.counts[reply.kind, "read"] += got is not None
            if got is not None and got != known:
                tally.failures.append((f"is read as {got!r}", reply))
    if reply.sections == MUST_NOT_PASS and isinstance(sections, Sections):
        tally.failures.append(("has no four sections and they are read", reply))


def said(result: Verdict | Sections | str) -> tuple[Any, ...] | None:
    """Return what a parser read in the form in which it is known, or None where it read nothing."""
    if isinstance(result, Sections):
        return result.instruction, result.information, result.solution
    if isinstance(result, Verdict):
        rules = tuple(rule.passed for rule in result.rules)
        # Of the overall answer only its effect is kept: it is seen where every rule is yes.
        return rules, result.passed
    return None


# --- verdicts ---------------------------------------------------------------------------------

BULLETS = (
    "", "", "", "- ", "* ", "> ", "  ", "### ", "{n}. ", "{n}) ", "- **", "**", "• ", "✅ ",
)  # fmt: skip
RULES = (
    "rule {n}", "Rule {n}", "RULE {n}", "Rule #{n}", "Rule {n} (clear)", "rule{n}", "Rule  {n}",
)  # fmt: skip
OVERALLS = (
    "overall", "Overall", "OVERALL", "Overall answer", "Overall verdict", "Overall judgment",
)  # fmt: skip
SEPARATORS = (
    ": ", ": ", ":", ":  ", " - ", " — ", " – ", " = ", "：", ":\t",
)  # fmt: skip
ANSWERS = (
    "{w}", "{w}", "{w}", "**{w}**", "*{w}*", "_{w}_", "`{w}`", '"{w}"', "'{w}'", "“{w}”", "<{w}>",
    "({w})", "[{w}]", "Answer: {w}", "<answer: {w}>", "{tick} {w}", "{w} {tick}",
)  # fmt: skip
TAILS = (
    "", ".", "!", ", because {r}", ", because {r}.", ", {r}", " - {r}", " — {r}", ": {r}", ". {r}",
    " because {r}", " ({r})", "; {r}", ",\n  {r}", ", {r}\n{r}", "，{r}", "\n   - {r}",
)  # fmt: skip
PREAMBLES = (
    "Here is my check:", "Let me check it rule by rule.", "- step 1: check the input", "---",
    "# Verdict", "Overall, no mistake stands out, but let me look.", "```", "I follow the rules.",
)  # fmt: skip
ENDS = (
    "", "", "", "\n", "\n\n", "\n---", "\n- Reasons: all is there", "\n```", "\n\nLet me know.",
)  # fmt: skip
WORDS = {True: ("yes", "yes", "Yes", "YES", "yEs"), False: ("no", "no", "No", "NO", "nO")}

# None of these is a yes, and a verdict that has one instead of a yes must not pass.
NO_YES = (
    "yes or no", "yes/no", "yes / no", "yes|no", "<yes|no>", "yes no", "yes, no", "yes; no.",
    "YES\\NO", "yes -> no", "yes → no", "yes => no", "yes (no)", "yes and no", "yes, and no",
    "no or yes", "yes or no, because ...", "<answer (yes/no), reason>", "(yes/no)", "yes?",
    "yes ?", "yes？", "yes... no", "yes — no!", "**yes** no", "yes **no**", "~~yes~~ no",
    "<s>yes</s> no", "yes\tno", "not yes", "no yes", "almost yes", "maybe yes", "perhaps", "n/a",
    "", "...", "I think yes", "❌ yes", "yes ❌", "✗ yes", "yes, it runs ❌", "🚫 yes", "yes 👎",
    "yes if it compiles", "yes only if every rule is yes", "yes, unless it is empty",
    "yes, but only if it runs", "yes nor no", "yes is wrong", "yes would be wrong", "yes not",
    "yes, only when the moon is full", "yes when asked", "yesno", "yes-man", "yes-or-no", "yess",
    "yesterday", "ye", "y", "yep", "yeah", "ok", "true", "1", "oui", "sí", "ja", "да", "はい", "是",
    "evet", "sim", "tak", "igen", "ναι", "כן", "نعم", "हा\u0901", "예", "ｙｅｓ",
    "уes", "yеs", "yeѕ", "YEſ", "ye\u0301s", "yes\u0301", "y\u200bes", "ye\xads", "\u200byes",
    "yes\u200bno", "yes\u200b, no", "yes\u2060", "\u202eyes", "yes, n\u200bo", "yes\u3164no", "𝐲𝐞𝐬",
    "y e s",
    "y-e-s", "seY", "{yes}", "{{ yes }}", "$yes", "!yes", "no", "No.", "no, it stops",
    "<!-- yes -->", "&nbsp;yes", "\x00yes", "\x08yes", "yes\x08\x08\x08no", "yes\x00no",
    "yes\x1bno",
)  # fmt: skip
# Each says, behind a verdict that would pass, that it does not.
DENIALS = (
    "rule {n}: no", "Rule {n}: NO, it stops", "- Rule {n} - no.", "Correction: rule {n}: no",
    "{n}. no", "**Rule** {n}: no", "It runs; rule {n}: no", "Rule {n} is no.", "rule one: no",
    "overall: no", "_Rule_ {n}: _no_", "Overall, no.", "no", "Final answer: no",
    "Verdict: **no**", "My final verdict: no",
    "The overall answer is no.", "**No.**", "r\u200bule {n}: no", "ｒｕｌｅ {n}： ｎｏ",
    "over\xadall: no", "Overall answer: <no>", "Wait, no.", "rule {n}: perhaps", "rule {n}:",
    "overall:", "rule 9: yes", "rule 0: yes", "rule 99999999999: no", "rule {n}: yes",
    "overall: yes", "x\x0crule {n}: no", "x\u2028overall: no", "x\rrule {n}: no", "Actually, no",
    "The answer is no.", "RULE {n} (clear): no", "Rule {n}\u200b: no", "Result: [no]",
)  # fmt: skip


def clear_verdict(
    rng: random.Random, task: Task, *, plain: bool = False
) -> tuple[list[str], tuple[bool, ...]]:
    """Return the lines of a verdict that can be read in one way, and what it says."""
    if rng.random() < 0.6:
        truth = [True] * (len(task.rules) + 1)
    else:
        truth = [rng.random() < 0.6 for _ in range(len(task.rules) + 1)]
    if plain:
        lines = [
            f"rule {n}: {'yes' if yes else 'no'}, because {rng.choice(REASONS)}"
            for n, yes in enumerate(truth[:-1], start=1)
        ]
        return [*lines, f"overall: {'yes' if truth[-1] else 'no'}"], tuple(truth)
    # A model keeps to its form, mostly.
    form = line_form(rng)
    lines = []
    for n, yes in enumerate(truth, start=1):
        form = form if rng.random() < 0.8 else line_form(rng)
        label = rng.choice(OVERALLS) if n == len(truth) else form[1]
        lines.append(line_of(rng, (form[0], label, *form[2:]), n, rng.choice(WORDS[yes]), yes=yes))
    return lines, tuple(truth)


def line_form(rng: random.Random) -> tuple[str, ...]:
    return tuple(rng.choice(parts) for parts in (BULLETS, RULES, SEPARATORS, ANSWERS, TAILS))


def line_of(rng: random.Random, form: tuple[str, ...], n: int, word: str, *, yes: bool) -> str:
    bullet, label, separator, answer, tail = form
    if bullet == "✅ " and not yes:
        bullet = "❌ "
    if bullet.endswith("**"):  # **Rule 1:** yes, **Rule 1**: yes
        separator = rng.choice((":** ", "**: ", "** - "))
    tick = "✅" if yes else "❌"
    said = answer.format(w=word, tick=tick)
    return f"{bullet.format(n=n)}{label.format(n=n)}{separator}{said}" + tail.replace(
        "{r}", rng.choice(REASONS)
    )


def joined(rng: random.Random, lines: list[str]) -> str:
    lines = [rng.choice(PREAMBLES), *lines] if rng.random() < 0.2 else lines
    text = rng.choice(("\n", "\n", "\n", "\n\n", "\r\n", "\n \n")).join(lines) + rng.choice(ENDS)
    if rng.random() < 0.05:
        text = rng.choice(("\ufeff", "\n\n", " ", "\t")) + text
    return text


def verdict_asked(rng: random.Random) -> Reply:
    task = rng.choice(TASKS)
    lines, truth = clear_verdict(rng, task, plain=True)
    return Reply("verdict, as asked", "\n".join(lines), task, truth)


def verdict_forms(rng: random.Random) -> Reply:
    task = rng.choice(TASKS)
    lines, truth = clear_verdict(rng, task)
    return Reply("verdict, other forms", joined(rng, lines), task, truth)


def verdict_layouts(rng: random.Random) -> Reply:
    """Return a verdict as a table, as numbers without a label, or with the answer elsewhere."""
    task = rng.choice(TASKS)
    _, truth = clear_verdict(rng, task, plain=True)
    names = [*(f"rule {n}" for n in range(1, len(truth))), "overall"]
    words = [rng.choice(WORDS[yes]) for yes in truth]
    pairs = list(zip(names, words, strict=True))
    layout = rng.randrange(4)
    if layout == 0:
        lines = [
            "| rule | answer |",
            "|---|---|",
            *(f"| {name} | {word} |" for name, word in pairs),
        ]
    elif layout == 1:
        lines = [f"{n}. {word}, because" for n, word in enumerate(words[:-1], start=1)]
        lines.append(f"overall: {words[-1]}")
    elif layout == 2:
        lines = [f"### {name}\n{word}" for name, word in pairs]
    else:
        lines = [f"{name}: it is so. <answer: {word}, it is>" for name, word in pairs]
    return Reply("verdict, other layouts", "\n".join(lines), task, truth)


def verdict_spoilt(rng: random.Random) -> Reply:
    """Return a verdict that says yes to everything, but for one thing."""
    task = rng.choice(TASKS)
    count = len(task.rules)
    form = (*line_form(rng)[:4], rng.choice(TAILS))
    spoilt = rng.randint(1, count + 1)
    how = rng.randrange(4)
    lines = []
    for n in range(1, count + 2):
        mine = (form[0], rng.choice(OVERALLS) if n > count else form[1], *form[2:])
        if how == 0 and n == spoilt:
            mine = (rng.choice(BULLETS[:7]), mine[1], mine[2], "{w}", "")
            lines.append(line_of(rng, mine, n, rng.choice(NO_YES), yes=True))
        elif how != 1 or n != spoilt:
            lines.append(line_of(rng, mine, n, rng.choice(WORDS[True]), yes=True))
    if how == 2:
        denial = rng.choice(DENIALS).format(n=rng.randint(1, count))
        lines.insert(rng.choice((0, len(lines), len(lines))), denial)
    elif how == 3:
        at = rng.randrange(len(lines))
        old, new = rng.choice(
            (("ule", "uul"), ("ule", "\u200bule"), ("ule", "ule 9"), ("ver", "vеr"))
        )
        head, rest = lines[at][:12], lines[at][12:]
        if old in head.lower():
            place = head.lower().index(old)
            lines[at] = head[:place] + new + head[place + len(old) :] + rest
        else:
            del lines[at]
    return Reply("verdict, spoilt", joined(rng, lines), task, MUST_NOT_PASS)


def verdict_cut(rng: random.Random) -> Reply:
    task = rng.choice(TASKS)
    lines, truth = clear_verdict(rng, task, plain=True)
    text = "\n".join(lines)
    at = rng.randrange(len(text))
    # The overall line ends with its answer, so any cut takes something of it away.
    return Reply("verdict, cut", text[:at], task, MUST_NOT_PASS if at < len(text) else truth)


# --- JSON ---------------------------------------------------------------------------------------


def table_of(rng: random.Random, task: Task) -> tuple[dict[str, Any], tuple[bool, ...]]:
    _, truth = clear_verdict(rng, task, plain=True)
    padded = ("{}", "{}", "{}", " {} ", "{}\n")
    words = [rng.choice(padded).format(rng.choice(WORDS[yes])) for yes in truth]
    table: dict[str, Any] = {
        f"rule_{n}": {"reason": rng.choice(REASONS), "answer": word}
        for n, word in enumerate(words[:-1], start=1)
    }
    return {**table, "overall": words[-1]}, truth


def dumped(rng: random.Random, table: object) -> str:
    indent = rng.choice((None, None, 2, 4, "\t"))
    return json.dumps(table, indent=indent, ensure_ascii=rng.random() < 0.5)


def in_fence(rng: random.Random, text: str) -> str:
    return rng.choice(
        ("{}", "{}", "```json\n{}\n```", "```\n{}\n```\n", "\n {}\n", "```JSON\n{}```")
    ).replace("{}", text)


def json_clear(rng: random.Random) -> Reply:
    task = rng.choice(TASKS)
    table, truth = table_of(rng, task)
    if rng.random() < 0.3:
        keys = list(table)
        rng.shuffle(keys)
        table = {key: table[key] for key in keys}
    return Reply("verdict, JSON", in_fence(rng, dumped(rng, table)), task, truth)


def json_spoilt(rng: random.Random) -> Reply:
    task = rng.choice(TASKS)
    n = len(task.rules)
    table: dict[str, Any] = {f"rule_{i}": {"reason": "r", "answer": "yes"} for i in range(1, n + 1)}
    table["overall"] = "yes"
    key = rng.choice(list(table))
    word = rng.choice([one for one in NO_YES if one.strip().lower() != "yes"])
    values = (word, True, 1, None, ["yes"], {"answer": "yes"}, {"reason": "r", "answer": word})
    how = rng.randrange(8)
    text = ""
    if how == 0:
        del table[key]
    elif how == 1:
        table[key] = rng.choice(values)
    elif how == 2:
        table[rng.choice((f"rule_{n + 1}", "rule_0", "Overall", "rule 1", "note", ""))] = table[key]
    elif how == 3:  # a key twice, at one of two depths
        text = dumped(rng, table)
        old = rng.choice(('"overall"', '"answer"', '"rule_1"'))
        value = {"reason": "r", "answer": "no"} if old == '"rule_1"' else rng.choice(("no", "yes"))
        text = text.replace(old, f"{old}: {json.dumps(value)}, {old}", 1)
    elif how == 4:
        table["rule_1"][rng.choice(("note", "Answer", ""))] = "yes"
    elif how == 5:
        table["rule_1"]["reason"] = rng.choice((None, 1, ["r"], "\ud83d"))
    text = text or dumped(rng, table)
    if how == 6:
        at = rng.randrange(1, len(text))
        wrong = [text[:at], text[:-1] + ",}", text.replace('"', "'"), text + text, f"[{text}]"]
        wrong += [text + "\nno", f"// yes\n{text}", text.replace('"yes"', "yes"), "{" + text]
        text = rng.choice([*wrong, "Here it is:\n" + text, text[1:]])
    elif how == 7:
        text = text.replace(
            '"r"', rng.choice(("NaN", "9" * 5000, "[" * 5000, '"\n"', '"\x00"', "\\u0"))
        )
    return Reply("verdict, JSON spoilt", in_fence(rng, text), task, MUST_NOT_PASS)


# --- sections -------------------------------------------------------------------------------------

LABELS = (
    "{}: ", "{}: ", "**{}:** ", "**{}**: ", "### {}\n", "## {}: ", "- {}: ", "2. {}: ",
    "1) **{}**\n", "{} - ", "{}：", "`{}`: ", "* {}: ", "> {}: ", "__{}__: ", "{} – ", "{}:\n",
    "{}:\n\n", "*{}:* ",
)  # fmt: skip
NAMES = ("task_name", "instruction", "information", "solution")
NOTHING = (
    "none", "None", "N/A", "given", "", "(none)", "not needed", "No additional information.",
)  # fmt: skip


def parts_of(rng: random.Random) -> tuple[str, str, str, str]:
    """Return the four texts of one of the replies the examples show."""
    text = rng.choice(REPLIES)
    cuts = [text.index("task_name: "), text.index("\ninstruction: ") + 1]
    cuts += [text.index("\ninformation: ") + 1, text.index("\nsolution: ") + 1, len(text)]
    title, asked, information, solution = (
        text[start:end].split(": ", 1)[1].strip() for start, end in pairwise(cuts)
    )
    if rng.random() < 0.3:
        information = rng.choice(("The list [1, 2].", "x: int\ny: int", "```\n1 2\n```", "é 数 🙂"))
    else:
        information = rng.choice(NOTHING)
    return title, asked, information, solution


def truth_of(parts: tuple[str, str, str, str]) -> tuple[str, str | None, str]:
    return parts[1], None if parts[2] in NOTHING else parts[2], parts[3]


def labelled(rng: random.Random, parts: tuple[str, str, str, str], label: str) -> list[str]:
    spell = rng.choice((str, str.title, str.upper, str.capitalize))
    space = rng.choice(("_", "_", " ", "\\_"))
    names = [spell(name.replace("_", space)) for name in NAMES]
    return [label.format(name) + text for name, text in zip(names, parts, strict=True)]


def sections_asked(rng: random.Random) -> Reply:
    parts = parts_of(rng)
    text = "\n".join(labelled(rng, parts, "{}: "))
    return Reply("sections, as asked", text, rng.choice(TASKS), MUST_NOT_PASS, truth_of(parts))


def sections_forms(rng: random.Random) -> Reply:
    parts = parts_of(rng)
    lines = labelled(rng, parts, rng.choice(LABELS))
    text = rng.choice(("\n", "\n", "\n\n", "\n\n\n")).join(lines)
    if rng.random() < 0.2:
        text = rng.choice(("Here are the sections:\n\n", "\ufeff", "\n", "Sure!\n")) + text
    text = text.replace("\n", "\r\n") if rng.random() < 0.1 else text
    return Reply("sections, other forms", text, rng.choice(TASKS), MUST_NOT_PASS, truth_of(parts))


def sections_json(rng: random.Random) -> Reply:
    parts = parts_of(rng)
    table: dict[str, Any] = dict(zip(NAMES, parts, strict=True))
    if truth_of(parts)[1] is None and rng.random() < 0.5:
        table["information"] = None
    text = in_fence(rng, dumped(rng, table))
    return Reply("sections, JSON", text, rng.choice(TASKS), MUST_NOT_PASS, truth_of(parts))


def sections_spoilt(rng: random.Random) -> Reply:
    parts = parts_of(rng)
    task = rng.choice(TASKS)
    if rng.random() < 0.4:
        table: dict[str, Any] = dict(zip(NAMES, parts, strict=True))
        name = rng.choice(NAMES)
        how = rng.randrange(5)
        if how == 0:
            del table[name]
        elif how == 1:
            table[name] = rng.choice((1, True, ["x"], {"x": "y"}, "\ud83d"))
        elif how == 2:
            table[rng.choice(("note", "Solution", "solution "))] = "x"
        elif how == 3:
            table["solution"] = rng.choice(("", " \n", "```python\ndef f(): pass", "~~~~\nx\n~~~"))
        text = dumped(rng, table)
        if how == 4:
            text = text.replace(f'"{name}"', f'"{name}": "x", "{name}"', 1)
        return Reply("sections, spoilt", in_fence(rng, text), task, MUST_NOT_PASS, MUST_NOT_PASS)
    lines = labelled(rng, parts, rng.choice(LABELS[:8]))
    at = rng.randrange(4)
    how = rng.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.append(lines[at])
    elif how == 2:
        lines[at], lines[at - 1] = lines[at - 1], lines[at]
    else:
        lines.append(rng.choice(("```", "```python\nx", "~~~\nx", "   ````\nx\n```")))
    return Reply("sections, spoilt", "\n".join(lines), task, MUST_NOT_PASS, MUST_NOT_PASS)


# --- blind changes and noise --------------------------------------------------------------------

PIECES = (
    " ", "\n", "\r", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\xa0", "\u200b", "\u200d",
    "\u202e", "\u0301", "\ufe0f", "\ufeff", "\x00", "\x1b", "*", "**", "_", "`", "```", "~~", "|",
    "/", "\\", "<", ">", "(", ")", "[", "]", "{", "}", ":", "：", "-", "—", ".", ",", "?", "!", '"',
    "'", "#", "0", "1", "2", "９", "yes", "no", "not", "or", "and", "if", "rule 1", "rule 2: no",
    "overall", "overall: no", " no", "/no", "✅", "❌", "🙂", "é", "ß", "ſ", "ı", "İ", "ｎｏ",
    "нет", "\ud83d", "solution:", "instruction:", "\n\n",
)  # fmt: skip
SOURCES: tuple[Callable[[random.Random], Reply], ...] = (
    verdict_asked, verdict_forms, verdict_spoilt, json_clear, sections_forms, sections_json,
)  # fmt: skip


def edited(rng: random.Random) -> Reply:
    reply = rng.choice(SOURCES[:4] if rng.random() < 0.8 else SOURCES)(rng)
    text = reply.text
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(text) + 1)
        to = min(len(text), at + rng.choice((1, 1, 2, 5, 20)))
        how = rng.randrange(6)
        if how <= 1:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif how == 2:
            text = text[:at] + text[to:]
        elif how == 3:
            text = text[:at] + rng.choice(PIECES) + text[to:]
        elif how == 4:
            text = text[:to] + text[at:]
        else:
            text = text[:at] + text[at:to].swapcase() + text[to:]
    return Reply("edited", text, reply.task)


def spliced(rng: random.Random) -> Reply:
    first, second = rng.choice(SOURCES)(rng), rng.choice(SOURCES)(rng)
    if rng.random() < 0.5:  # whole lines
        one, two = first.text.split("\n"), second.text.split("\n")
        text = "\n".join(one[: rng.randrange(len(one) + 1)] + two[rng.randrange(len(two) + 1) :])
    else:
        at, to = rng.randrange(len(first.text) + 1), rng.randrange(len(second.text) + 1)
        text = first.text[:at] + second.text[to:]
    return Reply("spliced", text, first.task)


def noise(rng: random.Random) -> Reply:
    how = rng.randrange(4)
    length = rng.choice((0, 1, 10, 100, 1000))
    if how == 0:
        text = "".join(chr(rng.randrange(0x110000)) for _ in range(length))
    elif how == 1:
        text = "".join(rng.choice(PIECES) for _ in range(length))
    elif how == 2:
        text = "".join(map(chr, rng.choices(range(0x20), k=length)))
    else:
        start, unit = rng.choice(SHAPES)
        text = start + unit * (length * rng.choice((1, 1, 1, 20)) // len(unit))
    return Reply("noise", text, rng.choice(TASKS), UNKNOWN)


MAKERS: tuple[tuple[Callable[[random.Random], Reply], int], ...] = (
    (verdict_asked, 8),
    (verdict_forms, 22),
    (verdict_layouts, 2),
    (verdict_spoilt, 22),
    (verdict_cut, 3),
    (json_clear, 5),
    (json_spoilt, 7),
    (sections_asked, 3),
    (sections_forms, 6),
    (sections_json, 3),
    (sections_spoilt, 3),
    (edited, 10),
    (spliced, 4),
    (noise, 2),
)


def make(rng: random.Random) -> Reply:
    """Return one reply of a kind drawn by weight."""
    [maker] = rng.choices([one for one, _ in MAKERS], [weight for _, weight in MAKERS])
    return maker(rng)


_UNITS = (
    "- ", "*", "```\n", "```a\n", "~~~a\n````\n", "rule 1: ", "rule 1: yes\n", " ", "\n", "\t\n",
    "`", "_", "solution:\n```\n```\n", "solution: ", "1. ", "9", "rule 1 (", "overall ", "(", "[",
    "{", '{"a":', "yes, ", "no ", "/", "\\", "\u200b", "e\u0301\u0316", "✅", "a\n", "\r", "\x00",
    "w", "wo rd ", "\ud83d",
)  # fmt: skip
_STARTS = (
    "", "rule 1: ", "rule 1: yes", "rule 1: yes\nrule 2: yes\nrule 3: yes\noverall: yes\n",
    "rule 1 (", "overall", "rule ", "instruction: x\ninformation: ", "```", "solution: ```",
    '{"rule_1": "', "```x ",
)  # fmt: skip
SHAPES = [(start, unit) for start in _STARTS for unit in _UNITS]
"""(start, what is repeated behind it) of a long reply."""


def time_shape(shape: tuple[str, str]) -> tuple[float, float, str]:
    """Return the seconds a parser takes for 250 kB and for 1 MB of a shape, and its name."""
    start, unit = shape
    rules = next(task.rules for task in TASKS if len(task.rules) == 3)
    seconds = []
    for size in (MEGABYTE // 4, MEGABYTE):
        text = start + unit * (size // len(unit))
        begun = time.thread_time()
        parse_verdict(text, rules)
        parse_sections(text)
        seconds.append(time.thread_time() - begun)
    return seconds[0], seconds[1], f"{start!r} + {unit!r} * {MEGABYTE // len(unit)}"


# --- the strict reader --------------------------------------------------------------------------

SPACE = " \t\x0b\x0c\x1c\x1d\x1e\x1f\x85\u00a0\u2000\u2003\u2009\u2028\u2029\u3000"
GOOD, BAD = "✅✔✓☑\ufe0f", "❌✗✘✖⛔🚫👎"
VERDICTS = (
    "answer", "verdict", "judgement", "judgment", "result", "decision", "assessment", "evaluation",
    "conclusion",
)  # fmt: skip
CONDITIONS = ("if", "when", "is", "was", "would", "should", "could", "may", "might", "not")
COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def could_pass(text: str, count: int) -> bool:
    """Say whether a strict reader may take a reply for a yes to `count` rules and overall."""
    body = text.strip().removeprefix("\ufeff")
    if body.startswith("```") and body.endswith("```") and "\n" in body:
        inner = body[body.index("\n") : -3].strip()
        body = inner if inner.startswith("{") else body
    if body.startswith("{"):
        return json_could_pass(body, count)
    wanted = {str(n) for n in range(1, count + 1)} | {"overall"}
    found: list[str] = []
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, answer = line_says(line)
        if name:
            found.append(name)
            if answer != "yes":
                return False
    return sorted(found) == sorted(wanted) and not any(map(denies, seen_lines(text)))


def json_could_pass(text: str, count: int) -> bool:
    try:
        pairs, end = json.JSONDecoder(object_pairs_hook=tuple).raw_decode(text)
    except (ValueError, RecursionError):
        return False
    said = {}
    for key, value in pairs:
        if key == "overall":
            said[key] = value
        else:
            if not (
                isinstance(value, tuple) and sorted(k for k, _ in value) == ["answer", "reason"]
            ):
                return False
            said[key] = dict(value)["answer"]
    wanted = {f"rule_{n}" for n in range(1, count + 1)} | {"overall"}
    alike = all(isinstance(word, str) and word.strip().lower() == "yes" for word in said.values())
    return end == len(text) and len(pairs) == len(wanted) and set(said) == wanted and alike


def behind(text: str, characters: str) -> str:
    return text.lstrip(characters)


def words_of(text: str) -> list[str]:
    return "".join(one if one.isalnum() else " " for one in text.lower()).split()


def line_says(line: str) -> tuple[str, str]:
    """Return (number or "overall", what it is answered with) of a line, or two empty texts."""
    marks = SPACE + "-*+•·>#_" + GOOD + BAD
    rest = behind(line, marks)
    digits = len(rest) - len(rest.lstrip("0123456789"))
    if digits and rest[digits : digits + 1] in (".", ")"):
        rest = behind(rest[digits + 1 :], marks)
    lead = line[: len(line) - len(rest)]
    low = rest.lower()
    if low.startswith("rule"):
        rest = rest[4:].lstrip(" \t").removeprefix("#").lstrip(" \t")
        digits = len(rest) - len(rest.lstrip("0123456789"))
        name, rest = rest[:digits].lstrip("0"), rest[digits:]
        if not digits:
            return "", ""
        name = name or "0"
    elif low.startswith("overall"):
        name, rest = "overall", rest[7:]
        named = words_of(rest)[:1]
        if named and named[0] in VERDICTS and rest.lower().lstrip(" \t").startswith(named[0]):
            rest = rest.lstrip(" \t")[len(named[0]) :]
    else:
        return "", ""
    if rest[:1].isalnum():
        return "", ""
    if name == "overall" and is_sentence(rest):
        return "", ""
    return name, word_of(lead, rest)


def is_sentence(rest: str) -> bool:
    """Say whether what follows "overall" is a sentence: no colon, and no bare yes or no."""
    after = behind(rest, SPACE + "*_")
    if after.startswith("(") or after[:1] in ("", ":", "：", "=", "-", "–", "—"):
        return False
    after = behind(after, SPACE + ",*_")
    word = "yes" if after.lower().startswith("yes") else "no"
    ends = behind(after[len(word) :], "*_")
    return not (after.lower().startswith(word) and (not ends.strip() or ends[0] in ".,;:!"))


def word_of(lead: str, rest: str) -> str:
    """Return "yes" or "no" where a line's answer is just that, "?" otherwise."""
    rest = behind(rest, SPACE + "*_`,")
    if rest.startswith("(") and ")" in rest:
        aside, _, behind_it = rest[1:].partition(")")
        if not {"yes", "no"} & set(words_of(aside)) and "(" not in aside:
            rest = behind_it
    after = behind(rest, SPACE + ":：*_<>-–—=`\"'“”‘’.([" + GOOD + BAD)
    marks = rest[: len(rest) - len(after)]
    if after.lower().startswith("answer"):
        after = behind(after[6:], SPACE + ":：*_")
    length = next((at for at, one in enumerate(after) if not one.isalnum()), len(after))
    word, after = after[:length].lower(), after[length:]
    if word not in ("yes", "no"):
        return "?"
    after = behind(after, "*_`\"'”’>)]")
    around = lead + marks + after.strip()[:1] + after.strip()[-1:]
    if word == "yes" and any(cross in around for cross in BAD):
        return "?"
    return word if is_kept(after) else "?"


def is_kept(after: str) -> bool:
    """Say whether what follows an answer leaves it standing."""
    said = words_of(after)
    gap = after[: next((at for at, one in enumerate(after) if one.isalnum()), len(after))]
    if any(unicodedata.category(one) in ("Cf", "Mn", "Mc", "Me") for one in after[:1]):
        return False
    if after.lstrip().startswith(("?", "？")) or (after[:1] == "-" and after[1:2].isalnum()):
        return False
    if not said:
        return True
    while said[0] == "but" and said[1:2] and said[1] in ("only", "unless"):
        said = said[1:]
    if not gap.strip(SPACE + ",;") and (
        said[0] in ("or", "nor", "unless")
        or (said[0] == "only" and said[1:2] in (["if"], ["when"]))
    ):
        return False
    tight = not gap.strip()
    if tight and said[0] in CONDITIONS:
        return False
    if said[0] == "and" and said[1:2] in (["yes"], ["no"]) and tight:
        return False
    if said[0] not in ("yes", "no"):
        return True
    tail = after[len(gap) + len(said[0]) :]
    alone = len(said) == 1 or tail.lstrip()[:1] in tuple(".,;:：!?)]")
    return not (tight or alone or any(one in "/|\\→⇒➜>=&+~" for one in gap))


def seen_lines(text: str) -> Iterator[str]:
    """Yield the lines as they are seen, without what is invisible, wide letters as narrow ones."""
    for line in text.splitlines():
        if not line.isascii():
            line = "".join(
                one for one in line if unicodedata.category(one) not in ("Cf", "Mn", "Mc", "Me")
            )
            line = unicodedata.normalize("NFKC", line)
        yield line.lower()


def denies(line: str) -> bool:
    """Say whether a line says no of a rule or of all, wherever it stands."""
    said = words_of(line)
    for at, word in enumerate(said):
        if word != "no":
            continue
        before = said[:at]
        if before[-1:] == ["is"]:
            before = before[:-1]
        if before[-1:] and before[-1] in VERDICTS and before[-2:-1] != ["overall"]:
            before = before if len(before) <= 3 else ["x"]
        else:
            before = before[:-1] if before[-1:] and before[-1] in VERDICTS else before
        label = before[-1:] == ["overall"] or (
            before[-2:-1] == ["rule"] and (before[-1].isdigit() or before[-1] in COUNTS)
        )
        label = label or (len(before) <= 3 and before[-1:] != [] and before[-1] in VERDICTS)
        if (label or not before) and ends_there(line, said, at):
            return True
    return False


def ends_there(line: str, said: list[str], at: int) -> bool:
    """Say whether the word at `at` is the last of its clause and stands close to its label."""
    position = -1
    for word in said[: at + 1]:
        previous = position
        position = line.index(word, position + 1)
        start = previous + len(said[max(0, at - 1)]) if previous >= 0 else 0
    gap, tail = line[start:position], line[position + 2 :].lstrip("*_`\"'”’>)] \t")
    close = len(gap.strip()) <= 3 and not gap.strip().startswith((";", ","))
    return close and (not tail or tail[0] in ".,;:!?" or tail.startswith("because"))


if __name__ == "__main__":
    main()
