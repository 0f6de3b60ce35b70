from collections.abc import Callable, Iterator

import pytest

from wavecoder.behaviour import Outcome, Subject, Unrunnable, observe
from wavecoder.protocols import Sandbox
from wavecoder.sandbox import open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    found = open_sandbox()
    yield found
    found.close()


@pytest.fixture
def seen(sandbox: Sandbox) -> Callable[..., list[Outcome]]:
    """Observe a function that can be called."""

    def make(code: str, language: str, function: str, calls: list[list], **rest) -> list[Outcome]:
        found = observe(sandbox, Subject(code, language, function), calls, **rest)
        assert not isinstance(found, Unrunnable), found
        return found

    return make
