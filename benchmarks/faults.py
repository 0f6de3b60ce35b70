"""With three requests in ten going wrong, is each function in one state, and nothing asked twice?

Run: `.venv/bin/python benchmarks/faults.py [--rows 5000] [--faults 0.3] [--in-flight 64]`. The same
functions run against a fake endpoint without faults, against one with faults of every kind, and
then `wavecoder failed RUN --retry` asks for the failed ones at the same address, without faults.
What the endpoint counted is held against the ledger and the parquet files. Ends with 1 if a
function is lost or in two states, a request came again after its reply was stored, or the retry
left something failed or asked for anything else.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from endpoint import WAVECODER, Cost, run, stored, wavecoder, write_functions, write_recipe

from wavecoder.artifact import Artifact
from wavecoder.llm.fake.server import FakeServer
from wavecoder.records import Instance, RawCode, Rejected

LATENCY = 0.02
TIMEOUT = 3.0
TAKEN = ("length", "huge", "null_content", "odd_verdict")
"""Faults of a reply that is whole: the client takes it, and it is stored. The endpoint counts a
whole and right reply under `answered`, these only among its faults."""
FINAL = ("context_length", "content_filter")
"""Faults that asking again does not mend: each fails one function."""


def main() -> None:
    """Print what became of the functions and what it cost; end with 1 on a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--in-flight", type=int, default=64)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        violations = list(_violations(home, given.rows, given.faults, given.in_flight))
    finally:
        shutil.rmtree(home)
    for violation in violations:
        print(f"VIOLATION {violation}")
    print(f"{len(violations)} violations")
    sys.exit(bool(violations))


def _violations(home: Path, rows: int, faults: float, in_flight: int) -> Iterator[str]:
    """Run it all, print the figures and yield what is wrong."""
    options = ("--timeout", str(TIMEOUT), "--concurrency", str(in_flight))
    functions = write_functions(home, rows)
    clean, faulty = home / "clean", home / "faulty"
    with FakeServer(FakeServer.Options(latency=LATENCY)) as server:
        recipe = write_recipe(home, functions, f"{server.url}#fake")
        run(recipe, clean, "--last", "collect")
        shutil.copytree(clean, faulty)
        cost = run(recipe, clean, "--first", "generate", *options)
        before = _print("no faults", clean, server.stats(), cost)
        yield from _one_state(clean)
        yield from _asked_once(clean, server.stats())
    # A drip takes 2 seconds and arrives within the timeout; a hang never does.
    wrong = FakeServer.Options(latency=LATENCY, faults=faults, retry_after=0.05, drip=0.02)
    with FakeServer(wrong) as server:
        port = urlsplit(server.url).port
        recipe = write_recipe(home, functions, f"{server.url}#fake")
        cost = run(recipe, faulty, "--first", "generate", *options)
        after = _print(f"{faults:.0%} faults", faulty, server.stats(), cost)
        print(f"  share of the time lost to faults: {1 - before / after:.2f}")
        yield from _one_state(faulty)
        yield from _asked_once(faulty, server.stats())
    assert port is not None
    with FakeServer(FakeServer.Options(port=port, latency=LATENCY)) as server:
        yield from _retried(faulty, server, options)


def _print(what: str, out: Path, seen: dict[str, Any], cost: Cost) -> float:
    """Print what a run came to; return its seconds."""
    manifest = Artifact.open(out / "3-generate").manifest
    failed = {name: manifest.rejected.get(name, 0) for name in ("model_refused", "model_failed")}
    refused = sum(manifest.rejected.values()) - sum(failed.values())
    # One that asks for a response_format, which this endpoint lacks, is refused before it counts.
    requests = seen["requests"] - sum(seen["refused"].values())
    print(
        f"{what}: {manifest.inputs} functions in {manifest.seconds:.1f} s: {manifest.kept} "
        f"accepted, {refused} refused, {sum(failed.values())} failed {failed}; "
        f"{requests / manifest.inputs:.2f} requests a function, "
        f"{1000 * cost.cpu / requests:.2f} ms of CPU a request, peak {cost.peak:.0f} MB, "
        f"{seen['requests'] - requests} requests without response_format before",
        flush=True,
    )
    reasons = ", ".join(f"{count} {reason}" for reason, count in manifest.rejected.items())
    print(f"  refused and failed: {reasons}")
    if seen["faults"]:
        print(f"  faults met: {', '.join(f'{n} {name}' for name, n in seen['faults'].items())}")
    return manifest.seconds


def _one_state(out: Path) -> Iterator[str]:
    """Yield how far the functions are from being in exactly one state each."""
    coreset = [raw.id for raw in Artifact.open(out / "1-collect").records(RawCode)]
    artifact = Artifact.open(out / "3-generate")
    kept = [instance.id for instance in artifact.records(Instance)]
    rejected = list(artifact.rejected())
    states = Counter(kept) + Counter(one.id for one in rejected)
    if states != Counter(coreset):
        lost, extra = Counter(coreset) - states, states - Counter(coreset)
        yield f"{lost.total()} functions lost, {extra.total()} states too many"
    by_reason = Counter(one.reason for one in rejected)
    manifest = artifact.manifest
    told = (manifest.inputs, manifest.kept, Counter(manifest.rejected))
    if told != (len(coreset), len(kept), by_reason):
        yield f"the manifest says {told}, the files hold {len(kept)} and {by_reason}"
    shown = subprocess.run(
        [*WAVECODER, "status", str(out), "--json"], check=True, capture_output=True
    ).stdout
    stage = next(one for one in json.loads(shown)["stages"] if one["name"] == "generate")
    told_by_reason = Counter({**stage["refused"], **stage["failed"]})
    if (stage["accepted"], told_by_reason, stage["pending"]) != (len(kept), by_reason, 0):
        yield f"wavecoder status says {stage}, the files hold {len(kept)} and {by_reason}"


def _asked_once(out: Path, seen: dict[str, Any]) -> Iterator[str]:
    """Yield what was asked again after there was a reply, or is not in the ledger."""
    answered, faults = seen["answered"], Counter(seen["faults"])
    ledger = stored(out / "replies.sqlite")
    taken = sum(answered.values()) + sum(faults[name] for name in TAKEN)
    twice = sum(count > 1 for count in answered.values())
    missing = len(answered.keys() - set(ledger))
    print(
        f"  replies: {taken} that a client can take, {len(ledger)} in the ledger; "
        f"{twice} requests answered rightly more than once, {missing} of them not in the ledger"
    )
    if twice or missing or taken != len(ledger) or len(set(ledger)) != len(ledger):
        yield f"{taken} replies were given and {len(ledger)} stored, {twice} given twice"
    refused = Artifact.open(out / "3-generate").manifest.rejected.get("model_refused", 0)
    final = sum(faults[name] for name in FINAL)
    if refused != final:
        yield f"{final} replies said that asking again is no use, {refused} functions failed so"


def _retried(out: Path, server: FakeServer, options: tuple[str, ...]) -> Iterator[str]:
    """Ask again for what failed; yield what is still failed, changed or was asked beside it."""
    failed, others = _outcomes(out)
    ledger = set(stored(out / "replies.sqlite"))
    cost = wavecoder("failed", str(out), "--retry", *options)
    seen = server.stats()
    still, now = _outcomes(out)
    new = {key: now[key] for key in failed if key in now}
    asked = set(stored(out / "replies.sqlite")) - ledger
    # One call for a function whose draft was there, or is refused before it is judged; else two.
    needed = sum(
        (one.instance is None) + _was_judged(new[key]) for key, one in failed.items() if key in new
    )
    print(
        f"failed --retry: {len(failed)} failed before, {len(still)} after; "
        f"{sum(isinstance(one, Instance) for one in new.values())} accepted now; {needed} calls "
        f"were needed, {sum(seen['answered'].values())} made, in {cost.seconds:.1f} s"
    )
    if still:
        yield f"{len(still)} functions are failed after the retry"
    if {key: now.get(key) for key in others} != others:
        yield "the retry changed the outcome of a function that had not failed"
    if len(now) + len(still) != len(others) + len(failed):
        yield f"{len(others) + len(failed)} functions before the retry, {len(now)} after"
    if asked != seen["answered"].keys() or sum(seen["answered"].values()) != needed:
        again = len(ledger & seen["answered"].keys())
        yield f"the retry made other calls than the {needed}, {again} of them for stored replies"
    yield from _one_state(out)


def _outcomes(out: Path) -> tuple[dict[str, Rejected], dict[str, Instance | Rejected]]:
    """Return what failed, and what came to an outcome of its own, by id."""
    artifact = Artifact.open(out / "3-generate")
    rejected = list(artifact.rejected())
    settled: list[Instance | Rejected] = [one for one in rejected if not one.failed]
    settled += artifact.records(Instance)
    return {one.id: one for one in rejected if one.failed}, {one.id: one for one in settled}


def _was_judged(outcome: Instance | Rejected) -> bool:
    if isinstance(outcome, Instance) or outcome.reason == "no_verdict":
        return True
    return outcome.instance is not None and outcome.instance.verdict is not None


if __name__ == "__main__":
    main()
