from wavecoder.collect.filters.functions import NoOptions
from wavecoder.collect.filters.secrets import Secrets, shown
from wavecoder.records import RawCode, digest

# Put together here, so that nothing that looks for secrets finds one in this file.
SECRET = "gh" + "p_a1B" + "x" * 33


def raw(code, docstring=None):
    return RawCode(
        id=digest(code),
        language="python",
        name="f",
        code=code,
        docstring=docstring,
        source="directory:a",
        path="a/b.py",
        start_line=1,
        end_line=1,
        content_hash=digest(code),
    )


def test_a_function_with_a_secret_is_rejected_and_it_is_not_shown():
    check = Secrets(NoOptions()).check
    assert check(raw(f"def f():\n    g({SECRET!r})")) == ("secret", "a GitHub token on line 2")
    in_prose = check(raw("def f(): ...", docstring=SECRET))
    assert in_prose == ("secret", "a GitHub token in its doc comment")
    assert check(raw("def f(): ...")) is None


def test_a_quotation_is_left_out_where_the_text_has_a_secret():
    assert SECRET not in shown(f"unexpected {SECRET!r}", f"f({SECRET!r}")
    assert shown("unexpected ')'", "f)") == "unexpected ')'"
    assert shown("a string is not closed", f"f({SECRET!r}") == "a string is not closed"
