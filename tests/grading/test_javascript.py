from collections.abc import Callable
from dataclasses import replace

import pytest

from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import javascript, toolchain
from wavecoder.records import Execution, Mode, Problem, Status
from wavecoder.sandbox import Bubblewrap, Report, execution

# A library, helpers that the tests call, a name spelled otherwise, nulls, objects, floats.
SAMPLE = (0, 10, 12, 22, 32, 38, 50, 111, 114, 136, 137, 162)
ENDLESS = (10,)  # its buggy solution uses up all its time
RIGHT = """
const hasCloseElements = (numbers, threshold) =>
  numbers.some((a, i) => numbers.some((b, j) => i !== j && Math.abs(a - b) < threshold))
"""
Run = Callable[[str, Mode], Execution]


@pytest.fixture
def problems(benchmarks: object) -> list[Problem]:
    return load_benchmark("humanevalfix-javascript")


@pytest.fixture
def run(run_program: Callable[..., Execution]) -> Run:
    """Run a program as an answer to JavaScript/0."""
    return lambda program, mode: run_program("javascript", 0, program, mode)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_canonical_solutions_pass_and_buggy_ones_do_not(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    left_out = ENDLESS if field == "buggy_solution" else ()
    numbers = tuple(number for number in SAMPLE if number not in left_out)

    assert not_as_known("javascript", mode, field, numbers) == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_all_of_them(
    mode: Mode, field: str, not_as_known: Callable[..., dict[str, Execution]]
) -> None:
    found = not_as_known("javascript", mode, field, range(164))

    assert found == {}


# Programs that do not solve the problem. Those in the first table pass by the published rule.
PUBLISHED_PASSES = {
    "exit": "process.exit(0)",
    "real exit": "process.reallyExit(0)",
    "exit in the function": "const hasCloseElements = () => process.exit(0)",
    "killed": "process.kill(process.pid, 'SIGKILL')",
    "return": "return",
    "console.assert": "const hasCloseElements = () => 1; console.assert = () => {}",
    "console": "const hasCloseElements = () => 1; var console = { assert() {} }",
    "global console": "const hasCloseElements = () => 1; globalThis.console = { assert() {} }",
    "streams": "process.stderr.write = process.stdout.write = () => true",
    "closed": "const fs = require('fs'); fs.closeSync(2); fs.closeSync(1); fs.openSync('a', 'w')",
    "swallowed": "process.on('uncaughtException', () => {}); throw 1",
}
FORGERIES = {
    **PUBLISHED_PASSES,
    "empty": "",
    "comment": "/*",
    "prose": "Here is the function you asked for.",
    "exit status": "process.on('exit', () => { process.exitCode = 0 }); throw 1",
    "value of": "const hasCloseElements = () => ({ valueOf: () => true, toString: () => 'true' })",
    "json": "const hasCloseElements = () => ({ toJSON: () => true })",
    "stringify": "JSON.stringify = () => 'x'; const hasCloseElements = () => [1]",
    "prototypes": "Object.prototype.toJSON = Array.prototype.toJSON = () => 1\n"
    "const hasCloseElements = () => 1",
    "proxy": "const hasCloseElements = () => new Proxy({}, { get: () => () => true })",
    "Math": "Math.abs = () => 0; const hasCloseElements = () => 0",
    "prototype of all": "Object.defineProperty(Object.prototype, 'value', { get: () => true })\n"
    'const hasCloseElements = () => JSON.parse(\'{"__proto__": {"x": true}}\')',
    "tests replaced": "const hasCloseElements = () => 1; const testHasCloseElements = () => {}",
    "replies ahead": "const fs = require('fs'); const text = Buffer.from('[\"value\",true]')\n"
    "const size = Buffer.alloc(4); size.writeUInt32LE(text.length)\n"
    "for (let i = 0; i < 99; i++) fs.writeSync(6, Buffer.concat([size, text]))",
    "token guessed": "const fs = require('fs'); for (const fd of [3, 4, 7, 8]) {\n"
    "try { fs.writeSync(fd, Buffer.alloc(16)) } catch {} }; process.exit(0)",
    "examiner killed": "for (let pid = 2; pid < 60; pid++) if (pid !== process.pid) {\n"
    "try { process.kill(pid, 'SIGKILL') } catch {} }",
    "everyone killed": "process.kill(-1, 'SIGKILL')",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_pass_is_refused_by_strict_mode(run: Run, name: str) -> None:
    went = run(FORGERIES[name], Mode.STRICT)

    assert went.status in (Status.WRONG, Status.ERROR, Status.VIOLATION), went.detail


@pytest.mark.parametrize("name", ["exit", "killed", "return", "console.assert"])
def test_published_mode_is_the_published_rule_with_its_holes(run: Run, name: str) -> None:
    assert run(PUBLISHED_PASSES[name], Mode.PUBLISHED).status == Status.PASSED


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("const hasCloseElements = () => 1", Status.WRONG),
        ("const hasCloseElements = () => { throw new TypeError('no') }", Status.ERROR),
        ("const hasCloseElements = () => hasCloseElements()", Status.ERROR),
        ("require('fs').writeSync(6, Buffer.alloc(64, 255))", Status.VIOLATION),
        ("const hasCloseElements = async () => true", Status.WRONG),
        (
            "const hasCloseElements = () => { let a = []; "
            "for (let i = 0; i < 5000; i++) a = [a]; return a }",
            Status.ERROR,
        ),
        ("for (;;) require('fs').writeSync(1, 'x'.repeat(1 << 20))", Status.OUTPUT),
    ],
)
def test_strict_verdicts_on_wrong_programs(run: Run, program: str, status: Status) -> None:
    assert run(program, Mode.STRICT).status == status


@pytest.mark.parametrize("mode", Mode)
def test_a_program_without_an_end_is_stopped(
    box: Bubblewrap, problems: list[Problem], mode: Mode
) -> None:
    whole = javascript.job(problems[0], "const hasCloseElements = () => { for (;;) {} }", mode)
    job = replace(whole, steps=[replace(whole.steps[0], cpu_seconds=1.0)])

    assert execution(job, box.run(job)).status == Status.TIMEOUT


@pytest.mark.parametrize(
    "addition",
    [
        "console.log('working'); console.error('on it')",
        "console.log('x'.repeat(5 << 20))",
        "setInterval(() => {}, 1000)",
        "process.on('exit', () => { throw 1 })",
        "if (require.main === module) console.log(hasCloseElements([1, 2], 3))",
        "module.exports = { hasCloseElements }",
        "'use strict'",
        "require('child_process').spawn('sleep', ['1000'], { detached: true, stdio: 'inherit' })",
    ],
)
def test_a_right_program_may_do_more(run: Run, addition: str) -> None:
    went = run(f"{RIGHT}\n{addition}", Mode.STRICT)

    assert went.status == Status.PASSED, went.detail


def test_a_right_program_that_prints_fails_by_the_published_rule(run: Run) -> None:
    went = run(f"{RIGHT}\nconsole.log('working')", Mode.PUBLISHED)

    assert (went.status, went.isolated) == (Status.ERROR, True)


def test_a_mark_and_an_interpreter_line_before_a_program_are_no_part_of_it(run: Run) -> None:
    assert run(f"#!/usr/bin/env node\n{RIGHT}", Mode.STRICT).status == Status.PASSED
    assert run(f"\ufeff{RIGHT}", Mode.STRICT).status == Status.PASSED


def strict_report(box: Bubblewrap, problem: Problem, program: str) -> Report:
    return box.run(javascript.job(problem, program, Mode.STRICT))


def test_tests_and_token_are_nowhere_that_a_program_can_look(
    box: Bubblewrap, problems: list[Problem]
) -> None:
    hunting = """
    const fs = require('fs')
    const found = [JSON.stringify(process.env), JSON.stringify(process.argv.slice(1))]
    const look = (path) => { try { found.push(fs.readFileSync(path, 'latin1')) } catch {} }
    const names = fs.readdirSync('.', { recursive: true })
    for (const name of names) if (name !== 'program.js') look(name)
    for (let pid = 1; pid < 60; pid++) for (const one of ['cmdline', 'environ', 'fd/3'])
      look(`/proc/${pid}/${one}`)
    const text = found.join('\\n')
    const leaked = /console\\.assert|testHas|0\\.95/.test(text)
    console.log('looked', found.length, leaked ? 'leaked' : 'none')
    """

    report = strict_report(box, problems[0], hunting)

    assert report.steps[0].stdout == b"looked 2 none\n"


def test_a_signal_opens_no_debugger_of_the_examiner(
    box: Bubblewrap, problems: list[Problem]
) -> None:
    # Node listens on port 9229 when it gets this signal, unless it is told not to. The program
    # answers the first call rightly, so that the examiner goes on and could begin to listen.
    connecting = """
    process.on('SIGUSR1', () => {}) // its own threads are among the numbers
    const script = `require('net').connect(9229, '127.0.0.1')
      .on('connect', () => { console.log('open'); process.exit() })
      .on('error', () => { console.log('shut'); process.exit() })`
    const solve = hasCloseElements
    const knock = () => {
      for (let pid = 2; pid < 60; pid++) if (pid !== process.pid) {
        try { process.kill(pid, 'SIGUSR1') } catch {} }
      const run = require('child_process').spawnSync(process.execPath, ['-e', script])
      console.log(String(run.stdout))
    }
    hasCloseElements = (...given) => { knock(); return solve(...given) }
    """
    program = RIGHT.replace("const hasClose", "var hasClose") + connecting

    report = strict_report(box, problems[0], program)

    assert report.steps[0].stdout.split() == [b"shut"] * 7
    assert report.steps[0].answered


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ("undefined", "x === undefined"),
        ("null", "x === null"),
        ("-0", "Object.is(x, -0)"),
        ("NaN", "Number.isNaN(x)"),
        ("-Infinity", "x === -Infinity"),
        ("12345678901234567890n", "x === 12345678901234567890n"),
        ("'\\ud800 \\u0000 \\u{1f600}'", "x === '\\ud800 \\u0000 \\u{1f600}'"),
        ("[1, [], [undefined]]", "JSON.stringify(x) === '[1,[],[null]]'"),
        ("({ b: 1, a: { c: [null] } })", 'JSON.stringify(x) === \'{"b":1,"a":{"c":[null]}}\''),
        ("Object.create(null)", "JSON.stringify(x) === '{}'"),
        ('JSON.parse(\'{"__proto__": {"a": 1}}\')', "x.a === undefined"),
        ("['undefined']", "x.length === 1 && x[0] === 'undefined'"),
        ("kept", "x === f()"),
        ("new Map()", "x !== f()"),
    ],
)
def test_values_come_back_as_they_are(
    box: Bubblewrap, problems: list[Problem], given: str, holds: str
) -> None:
    problem = problems[0].model_copy(
        update={
            "declaration": "const f = () => {\n",
            "test": f"const x = f(); console.assert({holds})",
        }
    )
    job = javascript.job(problem, f"const kept = () => 1; const f = () => {given}", Mode.STRICT)

    went = execution(job, box.run(job))

    assert went.status == Status.PASSED, went.detail


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_PATH", "/nonexistent")
    javascript.toolchain.cache_clear()

    with pytest.raises(ConfigError, match="JavaScript cannot be run here: node is not installed"):
        javascript.toolchain()
