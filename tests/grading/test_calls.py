import pytest

from wavecoder.grading.calls import wrap_calls


@pytest.mark.parametrize(
    ("test", "wrapped"),
    [
        ("f(1) == g(f(2, h(3)))", "w(f(1)) == g(w(f(2, h(3))))"),
        ("f(\")\", '(') == if_(1)", "w(f(\")\", '(')) == if_(1)"),
    ],
)
def test_every_call_is_wrapped_whole(test: str, wrapped: str) -> None:
    assert wrap_calls(test, "f", "w") == wrapped


@pytest.mark.parametrize(("test", "why"), [("f(1", "not closed"), ("f(f(1))", "inside")])
def test_what_cannot_be_wrapped_is_refused(test: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        wrap_calls(test, "f", "w")
