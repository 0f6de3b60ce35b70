import math

from wavecoder.behaviour.subjects import Outcome
from wavecoder.behaviour.wire import read_lines


def test_only_lines_with_the_mark_count_and_of_several_the_first():
    text = b"k 0 V 1\nx 0 V 2\nk 0 V 3\nnoise k 1 V 4\nk 1 R Error: \xff\nk two V 5\nk 2\nk 3 X 1\n"
    found, failure = read_lines(text, "k")
    assert found == {0: Outcome("value", 1), 1: Outcome("raised", None, "Error: \ufffd")}
    assert failure is None


def test_a_failure_of_the_whole_is_kept():
    assert read_lines(b"k -1 F NameError: x\nk -1 F other\n", "k") == ({}, "NameError: x")


def test_a_value_that_is_cut_off_is_opaque():
    assert read_lines(b"k 0 V [1, 2", "k")[0][0].kind == "opaque"
    assert read_lines(b"k 0 V " + b"[" * 100_000, "k")[0][0].kind == "opaque"


def test_what_json_has_no_form_for():
    text = b'k 0 V {"m":[[1,NaN],[[2,3],{"s":[3,"a",1]}],[true,-Infinity],["k",{"m":[]}]]}\n'
    value = read_lines(text, "k")[0][0].value
    assert math.isnan(value.pop("1"))
    assert value == {"[2, 3]": [1, 3, "a"], "true": -math.inf, "k": {}}
