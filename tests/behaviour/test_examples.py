import pytest

from wavecoder.behaviour import doctest_cases


def test_prompts_of_python_with_the_next_line():
    text = '''def f(a, b=2):
    """Add.

    >>> f(1, [2, 'x'])
    (3, None)
    >>> print(f(1))
    3
    >>> f(0)
    >>> f(g(1))
    2
    >>> f("a\\nb", {'k': -1.5})
    {1, 2}
    """
'''
    assert doctest_cases(text, "python", "f") == [
        ([1, [2, "x"]], [3, None]),
        (["a\nb", {"k": -1.5}], [1, 2]),
    ]


@pytest.mark.parametrize(
    ("line", "language", "case"),
    [
        ("// f(1, 2) == 3", "javascript", ([1, 2], 3)),
        ("f(1) -> 2", "python", ([1], 2)),
        ("f(1) ➞ [2, 3]", "python", ([1], [2, 3])),
        ("# f(1) => true", "ruby", ([1], True)),
        ("f('a') // => 'b'", "javascript", (["a"], "b")),
        ("f([1]); // 3", "javascript", ([[1]], 3)),
        ("f(nil) # => {a: 1}", "ruby", ([None], {"a": 1})),
        (" * f({1, 2}) == {3}", "cpp", ([[1, 2]], [3])),
        ("/// f(&[1]) == 1", "rust", None),
        ("assert f(1) == 2", "python", ([1], 2)),
        ("assert(f(1) == 2);", "cpp", ([1], 2)),
        (">>> f(1) == f(2)", "python", None),
        ("f(x) == 2", "python", None),
        ("if f(1) == 2:", "python", None),
        ("f(1) == 2 and more", "python", None),
        ("g(1) == 2", "python", None),
        ("f(1)", "python", None),
        ("return f(1) + 2", "python", None),
        ("f(1) == 'open", "python", None),
        ("f(1, == 2", "python", None),
    ],
)
def test_a_line_is_read_without_doubt_or_not_at_all(line, language, case):
    assert doctest_cases(line, language, "f") == ([case] if case else [])


def test_a_call_shown_twice_is_one_case():
    assert doctest_cases("f(1) == 2\nf(1) == 2\n", "python", "f") == [([1], 2)]
