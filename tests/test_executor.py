"""Items are Python expressions and the work is `eval`, which every process knows."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from wavecoder.errors import StoppedError, WorkerError
from wavecoder.executor import map_ordered

SLOW_FIRST = ["__import__('time').sleep(0.3) or 0", *(str(n) for n in range(1, 20))]
KILLED = "__import__('os')._exit(9)"


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes):
    assert list(map_ordered(eval, SLOW_FIRST, processes=processes)) == list(range(20))


@pytest.mark.parametrize("processes", [1, 2])
def test_no_items(processes):
    assert list(map_ordered(eval, [], processes=processes)) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_an_exception_comes_out(processes):
    with pytest.raises(ZeroDivisionError):
        list(map_ordered(eval, ["1", "1 / 0", "2"], processes=processes))


def test_another_process_does_the_work():
    (there,) = map_ordered(eval, ["__import__('os').getpid()"], processes=2)
    assert there != os.getpid()


def test_few_items_are_in_flight():
    read = []

    def items():
        for n in range(1000):
            read.append(n)
            yield str(n)

    results = map_ordered(eval, items(), processes=2)
    assert next(results) == 0
    assert len(read) < 20
    results.close()


def test_an_item_that_kills_its_process_spoils_nothing_else():
    items = ["0", "1", KILLED, "3", "4", "5", "6", "7"]
    found = map_ordered(eval, items, processes=2, rescue=len)
    assert list(found) == [0, 1, len(KILLED), 3, 4, 5, 6, 7]


def test_an_item_that_kills_its_process_without_rescue():
    with pytest.raises(WorkerError, match="fewer --processes"):
        list(map_ordered(eval, ["0", KILLED, "2"], processes=2))


def test_memory_is_bounded():
    greedy = "len(bytearray(3 << 30))"
    with pytest.raises(MemoryError):
        list(map_ordered(eval, [greedy], processes=2, memory=1 << 30))


def test_check_ends_the_work():
    def check():
        raise StoppedError("stop")

    with pytest.raises(StoppedError):
        list(map_ordered(eval, ["1", "2"], processes=2, check=check))


def test_processes_end_with_the_first_one(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        from wavecoder.executor import map_ordered

        if __name__ == "__main__":
            items = ["__import__('os').getpid()", "__import__('time').sleep(600)"]
            for result in map_ordered(eval, items, processes=2):
                print(result, flush=True)
        """)
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(200):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().split(") ")[1].startswith("Z"):
            return
        time.sleep(0.05)
    pytest.fail("a process outlived the one that began it")
