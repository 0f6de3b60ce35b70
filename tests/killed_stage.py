"""Run the stage of test_stage.py in a folder and kill the process at the given outcome."""

import os
import signal
import sys
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parent))

from conftest import Quiet
from test_stage import Numbers

from wavecoder.stage import Context, run_stage

folder, at = Path(sys.argv[1]), int(sys.argv[2])


class Killing(Quiet):
    """Counts the outcomes on disk and kills at one of them."""

    def start(self, stage: str, total: int | None, finished: int) -> None:
        self.done = finished

    def outcome(self, reason: str | None) -> None:
        self.done += 1
        if self.done == at:
            os.kill(os.getpid(), signal.SIGKILL)


run_stage(
    Numbers(count=60),
    Context(
        folder=folder,
        seed=0,
        stage="numbers",
        upstream={},
        replies=folder / "replies.sqlite",
        progress=Killing(),
        stop=Event(),
    ),
)
