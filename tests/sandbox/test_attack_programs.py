"""Programs that misbehave (attacks/*.yaml), each beside a right one; then the host is looked at."""

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wavecoder.sandbox import Exam, Job, Limits, Rule, Step

_RIGHT = "def f(x):\n    return x + 1\n"


def _attacks() -> Iterator[Any]:
    for path in sorted(Path(__file__).parent.joinpath("attacks").glob("*.yaml")):
        for attack in yaml.safe_load(path.read_text("utf-8")):
            for mode in attack.get("modes", ["strict"] if "program" in attack else [""]):
                name = f"{attack['id']} {attack['name']} {mode}".strip()
                marks = [pytest.mark.slow] if attack.get("slow") else []
                yield pytest.param(attack, mode, id=name, marks=marks)


def _job(attack: dict[str, Any], mode: str, watched: str) -> Job:
    times = {"cpu_seconds": attack.get("cpu", 5), "wall_seconds": attack.get("wall", 30)}
    limits = Limits(
        memory=attack.get("memory", 256) << 20,
        processes=64,
        disk=8 << 20,
        files=512,
        output=attack.get("output", 1) << 20,
    )
    if "program" in attack:
        program = attack["program"].replace("{watched}", watched)
        program += _RIGHT if attack.get("correct") else ""
        tests = attack.get("tests", "assert f(1) == 2\n")
        exam = Exam(program=program, tests=tests, strict=mode == "strict", **times)
        return Job(steps=[exam], limits=limits)
    files = {
        path: text.replace("{watched}", watched) for path, text in attack.get("files", {}).items()
    }
    steps = []
    argv = attack.get("argv", ["./a.out"])
    if "cpp" in attack:
        files["a.cpp"] = attack["cpp"].replace("{watched}", watched)
        compiler = ["g++", "-std=c++17", "-o", "a.out", *attack.get("flags", []), "a.cpp"]
        steps.append(
            Step(
                argv=compiler,
                compiles=True,
                cpu_seconds=attack.get("compile_cpu", 20),
                wall_seconds=attack.get("compile_wall", 60),
            )
        )
    steps.append(Step(argv=argv, rule=Rule(attack.get("rule", "exit")), **times))
    return Job(steps=steps, files=files, limits=limits, proc=attack.get("proc", False))


@pytest.mark.parametrize(("attack", "mode"), [*_attacks()])
def test_a_misbehaving_program_is_contained_and_judged(attack, mode, host, contained):
    if attack.get("machine", platform.machine()) != platform.machine():
        pytest.skip(f"a program for {attack['machine']}")
    report, done = host.attacked(_job(attack, mode, str(host.watched)))
    accepted = attack["accepted"]
    if isinstance(accepted, dict):
        accepted = accepted[mode]
    assert done.status in accepted, (done, report)
    if "says" in attack:
        assert attack["says"].encode() in report.steps[-1].stdout
    contained.setdefault(attack["id"], []).append(f"{attack['name']} {mode}")
