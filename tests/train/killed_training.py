"""Train from a folder in a child that is killed, then go on in another; run by a test.

`python killed_training.py FOLDER MOMENT ...`: each moment has its own job, FOLDER/MOMENT. The
libraries are imported once; children are forked before they have done anything.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import datasets
import transformers
import trl

from wavecoder.train import callbacks, saving, worker


def _die(*args: Any, **more: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(moment: str) -> None:
    """Make this process kill itself at a moment of the training."""
    kind, _, step = moment.partition("-")
    if kind == "step":  # after the row of a step, which is no step that saves
        write = callbacks.Course._write

        def writing(self: Any, state: Any, row: dict[str, Any]) -> None:
            write(self, state, row)
            if state.global_step == int(step):
                _die()

        callbacks.Course._write = writing  # type: ignore[method-assign]
    elif kind == "saving":  # weights and optimizer are there, the rest is not
        save = transformers.Trainer._save_rng_state

        def saving_state(self: Any, output_dir: str) -> None:
            if self.state.global_step == int(step):
                (Path(output_dir) / "optimizer.pt").write_bytes(b"torn")
                _die()
            save(self, output_dir)

        transformers.Trainer._save_rng_state = saving_state
    elif kind == "unmarked":  # all is there but the mark
        callbacks._settle = _die  # type: ignore[assignment]
    elif kind == "final":  # in the middle of the model itself
        saving._write_model = _die  # type: ignore[assignment]
    elif kind == "outcome":  # the model is there, and nothing says so
        worker._write = _die  # type: ignore[assignment]
    else:
        raise ValueError(moment)


def _child(folder: Path, moment: str | None) -> int:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            if moment is not None:
                _arm(moment)
            status = worker.main(folder)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main(folder: Path, moments: list[str]) -> None:
    # Named, and so imported; all three wait for that.
    _ = trl.SFTTrainer, datasets.Dataset, transformers.LlamaForCausalLM
    for moment in moments:
        assert _child(folder / moment, moment) == -signal.SIGKILL, moment
        assert _child(folder / moment, None) == 0, moment


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
