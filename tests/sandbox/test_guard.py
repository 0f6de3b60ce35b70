import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None)
@given(st.lists(st.integers(0, 90_000), max_size=8))
def test_a_tail_keeps_both_ends_of_a_stream(sizes):
    with pytest.MonkeyPatch.context() as patch:
        from wavecoder.sandbox.bubblewrap import INSIDE

        patch.syspath_prepend(str(INSIDE))
        import guard
    whole = b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    tail, at = guard.Tail(), 0
    for size in sizes:
        tail.add(whole[at : at + size])
        at += size
    half = guard._KEPT
    assert tail.written == len(whole)
    if len(whole) <= 2 * half:
        assert tail.kept() == whole
    else:
        note = b"\n[... %d bytes ...]\n" % (len(whole) - 2 * half)
        assert tail.kept() == whole[:half] + note + whole[-half:]
