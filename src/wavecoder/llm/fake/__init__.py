"""An OpenAI-compatible endpoint on this machine that makes its replies up and fails as told."""

from wavecoder.llm.fake.faults import FAULTS
from wavecoder.llm.fake.server import FakeServer

__all__ = ["FAULTS", "FakeServer"]
