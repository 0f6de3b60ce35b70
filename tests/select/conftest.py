from collections.abc import Callable

import pytest

from wavecoder.records import RawCode, digest


@pytest.fixture
def raw_code() -> Callable[..., RawCode]:
    """Build raw code from its text alone."""

    def make(code: str, language: str = "python", record_id: str | None = None) -> RawCode:
        return RawCode(
            id=record_id or digest(code),
            language=language,
            name="f",
            code=code,
            docstring=None,
            source="directory:src",
            path="a.py",
            start_line=1,
            end_line=code.count("\n") + 1,
            content_hash=digest(code),
        )

    return make
