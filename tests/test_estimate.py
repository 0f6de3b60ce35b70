"""The estimate over a fake endpoint: its sample, its ranges, and what is paid twice: nothing."""

import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wavecoder.artifact import Artifact
from wavecoder.cli.estimate import estimate as command
from wavecoder.errors import ArtifactError, BudgetError, ConfigError, ModelError
from wavecoder.estimate import Estimate, Range, estimate
from wavecoder.estimate.intervals import per_function, wilson
from wavecoder.estimate.projection import Projection, Usage
from wavecoder.llm import Price, Prices
from wavecoder.llm.fake.server import FakeServer
from wavecoder.pipeline import Recipe, RunOptions, run
from wavecoder.progress import Silent
from wavecoder.protocols import Limits
from wavecoder.status import status

FUNCTIONS = 30
PRICES = "fake: {prompt: 10, completion: 100, source: a contract, date: 2026-11-10}"

Serve = Callable[..., FakeServer]


class Notes(Silent):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    for number in range(FUNCTIONS):
        lines = "".join(f"    x = x + {number * step}\n" for step in range(1, 2 + number % 7))
        (folder / f"m{number:02}.py").write_text(
            f'def add_{number}(x):\n    """Add {number} to x, in steps."""\n{lines}    return x\n'
        )
    return folder


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return path


def recipe(source: Path, server: FakeServer | None, **config: Any) -> Recipe:
    generator = "scripted:nothing" if server is None else f"{server.url}#fake"
    table = {"generator": generator, **config}
    filters = {"length": False, "trivial": False}
    return Recipe(
        seed=5,
        collect={
            "sources": [{"directory": str(source)}],
            "filters": filters,
            "near_duplicates": False,
        },
        select={"k": FUNCTIONS},
        generate=table,
    )


def options(prices: Path | None = None, **limits: Any) -> RunOptions:
    return RunOptions(progress=Notes(), limits=Limits(prices=prices, **limits))


def notes(used: RunOptions) -> str:
    assert isinstance(used.progress, Notes)
    return "\n".join(used.progress.notes)


def keys(out: Path) -> set[str]:
    """Return the keys of all replies in a run's ledger."""
    with sqlite3.connect(f"file:{out / 'replies.sqlite'}?mode=ro", uri=True) as database:
        return {key for (key,) in database.execute("select key from replies")}


def made(out: Path) -> Artifact:
    return Artifact.open(out / "3-generate")


# The sample is a part of the run.


@pytest.mark.parametrize("config", [
    {"examples": "static"},
    {"examples": "none", "attempts": 2},
    {"examples": "feedback", "round_size": 4, "lag": 2},
    {"examples": "feedback", "round_size": 2, "lag": 1, "attempts": 2},  # more than its window
    {"examples": "feedback", "target": 9},
    {"examples": "static", "target": 4},
    {"method": "oss-instruct"},
    {"method": "evol-instruct"},
    {"method": "self-instruct", "examples": "feedback", "round_size": 4, "lag": 1},
])  # fmt: skip
def test_the_sample_asks_what_the_run_asks_and_the_run_does_not_ask_it_again(
    source: Path, tmp_path: Path, fake_server: Serve, config: dict[str, Any]
):
    server = fake_server(refuse=0.4)
    loaded = recipe(source, server, **config)
    run(loaded, tmp_path / "plain", options())
    alone = server.stats()["ok"]
    whole = keys(tmp_path / "plain")
    assert alone == len(whole)

    found = estimate(loaded, tmp_path / "run", options(), rows=6)
    sampled = keys(tmp_path / "run")
    assert found.asked == min(6, config.get("target") or 6)
    assert server.stats()["ok"] - alone == found.sample.calls == len(sampled) > 0
    assert sampled <= whole, "the run would not ask all of it"

    run(loaded, tmp_path / "run", options())
    assert keys(tmp_path / "run") == whole
    assert server.stats()["ok"] == 2 * alone, "something was asked twice"
    assert (
        made(tmp_path / "run").manifest.records_sha256
        == made(tmp_path / "plain").manifest.records_sha256
    )


def test_a_larger_sample_holds_the_smaller_one(source: Path, tmp_path: Path, fake_server: Serve):
    server = fake_server()
    loaded = recipe(source, server, examples="static")
    found = [estimate(loaded, tmp_path / "run", options(), rows=rows) for rows in (4, 8, 8)]
    requests = server.stats()["ok"]
    assert requests == found[1].sample.calls == found[2].sample.calls > found[0].sample.calls
    assert found[1] == found[2]


def test_a_sample_that_is_there_already_is_not_announced_as_a_cost(
    source: Path, tmp_path: Path, fake_server: Serve
):
    loaded = recipe(source, fake_server(refuse=1.0), examples="static", attempts=2)
    estimate(loaded, tmp_path / "run", options(), rows=4)
    again = options()
    estimate(loaded, tmp_path / "run", again, rows=4)
    assert "every reply is there already, nothing is asked" in notes(again)


# What it says.


def test_where_every_function_is_asked_the_estimate_is_the_run(
    source: Path, tmp_path: Path, fake_server: Serve, prices: Path
):
    loaded = recipe(source, fake_server(refuse=0.4), attempts=2)
    found = estimate(loaded, tmp_path / "run", options(prices), rows=FUNCTIONS)
    run(loaded, tmp_path / "run", options())
    manifest = made(tmp_path / "run").manifest
    assert manifest.inputs == FUNCTIONS
    assert 0 < manifest.kept < FUNCTIONS
    (tokens,) = manifest.usage.values()
    (one,) = found.models
    cost = (tokens.prompt * 10 + tokens.completion * 100) / 1e6
    calls = len(keys(tmp_path / "run"))
    expected = {
        "rows": FUNCTIONS,
        "accepted": manifest.kept,
        "calls": calls,
        "cost": cost,
        "cost_per_accepted": cost / manifest.kept,
    }
    for name, value in expected.items():
        low_high = getattr(found, name)
        assert (low_high.low, low_high.high) == pytest.approx((value, value)), name
    assert (one.prompt_tokens.low, one.prompt_tokens.high) == pytest.approx((tokens.prompt,) * 2)
    assert one.completion_tokens.high == pytest.approx(tokens.completion)
    assert found.sample.cost == pytest.approx(cost)
    assert found.sample.tokens == tokens.prompt + tokens.completion


def test_a_sample_of_some_gives_a_range_that_holds_the_truth(
    source: Path, tmp_path: Path, fake_server: Serve, prices: Path
):
    loaded = recipe(source, fake_server(refuse=0.3), attempts=2, round_size=8, lag=2)
    found = estimate(loaded, tmp_path / "run", options(prices), rows=12)
    run(loaded, tmp_path / "run", options())
    manifest = made(tmp_path / "run").manifest
    (tokens,) = manifest.usage.values()
    (one,) = found.models
    cost = (tokens.prompt * 10 + tokens.completion * 100) / 1e6
    assert found.cost is not None
    assert found.accepted is not None
    for low_high, truth in (
        (found.cost, cost),
        (found.calls, len(keys(tmp_path / "run"))),
        (one.prompt_tokens, tokens.prompt),
        (one.completion_tokens, tokens.completion),
        (found.accepted, manifest.kept),
    ):
        assert low_high.low <= truth <= low_high.high
        assert low_high.low < low_high.high
    assert "prompts of later rounds show earlier instances" in "\n".join(found.notes)


def test_what_the_sample_takes_at_most_is_said_before_and_is_not_passed(
    source: Path, tmp_path: Path, fake_server: Serve, prices: Path
):
    used = options(prices)
    found = estimate(recipe(source, fake_server(), attempts=3), tmp_path / "run", used, rows=5)
    said = notes(used)
    assert f"sample of 5 of {FUNCTIONS} functions: at most 30 calls, " in said
    tokens = int(said.split("at most 30 calls, ")[1].split(" tokens")[0].replace(",", ""))
    assert found.sample.tokens < tokens
    dollars = float(said.rsplit("$", 1)[1].split("\n")[0])
    assert found.sample.cost is not None
    assert found.sample.cost < dollars


def test_a_target_decides_how_many_functions_are_tried(
    source: Path, tmp_path: Path, fake_server: Serve
):
    loaded = recipe(source, fake_server(refuse=0.0), target=5)
    found = estimate(loaded, tmp_path / "run", options(), rows=20)
    assert found.asked == 5  # a run may need no more
    assert found.acceptance == wilson(5, 5)
    assert found.rows.low == 5
    assert found.rows.high == pytest.approx(5 / wilson(5, 5).low)
    assert found.accepted == Range(5, 5)


def test_a_coreset_too_small_for_the_target_is_said(
    source: Path, tmp_path: Path, fake_server: Serve
):
    loaded = recipe(source, fake_server(refuse=0.5), target=FUNCTIONS)
    found = estimate(loaded, tmp_path / "run", options(), rows=20)
    assert found.rows.high == FUNCTIONS
    assert f"the coreset of {FUNCTIONS} functions" in "\n".join(found.notes)
    assert f"too small for the target of {FUNCTIONS}" in "\n".join(found.notes)


def test_an_unknown_price_leaves_the_cost_unknown_and_the_tokens_known(
    source: Path, tmp_path: Path, fake_server: Serve
):
    used = options()
    found = estimate(recipe(source, fake_server()), tmp_path / "run", used, rows=4)
    assert found.cost is found.cost_per_accepted is found.sample.cost is None
    (one,) = found.models
    assert one.price is one.cost is None
    assert one.prompt_tokens.low > 0
    assert "cost unknown" in notes(used)


def test_two_models_are_counted_apart(
    source: Path, tmp_path: Path, fake_server: Serve, prices: Path
):
    server = fake_server(refuse=0.0)
    loaded = recipe(source, server, discriminator=f"{server.url}#judge", examples="static")
    found = estimate(loaded, tmp_path / "run", options(prices), rows=FUNCTIONS)
    writer, judge = found.models
    assert (writer.model, judge.model) == ("fake", "judge")
    assert writer.calls.low == FUNCTIONS
    assert writer.calls.low + judge.calls.low == pytest.approx(found.calls.low)
    assert writer.cost is not None
    assert judge.cost is None
    assert found.cost is None, "one price is unknown, so the sum is"


def test_replies_without_a_count_are_estimated_by_their_length_and_said(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "plug" / "uncounting"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text(
        "from wavecoder.records import ChatReply\n"
        "class Model:\n"
        "    identity, concurrency = 'uncounting', None\n"
        "    def __init__(self, spec, api_key_env=None): pass\n"
        "    async def complete(self, request):\n"
        "        return ChatReply(text='x' * 35, finish_reason='stop', prompt_tokens=None,\n"
        "                         completion_tokens=None, seconds=0.0)\n"
        "    async def close(self): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "plug"))
    loaded = recipe(source, None, generator="uncounting.model:Model", examples="none")
    found = estimate(loaded, tmp_path / "run", options(), rows=FUNCTIONS)
    (one,) = found.models
    assert one.calls == Range(FUNCTIONS, FUNCTIONS)
    assert one.completion_tokens == Range(10 * FUNCTIONS, 10 * FUNCTIONS)
    with sqlite3.connect(tmp_path / "run" / "replies.sqlite") as database:
        requests = [json.loads(row) for (row,) in database.execute("select request from replies")]
    characters = sum(len(turn["content"]) for asked in requests for turn in asked["messages"])
    assert one.prompt_tokens.low == pytest.approx(characters / 3.5)
    assert f"{FUNCTIONS} replies of the sample came without a count" in "\n".join(found.notes)
    assert found.accepted == Range(0, 0)
    assert found.cost_per_accepted is None


# Nothing asked.


def test_without_a_sample_nothing_is_asked_and_the_lengths_decide(
    source: Path, tmp_path: Path, fake_server: Serve, prices: Path
):
    server = fake_server()
    loaded = recipe(
        source, server, attempts=2, examples="static",
        generator_sampling={"max_tokens": 400}, discriminator_sampling={"max_tokens": 100},
    )  # fmt: skip
    found = estimate(loaded, tmp_path / "run", options(prices), rows=0)
    assert server.stats()["ok"] == 0
    assert not (tmp_path / "run" / "replies.sqlite").exists()
    assert found.asked == 0
    assert found.acceptance is found.accepted is found.cost_per_accepted is None
    # All functions were looked at: one write and one judgement each, or two.
    assert found.calls == Range(2 * FUNCTIONS, 4 * FUNCTIONS)
    (one,) = found.models
    assert one.completion_tokens == Range(500 / 4 * FUNCTIONS, 2 * 500 * FUNCTIONS)
    assert found.cost is not None
    for end in ("low", "high"):
        tokens = getattr(one.prompt_tokens, end) * 10 + getattr(one.completion_tokens, end) * 100
        assert getattr(found.cost, end) == pytest.approx(tokens / 1e6)
    assert found.notes[0].startswith("nothing was asked")
    # The truth is inside.
    run(loaded, tmp_path / "run", options())
    (tokens,) = made(tmp_path / "run").manifest.usage.values()
    assert one.prompt_tokens.low * 0.8 < tokens.prompt < one.prompt_tokens.high
    assert one.completion_tokens.low * 0.5 < tokens.completion < one.completion_tokens.high


def test_with_a_target_and_no_sample_all_functions_may_be_needed(
    source: Path, tmp_path: Path, fake_server: Serve
):
    found = estimate(recipe(source, fake_server(), target=8), tmp_path / "run", options(), rows=0)
    assert found.rows == Range(8, FUNCTIONS)


# What goes wrong.


def test_a_cap_that_the_sample_passes_stops_it_and_loses_nothing(
    source: Path, tmp_path: Path, fake_server: Serve
):
    server = fake_server()
    loaded = recipe(source, server)
    with pytest.raises(BudgetError, match="--max-tokens 9000"):
        estimate(loaded, tmp_path / "run", options(max_tokens=9000), rows=6)
    paid = server.stats()["ok"]
    assert paid == len(keys(tmp_path / "run"))
    found = estimate(loaded, tmp_path / "run", options(), rows=6)
    assert server.stats()["ok"] == found.sample.calls > paid


def test_a_cap_on_cost_needs_a_price(source: Path, tmp_path: Path, fake_server: Serve):
    with pytest.raises(ConfigError, match="needs the price of fake"):
        estimate(recipe(source, fake_server()), tmp_path / "run", options(max_cost=1.0), rows=4)
    assert not (tmp_path / "run").exists()


def test_a_ledger_that_is_none_is_said_before_anything_is_written(
    source: Path, tmp_path: Path, fake_server: Serve
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/replies.sqlite").write_bytes(b"no database, and longer than a header" * 9)
    with pytest.raises(ArtifactError, match="damaged or is no ledger"):
        estimate(recipe(source, fake_server()), tmp_path / "run", options(), rows=4)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["replies.sqlite"]


def test_nobody_else_works_on_the_run_while_the_sample_is_asked(
    source: Path, tmp_path: Path, fake_server: Serve
):
    loaded = recipe(source, fake_server())
    held: list[bool | None] = []

    class Looking(Notes):
        def outcome(self, reason: str | None, count: int = 1) -> None:
            held.append(status(tmp_path / "run").working)

        def start(self, stage: str, total: int | None, finished: int) -> None:
            if stage == "sample":
                with pytest.raises(ArtifactError, match="Another process is working"):
                    run(loaded, tmp_path / "run", options())

    estimate(loaded, tmp_path / "run", RunOptions(progress=Looking()), rows=4)
    assert held[-4:] == [True] * 4
    assert status(tmp_path / "run").working is False


def test_a_sample_of_failures_is_no_estimate(source: Path, tmp_path: Path, fake_server: Serve):
    loaded = recipe(source, fake_server(fault={"context_length": 1.0}))
    with pytest.raises(ModelError, match=r"4 of the 4 functions of the sample failed, the first"):
        estimate(loaded, tmp_path / "run", options(), rows=4)


def test_some_failures_are_left_out_and_said(source: Path, tmp_path: Path, fake_server: Serve):
    loaded = recipe(source, fake_server(fault={"context_length": 0.3}, refuse=0.0))
    found = estimate(loaded, tmp_path / "run", options(), rows=20)
    assert 0 < found.failed < 18
    assert found.acceptance is not None
    assert found.acceptance.high == 1.0, "a failure is no refusal"


@pytest.mark.parametrize("rows", [1, -3])
def test_a_sample_of_one_is_refused(source: Path, tmp_path: Path, rows: int):
    with pytest.raises(ConfigError, match=f"-n is {rows}"):
        estimate(recipe(source, None), tmp_path / "run", options(), rows=rows)


def test_recipes_without_models_or_functions_are_one_sentence(source: Path, tmp_path: Path):
    whole = recipe(source, None)
    with pytest.raises(ConfigError, match="no table generate"):
        estimate(whole.model_copy(update={"generate": None}), tmp_path, options())
    script = tmp_path / "script.yaml"
    script.write_text("- {match: x, reply: y}")
    bare = {"collect": None, "select": None, "generate": {"generator": f"scripted:{script}"}}
    with pytest.raises(ConfigError, match="add collect and select"):
        estimate(whole.model_copy(update=bare), tmp_path, options())


# The arithmetic.


@pytest.mark.parametrize(
    ("values", "population", "half"),
    [
        # Mean 2 and standard deviation 1; t with two degrees of freedom is 4.3027.
        ([1, 2, 3], 10**9, 4.3027 / math.sqrt(3)),
        ([1, 2, 3], 12, 4.3027 / math.sqrt(3) * math.sqrt(1 - 3 / 12)),
        ([1, 2, 3], 3, 0.0),
        ([2, 2, 2], 100, 0.0),
    ],
)
def test_the_interval_of_a_mean(values: list[float], population: int, half: float):
    found = per_function(values, [50] * 3, mean_length=50, population=population)
    assert found.high == pytest.approx(2 + half, abs=1e-4)
    assert found.low == pytest.approx(max(0, 2 - half), abs=1e-4)


@pytest.mark.parametrize(
    ("count", "student"),
    # Quantiles from tables of Student's t, 97.5 %.
    [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (6, 2.571), (11, 2.228), (21, 2.086)],
)
def test_the_quantiles_are_those_of_the_tables(count: int, student: float):
    values = [100.0 + step for step in range(count)]
    mean = sum(values) / count
    deviation = math.sqrt(sum((one - mean) ** 2 for one in values) / (count - 1))
    found = per_function(values, [9] * count, mean_length=9, population=10**12)
    assert (found.high - mean) / deviation * math.sqrt(count) == pytest.approx(student, abs=0.03)


def test_a_sample_of_long_functions_is_corrected_for_their_length():
    lengths = [100, 200, 300, 400, 500, 600, 700, 800]
    values = [3 * length + 7 for length in lengths]
    found = per_function(values, lengths, mean_length=250, population=10_000)
    assert (found.low, found.high) == pytest.approx((757, 757))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # By hand: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96.
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 2, 0.0945, 0.9055)],
)
def test_the_interval_of_a_share(successes: int, trials: int, low: float, high: float):
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_the_projection_by_hand():
    prices = Prices({"a": Price(prompt=1, completion=10), "b": Price(prompt=2, completion=20)})
    calls = [[Usage("a", 1000, 100), Usage("b", 500, 50)], [Usage("a", 1000, 100)]]
    more = [[*one, Usage("a", 10, 1)] for one in calls]
    projection = Projection(
        low=calls, high=more, sampled=[5, 5], lengths=[5, 5], rows=Range(2, 2), prices=prices
    )
    assert projection.calls() == Range(3, 5)
    # a: 2000 at $1 and 200 at $10; b: 500 at $2 and 50 at $20, a million.
    cost = projection.cost()
    assert cost is not None
    assert cost.low == pytest.approx((2000 + 2000 + 1000 + 1000) / 1e6)
    assert cost.high == pytest.approx((6000 + 2 * (10 + 10)) / 1e6)
    per_accepted = projection.cost_per_accepted(Range(0.5, 0.75))
    assert per_accepted is not None
    assert per_accepted.low == pytest.approx(3000 / 0.75 / 1e6)
    assert per_accepted.high == pytest.approx(3020 / 0.5 / 1e6)
    assert projection.cost_per_accepted(Range(0.0, 0.75)) is None
    first, second = projection.models(["a", "b"])
    assert first.prompt_tokens == Range(2000, 2020)
    assert second.completion_tokens == Range(50, 50)


# The command.


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def written(source: Path, tmp_path: Path, fake_server: Serve) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe(source, fake_server(refuse=0.4)).model_dump_json(exclude_none=True))
    return path


def test_the_command_prints_lines_on_stdout(written: Path, prices: Path, tmp_path: Path):
    out = tmp_path / "run"
    done = invoke(str(written), "-n", "8", "-o", str(out), "--prices", str(prices))
    assert done.exit_code == 0
    lines = [line.partition(" ")[0] for line in done.stdout.splitlines()]
    assert lines[:5] == ["functions", "accepted", "calls", "model", "cost"]
    assert f"{FUNCTIONS} of {FUNCTIONS} tried" in done.stdout
    assert "$10 and $100 a million (a contract, 2026-11-10)" in done.stdout
    assert f"the replies are in {out}, not to be asked again" in done.stdout
    assert "sample of 8 of 30 functions: at most 16 calls" in done.stderr


def test_the_command_prints_an_object_with_the_same(written: Path, prices: Path, tmp_path: Path):
    arguments = [str(written), "-o", str(tmp_path / "run"), "--prices", str(prices)]
    found = json.loads(invoke(*arguments, "-n", "8", "--json").stdout)
    assert set(found) == set(Estimate.__dataclass_fields__)
    assert found["asked"] == 8
    assert found["rows"] == {"low": FUNCTIONS, "high": FUNCTIONS}
    (model,) = found["models"]
    assert model["price"]["prompt"] == 10
    assert found["cost"]["low"] < found["cost"]["high"]
    nothing = json.loads(invoke(*arguments, "-n", "0", "--json").stdout)
    assert nothing["asked"] == 0
    assert nothing["acceptance"] is None


def test_without_a_folder_it_says_that_the_replies_are_lost(written: Path):
    done = invoke(str(written), "-n", "4")
    assert "without -o the replies of the sample are lost" in done.stderr
    assert "not kept, as -o was left out" in done.stdout
    assert "without -o" not in invoke(str(written), "-n", "0").stderr
