import pytest

from wavecoder.generate.symptoms import symptom, telling
from wavecoder.records import Case, Level, Proof


def proof(*cases: tuple[str, str, str | None], how: str = "bug_shows") -> Proof:
    return Proof(
        level=Level.PROVED,
        how=how,
        cases=tuple(Case(call=call, expected=right, other=wrong) for call, right, wrong in cases),
        detail="",
    )


def test_of_the_runs_that_tell_two_codes_apart_the_shortest_is_said():
    case = telling(proof(("[1]", "2", "2"), ('["long", 40]', "9", "8"), ("[3, 4]", "7", "12")))
    assert symptom(case) == (
        " For example, with the arguments `3, 4` it should give `7`, but it gives `12` "
        "(values in JSON)."
    )
    case = telling(proof(('["a"]', '["a", ""]', "raised ValueError: empty separator")))
    assert symptom(case) == (
        ' For example, with the arguments `"a"` it should give `["a", ""]`, but it raises '
        "`ValueError: empty separator` (values in JSON)."
    )


def test_a_function_without_arguments_has_a_sentence_too():
    said = symptom(telling(proof(("[]", "3", "raised E: a\r\nb"))))
    assert said == " For example, it should give `3`, but it raises `E: a b` (values in JSON)."


def test_nothing_is_a_result_too():
    assert "give `3`, but it gives `null`" in symptom(telling(proof(("[1]", "3", "null"))))
    assert "but it raises `E: x`" in symptom(telling(proof(("[1]", "null", "raised E: x"))))


@pytest.mark.parametrize(
    "case",
    [
        ("[1]", "2", "2"),
        ("[1]", "2", None),
        ("[[2, 1]]", "[[1, 2]]", "null"),
        ("[[2, 1]]", "1", "[[1, 2]]"),
        ("[0]", "0", "0.0"),
        ('["`"]', '"`"', "2"),
        ("[1]", "2", "timeout it did not end"),
        ("[1]", "2", "opaque a generator"),
        (f"[{'9' * 300}]", "1", "2"),
        ("[1, 2", "1", "2"),
        ("[[2, 1]]", "[[1, 2]]", "[[2, 2]]"),
    ],
    ids=[
        "same",
        "not run",
        "perhaps its arguments left alone",
        "perhaps the wrong one's arguments",
        "equal, as the proof counts",
        "a mark inside",
        "endless",
        "not a plain value",
        "long",
        "cut off",
        "perhaps its arguments afterwards",
    ],
)
def test_what_a_sentence_cannot_say_truly_is_not_said(case: tuple[str, str, str | None]):
    assert telling(proof(case)) is None
    assert symptom(None) == ""


def test_only_a_bug_has_a_symptom():
    assert telling(proof(("[1]", "2", "3"), how="round_trip")) is None
    assert telling(None) is None
