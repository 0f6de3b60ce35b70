"""Where programs run that a model wrote.

`Bubblewrap` gives every job a box of its own, which ends with all that is in it. Boxes that one
server makes one after the other have the read-only system and the user namespace in common, and
begin as copies of an interpreter that has seen no program. What holds, on Linux with user
namespaces, bubblewrap and control groups:

- A program reads `/usr`, the interpreter and numpy, nothing else: no home, no settings, no other
  process, no installed packages, no variables but a fixed few. It writes one folder, in memory, of
  bounded bytes and files. Nothing of it is left.
- It reaches no network, no socket, queue, key, device or terminal of the host, and no other box.
- Memory, processes, CPU and wall time, and output are bounded for the box as a whole, CPU time for
  each process. Its end waits for no process it left behind and no stream it holds open.
- It cannot end, stop or read the supervisor, and whatever it does to itself is its own failure,
  never ours. When this process is killed the box ends, too.
- Strict: it passes only by what its functions return, compared as plain values by tests in a
  process it cannot reach.

What does not hold:

- The kernel is shared. A program that breaks the kernel is out; the filter of system calls makes
  that harder and is no proof. Programs that mean you harm belong into a virtual machine.
- All boxes have your user's number towards the kernel. Where that is root use another user if you
  can: the kernel lets root's number do more, should something be forgotten here.
- Cores, caches and disks are shared: a program can slow others down for as long as its wall time
  lets it, and tell what runs beside it by timing.
- Without a control group memory is bounded for each process only, and other processors than x86_64
  and aarch64 have no boxes.
- By the published rule, and where a compiled program and its tests are one process, a program
  written against this very code can forge its answer, and one that overloads equality passes.
- A program that knows the tests can return what they expect. No sandbox helps against that.
- `Unsandboxed` isolates nothing.
"""

from typing import Any

from wavecoder.errors import SandboxError
from wavecoder.plugins import load_plugin
from wavecoder.protocols import Sandbox
from wavecoder.sandbox.bubblewrap import Bubblewrap
from wavecoder.sandbox.job import Cause, Exam, Job, Limits, Report, Rule, Step, StepReport
from wavecoder.sandbox.unsandboxed import Unsandboxed
from wavecoder.sandbox.verdict import execution

__all__ = [
    "Bubblewrap",
    "Cause",
    "Exam",
    "Job",
    "Limits",
    "Report",
    "Rule",
    "Step",
    "StepReport",
    "Unsandboxed",
    "execution",
    "open_sandbox",
]


def open_sandbox(name: str = "bubblewrap", *, unsandboxed: bool = False) -> Sandbox:
    """Return where programs are run.

    Args:
        name: A plugin of the group `wavecoder.sandboxes`, or `package.module:Class`.
        unsandboxed: Where no sandbox works here, run programs without one.

    Raises:
        SandboxError: It does not work, and the user did not allow to do without.
        PluginError: There is none of that name.
    """
    try:
        make: Any = load_plugin("sandboxes", name)
        sandbox: Sandbox = make()
    except SandboxError as error:
        if unsandboxed:
            return Unsandboxed()
        raise SandboxError(
            f"{error} Or allow programs that a model wrote to do on this machine all that you can "
            f"do: --allow-unsandboxed."
        ) from error
    return sandbox
