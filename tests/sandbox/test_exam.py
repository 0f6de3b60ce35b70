"""What travels between a program and its tests."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.sandbox.bubblewrap import INSIDE

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(INSIDE))
    import exam

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.text(st.characters(categories=["Cs"])),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.sets(hashable, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.lists(st.sampled_from(["", "a", "\ud800", "b" * 40]), min_size=14, max_size=40)
        | st.lists(st.sampled_from(["", "a"]), min_size=14, max_size=40).map(tuple)
    ),
    max_leaves=20,
)


def refuse(*_):
    raise AssertionError("no value should have to stay")


def travelled(value):
    return exam._Reader(bytes(exam._pack(value, refuse)[4:]), refuse).whole()


@settings(deadline=None, max_examples=60)
@given(values)
def test_a_plain_value_comes_back_of_the_same_types(value):
    # A set or a number that is none has no order and no equality, but all have this.
    assert sorted(repr(travelled(value))) == sorted(repr(value))
    assert type(travelled(value)) is type(value)


class Whole(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class Words(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__

    def encode(self, *_):
        return b"other"


class Items(list):
    def __iter__(self):
        return iter([9, 9])


class Lying:
    __class__ = int  # type: ignore[assignment]


def test_what_derives_from_a_plain_type_is_reduced_to_it():
    for value, plain in ((Whole(7), 7), (Words("x"), "x"), (Items([1]), [1]), (-0.0, -0.0)):
        back = travelled(value)
        assert (type(back), repr(back)) == (type(plain), repr(plain))


def test_an_object_stays_where_it_is_whatever_it_says_of_its_class():
    kept = []

    def keep(value):
        kept.append(value)
        return 5, "Lying"

    data = bytes(exam._pack([Lying(), math], keep)[4:])
    assert exam._Reader(data, lambda *found: found).whole() == [(5, "Lying")] * 2
    assert [type(one) for one in kept] == [Lying, type(math)]


def test_values_may_be_so_deep_and_no_deeper():
    value = []
    for _ in range(exam._DEEPEST - 1):
        value = [value]
    assert travelled(value) == value
    with pytest.raises(RecursionError):
        exam._pack([value], refuse)
    deeper = b"l\1\0\0\0" * 300 + b"N"
    with pytest.raises(exam._Nonsense):
        exam._Reader(deeper, refuse).whole()


def test_few_words_many_times_take_a_byte_each():
    value = [("Dog", "Cat") * 500, [*"abcd" * 250, 1], [Words(one) for one in "ab" * 500]]
    assert len(exam._pack(value, refuse)) < 1100 + 6 * 1010 + 6 * 1010
    back = travelled(value)
    assert back == [value[0], value[1], [*"ab" * 500]]
    assert {type(one) for one in back[2]} == {str}
    with pytest.raises(exam._Nonsense):  # a word that is not there
        exam._Reader(b"Wl\1\0\1\0\0\0a\1\0\0\0\1", refuse).whole()


@settings(deadline=None, max_examples=500)
@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                b"N",
                b"T",
                b"i",
                b"f",
                b"c",
                b"s",
                b"b",
                b"l",
                b"t",
                b"S",
                b"Z",
                b"d",
                b"R",
                b"Wl",
                b"Wt",
                b"\1\0",
                b"\0",
                b"\1\0\0\0",
                b"\2\0\0\0",
                b"\xff\xff\xff\xff",
                b"\x031.0",
                b"\xff",
            ]
        ),
        max_size=40,
    ).map(b"".join)
)
def test_no_bytes_do_more_than_be_refused(data):
    with contextlib.suppress(exam._Nonsense):
        exam._Reader(data, lambda number, what: (number, what)).whole()


def test_a_length_beyond_what_is_there_is_refused_before_memory_is_taken():
    for tag in (b"l", b"S", b"Z", b"t", b"d", b"s", b"b", b"i", b"Wl\0\0", b"Wl"):
        with pytest.raises(exam._Nonsense):
            exam._Reader(tag + b"\xff\xff\xff\xff", refuse).whole()


def test_an_exception_of_the_program_is_one_of_ours_by_name():
    assert type(exam._exception("KeyError", "x")) is KeyError
    for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException", "print", "A"):
        assert type(exam._exception(name, "x")) is exam._Raised
    assert type(exam._exception("UnicodeDecodeError", "x")) is exam._Raised
    assert type(exam._exception("ExceptionGroup", "x")) is exam._Raised


def test_names_are_found_in_functions_of_functions():
    code = compile(
        "def f():\n    def g():\n        return h(1)\n    return g\nx = y.z", "t", "exec"
    )
    assert {"h", "y", "z", "x", "f"} <= exam._names(code)
