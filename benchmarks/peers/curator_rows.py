"""The rows through bespokelabs-curator: two `curator.LLM` stages, one after the other.

Run by benchmarks/peers.py in a venv of its own, with the path of a job (see job.py). The backend is
`openai`, which is aiohttp straight to the address; `max_concurrent_requests` bounds what is in
flight, and the limits a minute are set far above what is reached, as each request is counted with
4096 tokens of output. A stage ends before the next begins: that is how stages are chained there.
"""

from collections.abc import Iterable
from typing import Any

from bespokelabs import curator
from datasets import Dataset
from job import JOB, ROWS, measure


class Writer(curator.LLM):
    """Writes an instance from raw code."""

    def prompt(self, row: dict[str, str]) -> str:
        """Return what is asked for a row."""
        return JOB["write"].replace("{{ code }}", row["code"])

    def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
        """Return the row with its instance."""
        return {**row, "instance": response}


class Judge(curator.LLM):
    """Judges an instance."""

    def prompt(self, row: dict[str, str]) -> str:
        """Return what is asked for a row."""
        asked = JOB["judge"].replace("{{ code }}", row["code"])
        return asked.replace("{{ instance }}", row["instance"])

    def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
        """Return the row with its verdict."""
        return {**row, "verdict": response}


def settings() -> dict[str, Any]:
    """Return how a stage reaches the server; a new one each time, as it is written into."""
    return {
        "model_name": "fake",
        "backend": "openai",
        "generation_params": {"max_tokens": JOB["max_tokens"]},
        "backend_params": {
            "base_url": JOB["url"],
            "max_concurrent_requests": JOB["in_flight"],
            "max_requests_per_minute": 1_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "require_all_responses": False,
        },
    }


def main() -> None:
    """Run both stages; their construction, which asks the server for its limits, is not timed."""
    writer, judge = Writer(**settings()), Judge(**settings())

    def run() -> Iterable[dict[str, str]]:
        written = writer(Dataset.from_list(ROWS), working_dir=JOB["work"]).dataset
        return judge(written, working_dir=JOB["work"]).dataset

    measure(run)


if __name__ == "__main__":
    main()
