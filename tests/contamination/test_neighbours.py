import numpy as np

from wavecoder.contamination import Document, Neighbours, Reference
from wavecoder.select.embedders.lexical import Lexical


def reference(code: str) -> Reference:
    return Reference("own", code[:9], "python", "", (code,), (code,), "")


CODES = (
    "def add(a, b):\n    total = a + b\n    return total\n",
    "def words(text):\n    return sorted(text.split(), key=len)\n",
)
OTHERS = [f"class C{n}:\n    def m{n}(self):\n        yield {n} * self.x\n" for n in range(40)]


def test_the_nearest_rows_are_those_of_all_cosines_at_once():
    embedder = Lexical(Lexical.Config())
    rows = [Document(solution=code) for code in (*OTHERS, CODES[1], *OTHERS, CODES[0])]
    found = Neighbours([reference(code) for code in CODES], embedder, keep=3)
    for start in range(0, len(rows), 7):
        found.see(
            rows[start : start + 7], range(start + 1, start + 1 + len(rows[start : start + 7]))
        )
    whole = Neighbours([reference(code) for code in CODES], embedder, keep=3)
    whole.see(rows, range(1, len(rows) + 1))
    assert found.found() == whole.found()
    assert [one.row for one in found.found(least=0.99)] == [len(rows), len(OTHERS) + 1]
    assert np.allclose(found.nearest(), 1)
    assert len(found.found()) == 6


def test_fewer_rows_than_neighbours_are_no_rows_made_up():
    found = Neighbours([reference(CODES[0])], Lexical(Lexical.Config()), keep=3)
    assert found.found() == []
    found.see([Document(solution=CODES[0])], [5])
    assert [(one.row, one.cosine) for one in found.found()] == [(5, 1.0)]


def test_fenced_code_is_embedded_without_its_answer():
    found = Neighbours([reference(CODES[0])], Lexical(Lexical.Config()), keep=1)
    found.see([Document(solution=f"Sure, here it is:\n```python\n{CODES[0]}```\nEnjoy!")], [1])
    assert found.nearest()[0] > 0.999
