"""A model's answer becomes a candidate program: what the prompt gives and what the answer adds.

No harness agrees with another here, and each loses right answers: a helper in front of the
function, an import, code behind a prompt that the tokenizer did not give back letter by letter.
Here nothing is cut by counting characters, no import, helper or class is dropped, and what the
prompt defines (HumanEval 32, 38 and 50 test its helpers) is there even if the answer leaves it out.

Nothing here fails, whatever the text, and time grows with its length alone. `blocks.py` finds the
fences; `items.py` and `pythonic.py` cut code into its outermost pieces; `braced.py` and
`pythonic.py` put the program together.
"""

from wavecoder.evaluate.extraction import braced, pythonic
from wavecoder.evaluate.extraction.blocks import Block, blocks, cut_at, plain
from wavecoder.evaluate.prompts import Style, stop_words
from wavecoder.records import Problem

__all__ = ["candidate"]


def candidate(problem: Problem, completion: str, *, style: Style) -> str:
    """Return the candidate program, without tests.

    A whole function replaces the prompt's stub; anything else is taken for its body. The function
    is not renamed: the problem says its name. Go's program has no package clause, Java's classes
    are not public and Rust's begins with the prompt's `fn main(){}`, so that tests can be put
    beside it.

    Args:
        problem: The problem that was asked.
        completion: The model's answer as it came; any text.
        style: How it was asked. `completion` is cut at its stop words, which an endpoint may not
            have done, unless it has a fence or the whole function.
    """
    text = plain(completion)
    if style == Style.ALPACA:
        text = cut_at(text, stop_words(problem, style=style))
    found = blocks(text)
    continued = style == Style.COMPLETION and not found[0].fenced
    if continued:
        text = cut_at(text, stop_words(problem, style=style))
        found = [Block(text, None, fenced=False)]
    if problem.language == "python":
        return pythonic.program(problem, found, continued=continued)
    return braced.program(problem, found, continued=continued)
