"""What a driver is given, and what several drivers have in common."""

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from wavecoder.behaviour.shapes import Shape, shape
from wavecoder.behaviour.signatures import Found
from wavecoder.behaviour.subjects import Signature, Subject, Unrunnable

__all__ = ["MOST_LOST", "Plan", "UnfitError", "harness", "one_by_one", "resumed", "shapes_of"]

NOT_RUN = "it was not run: too many calls before it did not end"
NO_END = "it did not end in its time"
MOST_LOST = 3
"""So many calls that do not end, and those behind them are not run."""
_OUT_OF_TIME = 142  # 128 + SIGALRM


class UnfitError(ValueError):
    """No program can be made that calls the subject."""

    def __init__(self, why: Unrunnable) -> None:
        super().__init__(why.detail)
        self.why = why


class Plan(NamedTuple):
    """Calls of one subject, to be made in one job."""

    subject: Subject
    found: Found
    """The function in the subject's text."""
    calls: Sequence[tuple[int, Sequence[str]]]
    """A call's number, and its arguments as expressions of the language."""
    mark: str
    room: int
    """Characters that a value may take."""
    seconds: float
    """CPU time of one call."""
    most_lost: int = MOST_LOST
    shared: bool = False
    """Calls may be made in one process, where the language has it otherwise."""

    @property
    def signature(self) -> Signature:
        """What the function takes."""
        return self.found.signature


def harness(name: str) -> str:
    """Return one of our texts that stand beside subjects."""
    return files("wavecoder.behaviour.drivers").joinpath("harness", name).read_text("utf-8")


def shapes_of(signature: Signature, language: str) -> list[Shape | None]:
    """Return the shapes of a function's parameters; None for one that is not understood."""
    return [
        shape(written, language, signature.generic) if written else None
        for _, written in signature.parameters
    ]


def one_by_one(plan: Plan, command: str) -> list[str]:
    """Return a command that runs a program once for every call, with the call's place.

    Its descriptor 9 is that of results; what it prints goes elsewhere. One that ends by a signal of
    its own making is said to have crashed.
    """
    places = " ".join(f"{at}:{number}" for at, (number, _) in enumerate(plan.calls))
    return [
        "/bin/sh",
        "-c",
        f"""lost=0
for one in {places}; do
number=${{one#*:}}
if [ $lost -ge {plan.most_lost} ]; then
echo "{plan.mark} $number T {NOT_RUN}" >&2; continue; fi
(ulimit -S -t {_whole(plan.seconds)}; exec {command} ${{one%:*}} 9>&2 2>&1)
status=$?
case $status in
0) echo "{plan.mark} $number C it ended its process without a result" >&2 ;;
{_OUT_OF_TIME}|152|155|137) lost=$((lost + 1)); echo "{plan.mark} $number T {NO_END}" >&2 ;;
*) echo "{plan.mark} $number C exit status $status" >&2 ;;
esac
done""",
    ]


def resumed(plan: Plan, command: str) -> list[str]:
    """Return a command that runs a program, and again from behind the call at which it ended.

    The program gets the place of the first call to make, and writes the place of each, when it is
    made, to the file `at`; when all are made, their number.
    """
    numbers = " ".join(str(number) for number, _ in plan.calls)
    return [
        "/bin/sh",
        "-c",
        f"""set -- {numbers}
first=0 lost=0
while [ $first -lt {len(plan.calls)} ] && [ $lost -lt {plan.most_lost} ]; do
echo -1 > at
{command} $first 9>&2 2>&1
status=$?
read at < at
[ "$at" -lt 0 ] && exit 0
[ "$at" -ge {len(plan.calls)} ] && exit 0
shift $((at - first)); number=$1; shift
case $status in
{_OUT_OF_TIME}) echo "{plan.mark} $number T {NO_END}" >&2 ;;
*) echo "{plan.mark} $number C exit status $status" >&2 ;;
esac
lost=$((lost + 1)) first=$((at + 1))
done
for number do echo "{plan.mark} $number T {NOT_RUN}" >&2; done""",
    ]


def _whole(seconds: float) -> int:
    """Return whole seconds of CPU time, at least two: a shell counts no parts."""
    return int(seconds) + 2
