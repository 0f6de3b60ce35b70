"""Misbehaviours that need something of the host or a second box: network, secrets, other runs."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from wavecoder.records import Status
from wavecoder.sandbox import Bubblewrap, Job, Limits, Step, execution
from wavecoder.sandbox.server import Server

RIGHT = "def f(x):\n    return x + 1\n"


@pytest.fixture
def listeners():
    """Listen on TCP, UDP and an abstract Unix socket of the host; give them with what arrives."""
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(f"\0wavecoder-attack-{os.getpid()}")
    unix.listen()
    for one in (tcp, udp, unix):
        one.setblocking(False)
    yield tcp, udp, unix
    for one in (tcp, udp, unix):
        one.close()


def test_37_38_nothing_of_a_box_arrives_at_the_host_or_beyond(host, exam, listeners, contained):
    tcp, udp, unix = listeners
    program = f"""
import socket, struct
TCP, UDP = {tcp.getsockname()[1]}, {udp.getsockname()[1]}
def tries(what, do):
    try:
        do()
        print("ESCAPED:", what, flush=True)
    except OSError:
        pass
def unix(name):
    socket.socket(socket.AF_UNIX).connect(name)
for host, port in (("127.0.0.1", TCP), ("::1", TCP), ("169.254.169.254", 80),
                   ("198.51.100.1", 443), ("1.1.1.1", 53)):
    tries(f"tcp to {{host}}", lambda: socket.create_connection((host, port), timeout=1))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for to in (UDP, 53):
        def send():
            with socket.socket(family, socket.SOCK_DGRAM) as one:
                one.connect((host, to))
                one.send(b"x")
                one.settimeout(0.05)
                one.recv(1)
        tries(f"udp to {{host}}", send)
tries("a name", lambda: socket.getaddrinfo("example.com", 80))
tries("an abstract socket", lambda: unix("\\0wavecoder-attack-{os.getpid()}"))
for name in ("/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/user/0/bus",
             "/tmp/.X11-unix/X0"):
    tries(name, lambda: unix(name))
tries("a list of interfaces", socket.if_nameindex)
"""
    _, done = host.attacked(exam(program + RIGHT))
    assert done.status == Status.PASSED, done
    for listener in (tcp, unix):
        with pytest.raises(BlockingIOError):
            listener.accept()
    with pytest.raises(BlockingIOError):
        udp.recv(1)
    contained[37] = contained[38] = ["sockets"]


def test_30_31_secrets_of_the_host_are_not_in_what_comes_back(host, exam, contained):
    home = Path.home() / ".wavecoder-attack-secret"
    repository = Path(__file__).parent / ".wavecoder-attack-secret"
    for path in (home, repository):
        path.write_text(host.secret)
    try:
        program = f"""
import os
print(dict(os.environ), flush=True)
places = ["/proc/self/environ", f"/proc/{{os.getppid()}}/environ", "/proc/1/environ",
          {str(home)!r}, {str(repository)!r}, {str(host.watched / "kept")!r},
          "/etc/shadow", "/etc/passwd", "/root/.ssh/id_rsa", "/root/.aws/credentials"]
for path in places:
    try:
        print(open(path).read(), flush=True)
    except OSError as error:
        print(error, flush=True)
for top in ("/root", "/home", "/work", "/tmp", "/etc", "/var", "/run", "/opt", "/srv", "/python",
            "/box"):
    for folder, _, files in os.walk(top):
        for name in files:
            if "attack" in name or name.startswith(("id_rsa", "credentials", ".env", ".netrc")):
                print("ESCAPED:", folder, name, flush=True)
"""
        for strict in (True, False):
            report, done = host.attacked(exam(program + RIGHT, strict=strict))
            assert done.status == Status.PASSED, done
            assert b"No such file" in report.steps[0].stdout
            assert b"WAVECODER_ATTACK_KEY" not in report.steps[0].stdout
        look = (
            "import os; print(open('/proc/self/environ').read(), os.listdir('/'))\n"
            "print(open('/proc/self/mountinfo').read())"
        )
        step = Step(argv=["python3", "-I", "-c", look], cpu_seconds=5, wall_seconds=30)
        report, done = host.attacked(Job(steps=[step], proc=True))
        assert done.status == Status.PASSED, done
    finally:
        home.unlink()
        repository.unlink()
    contained[30] = contained[31] = ["files and variables"]


def test_39_42_two_boxes_share_no_port_no_queue_no_file(box, exam, contained):
    program = """
import ctypes, os, socket, time
libc = ctypes.CDLL(None)
def f(who):
    server = socket.create_server(("127.0.0.1", 4711))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\\0meeting")
    os.close(os.open("/dev/shm/meeting", os.O_CREAT | os.O_EXCL))
    queue = libc.msgget(4711, 0o3600)
    segment = libc.shmget(4711, 4096, 0o3600)
    time.sleep(0.3)
    server.setblocking(False)
    try:
        server.accept()
        return "met"
    except BlockingIOError:
        return queue >= 0 and segment >= 0
"""
    jobs = [exam(program, f"assert f({who}) is True\n") for who in range(2)]
    with ThreadPoolExecutor(2) as pool:
        reports = [*pool.map(box.run, jobs)]
    assert [execution(jobs[0], one).status for one in reports] == [Status.PASSED] * 2, reports
    contained[39] = ["ports"]
    contained.setdefault(42, []).append("queues and files")


def test_boxes_that_one_process_makes_share_nothing_but_the_system(box, exam, contained):
    program = """
import ctypes, gc, os, random, resource, socket, sys
libc = ctypes.CDLL(None)
def f(x):
    one = socket.socket(socket.AF_UNIX)
    one.bind("\\0left")
    socket.create_server(("127.0.0.1", 4711)).close()
    os.umask(0o777)
    open("left", "x").close()
    segment = libc.shmget(4711, 4096, 0o3000 | 0o600)
    sys.modules["math"].sqrt = sys.setrecursionlimit = None
    os.environ["LEFT"] = "x"
    number = random.random()
    return segment >= 0, os.getpid(), number, os.umask(0), os.times().children_user
import math
seen = (os.environ.get("LEFT"), math.sqrt(4), os.umask(0o22), resource.getrlimit(0), os.getcwd())
"""
    found = []
    for _ in range(3):
        report = box.run(exam(program, "assert False, (seen, f(1))\n"))
        found.append(eval(report.steps[0].failure.partition(": ")[2]))
    seen, given = zip(*found, strict=True)
    assert len(set(seen)) == 1 and seen[0][:2] == (None, 2.0)
    assert all(one[0] for one in given)
    assert len({one[2] for one in given}) == 3
    contained.setdefault(42, []).append("one after the other")


def test_a_program_has_no_capability(host):
    look = Step(
        argv=["sh", "-c", "grep -E '^(Cap|NoNewPrivs|Seccomp):?' /proc/self/status"],
        cpu_seconds=5,
        wall_seconds=30,
    )
    report, _ = host.attacked(Job(steps=[look], proc=True))
    lines = dict(line.split(":\t") for line in report.steps[0].stdout.decode().splitlines())
    none = {name: "0" * 16 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert lines.items() >= {**none, "NoNewPrivs": "1", "Seccomp": "2"}.items()


def test_64_verdicts_do_not_hang_on_seeds_clocks_and_places(box, exam, contained, monkeypatch):
    program = """
import locale, os, sys, time
def f(x):
    return [hash("a text"), [*{"b", "a", "c", "d"}], time.strftime("%Z"),
            locale.setlocale(locale.LC_ALL, ""), sys.flags.utf8_mode, dict(os.environ), os.getcwd(),
            os.getpid() < 10, sys.path]
"""
    found = set()
    for number in range(3):
        monkeypatch.setenv("TZ", f"Etc/GMT+{number}")
        monkeypatch.setenv("LC_ALL", "C")
        monkeypatch.setenv("PYTHONHASHSEED", str(number))
        report = box.run(exam(program, "assert False, f(1)\n"))
        found.add(report.steps[0].failure)
    assert len(found) == 1, found
    contained[64] = ["three runs"]


def test_70_many_boxes_at_once_come_to_the_verdicts_of_one_at_a_time(box, exam, contained):
    programs = {
        RIGHT: Status.PASSED,
        "def f(x):\n    return 0\n": Status.WRONG,
        "import os\nopen('same', 'x').close()\n" + RIGHT: Status.PASSED,
        "import os\nos._exit(0)\n": Status.ERROR,
    }
    jobs = [(exam(program), status) for program, status in programs.items()] * 8
    with ThreadPoolExecutor(8) as pool:
        reports = [*pool.map(box.run, [job for job, _ in jobs])]
    for (job, status), report in zip(jobs, reports, strict=True):
        assert execution(job, report).status == status, report
    contained[70] = ["eight at once"]


PARENT = """
import sys
from wavecoder.sandbox import Bubblewrap, Exam, Job
box = Bubblewrap()
program = (
    "import os, time\\nfor _ in range(3):\\n    if os.fork() == 0:\\n        os.setsid()\\n"
    "time.sleep(600)\\n"
)
exam = Exam(program=program, tests="", strict=True, cpu_seconds=600, wall_seconds=600)
print([str(one) for group in box.groups for one in {group.memory, group.pids}], flush=True)
box.run(Job(steps=[exam]))
"""


def _children(pid: str) -> list[str]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for path in paths for child in path.read_text().split()]


def _begun(folders: list[Path], count: int) -> set[int]:
    """Return the processes of a group, once there are so many."""
    for _ in range(30_000):
        found = {int(one) for one in (folders[0] / "cgroup.procs").read_text().split()}
        if len(found) >= count:
            return found
        select.select([], [], [], 0.001)
    raise AssertionError(f"{len(found)} of {count} processes began")


def test_71_a_killed_parent_leaves_no_process_and_the_next_start_removes_its_group(box, contained):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    folders = [Path(one) for one in eval(parent.stdout.readline())]
    inside = _begun(folders, 6)
    for bwrap in _children(str(parent.pid)):  # and the process that makes boxes
        inside |= {int(bwrap), *map(int, _children(bwrap))}
    assert len(inside) >= 8
    descriptors = [os.pidfd_open(one) for one in inside]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for one in descriptors:  # it is readable when the process is gone
        assert select.select([one], [], [], 60)[0]
        os.close(one)
    assert all((folder / "cgroup.procs").read_text() == "" for folder in folders)
    Bubblewrap().close()
    assert not any(folder.exists() for folder in folders)
    contained[71] = ["SIGKILL"]


BUSY = "import time\nwhile True:\n    pass\n"


def test_72_a_right_program_passes_on_an_overloaded_machine(box, exam, contained):
    """Two busy loops a core; the program needs half of its CPU time."""
    program = (
        "import time\ndef f(x):\n    end = time.process_time() + 0.5\n"
        "    while time.process_time() < end:\n        pass\n    return x + 1\n"
    )
    loops = [
        subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        job = exam(program, cpu_seconds=1, wall_seconds=30)
        report = box.run(job)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert execution(job, report).status == Status.PASSED, report
    contained[72] = ["two busy loops a core"]


def test_ctrl_c_ends_the_box_and_leaves_nothing(box):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None and parent.stderr is not None
    folders = [Path(one) for one in eval(parent.stdout.readline())]
    _begun(folders, 6)
    os.killpg(parent.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in parent.stderr.read()
    parent.wait()
    assert not any(folder.exists() for folder in folders)


def _kill_servers(*, whole: bool) -> None:
    """Kill what makes boxes for this process, or the bwrap around it, too, if `whole`."""
    for bwrap in _children("self"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{bwrap}/comm").read_text() == "bwrap\n":
                for one in _children(bwrap):
                    os.kill(int(one), signal.SIGKILL)
                if whole:
                    os.kill(int(bwrap), signal.SIGKILL)


@pytest.mark.parametrize("whole", [True, False])
def test_a_box_that_is_killed_from_outside_is_not_the_programs_fault(whole, exam):
    job = exam("import time\ntime.sleep(600)\n", wall_seconds=600)
    right = exam(RIGHT)
    own = Bubblewrap()
    folders = [group.memory for group in own.groups]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own.run, job)
        _begun(folders, 2)  # who supervises, and the program
        _kill_servers(whole=whole)
    assert execution(job, running.result()).status == Status.HARNESS, running.result()
    assert execution(right, own.run(right)).status == Status.PASSED
    _kill_servers(whole=whole)  # while it waits; it may be taken for alive before it is gone
    statuses = [execution(right, own.run(right)).status for _ in range(2)]
    assert statuses in ([Status.PASSED] * 2, [Status.HARNESS, Status.PASSED])
    own.close()


def test_a_server_that_is_gone_before_it_takes_a_job_is_not_the_programs_fault(exam, monkeypatch):
    right = exam(RIGHT)
    own = Bubblewrap()
    monkeypatch.setattr(Server, "alive", True)  # as it was a moment ago
    for server in next(iter(own._idle.values())):
        server.end_boxes()
    statuses = [execution(right, own.run(right)).status for _ in range(2)]
    assert statuses == [Status.HARNESS, Status.PASSED]
    own.close()


def test_a_program_cannot_make_its_end_look_like_ours(box, exam):
    """What ends or confuses the supervisor counts as the program's failure."""
    program = (
        "import os, signal\nfor one in range(1, 65):\n    try:\n        os.kill(1, one)\n"
        "    except OSError:\n        pass\nos.kill(-1, signal.SIGKILL)\nos._exit(0)\n"
    )
    job = exam(program)
    assert execution(job, box.run(job)).status == Status.ERROR


def test_memory_of_one_box_is_not_anothers(box, exam):
    hungry = exam(
        "kept = []\nwhile True:\n    kept.append(bytearray(1 << 20))\n",
        limits=Limits(memory=64 << 20),
    )
    right = exam(RIGHT)
    statuses = []

    def run(job):
        statuses.append(execution(job, box.run(job)).status)

    threads = [threading.Thread(target=run, args=(job,)) for job in (hungry, right, hungry, right)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(statuses) == [Status.MEMORY, Status.MEMORY, Status.PASSED, Status.PASSED]
