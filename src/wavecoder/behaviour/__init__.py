r"""What functions do: observed in the sandbox, compared across languages.

One notion proves all tasks: what a function gives back on inputs. Expected results equal the
solution's and differ from a stub's (generation); on inputs that were found by program the fixed
side's results differ from the buggy side's (repair), both languages' are equal (translation), and
the function written anew from its summary has the original's (summarization).

```python
subject = Subject("def double(n):\n    return 2 * n\n", "python", "double")
calls = find_calls(sandbox, [subject], random.Random(0))
outcomes = observe(sandbox, subject, calls)
```

`signatures.py` says what a function takes, `shapes.py` what its types mean in any language and
`literals.py` how a value is written in them; `drivers/` has a program for each language that calls
a subject and writes results as lines (`wire.py`); `observing.py` runs it. `finding.py` finds calls
with values of `inputs.py`; `examples.py` reads them from documentation.

What does not hold: subject and driver share a process, so a subject written against this very code
can forge its results; and a function that tells two inputs apart that were not tried is not known.
"""

from wavecoder.behaviour.comparing import differ, same, tolerance
from wavecoder.behaviour.examples import doctest_cases
from wavecoder.behaviour.finding import find_calls
from wavecoder.behaviour.observing import FLAKY, observe
from wavecoder.behaviour.signatures import functions_in, signature
from wavecoder.behaviour.stubs import stub
from wavecoder.behaviour.subjects import Outcome, Signature, Subject, Unrunnable

__all__ = [
    "FLAKY",
    "Outcome",
    "Signature",
    "Subject",
    "Unrunnable",
    "differ",
    "doctest_cases",
    "find_calls",
    "functions_in",
    "observe",
    "same",
    "signature",
    "stub",
    "tolerance",
]
