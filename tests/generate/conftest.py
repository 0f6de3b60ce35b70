from collections.abc import Callable, Iterable, Iterator

import pytest

from wavecoder.artifact import Artifact
from wavecoder.generate import Generate
from wavecoder.records import RawCode, digest
from wavecoder.stage import Context, run_stage


class Functions:
    """Stands before `generate`: small real functions."""

    name, data_version, streaming, writes = "functions", 1, False, RawCode
    config = Generate.Config(generator="scripted:x")

    def __init__(self, count: int) -> None:
        self.count = count

    def identity(self) -> dict[str, object]:
        return {"count": self.count}

    def inputs(self, ctx: Context) -> Iterator[RawCode]:
        for number in range(self.count):
            yield RawCode(
                id=digest(str(number)),
                language="python",
                name=f"add_{number}",
                code=f"def add_{number}(x):\n    if x > {number}:\n        return x + {number}\n"
                f"    return {number}",
                docstring=f"Adds {number} to large numbers.",
                source="test",
                path="t.py",
                start_line=1,
                end_line=4,
                content_hash=digest(str(number)),
            )

    def run(self, inputs: Iterable[RawCode], ctx: Context) -> Iterator[RawCode]:
        yield from inputs


@pytest.fixture
def coreset(make_context: Callable[..., Context]) -> Callable[[int], dict[str, Artifact]]:
    """Make what `generate` begins with: so many functions."""

    def make(count: int) -> dict[str, Artifact]:
        ctx = make_context("functions", folder=f"functions-{count}")
        return {"functions": run_stage(Functions(count), ctx)}

    return make
