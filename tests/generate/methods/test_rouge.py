from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecoder.generate.methods.rouge import rouge_l

texts = st.lists(st.sampled_from(["sort", "list", "of", "the", "words", "a"]), max_size=70).map(
    " ".join
)


def by_the_book(one: str, other: str) -> float:
    a, b = one.split(), other.split()

    @cache
    def common(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + common(i + 1, j + 1)
        return max(common(i + 1, j), common(i, j + 1))

    length = common(0, 0)
    if not length:
        return 0.0
    precision, recall = length / len(a), length / len(b)
    return 2 * precision * recall / (precision + recall)


@given(texts, texts)
def test_it_equals_the_definition(one: str, other: str):
    assert rouge_l(one, other) == pytest.approx(by_the_book(one, other))
    assert rouge_l(one, other) == rouge_l(other, one)


@given(texts, texts)
def test_what_reaches_the_least_is_compared(one: str, other: str):
    score = rouge_l(one, other)
    if score >= 0.7:
        assert rouge_l(one, other, least=0.7) == score


def test_case_and_marks_do_not_count():
    assert rouge_l("Sort the list!", "sort, the LIST") == 1.0
    # a longest common subsequence of 4 in 6 and 5 words
    assert rouge_l("write code that sorts a list", "code sorts the a list") == pytest.approx(8 / 11)
    assert rouge_l("", "sort") == rouge_l("¿?", "sort") == 0.0
    assert rouge_l("sort", "sort a list of words", least=0.7) == 0.0
