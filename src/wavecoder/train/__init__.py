"""Stage `train`: instances become dialogues, dialogues tokens, and a base model is tuned on them.

In: `Instance`, and rows of other datasets. Out: `Dialogue`, and under `files/` a checkpoint for
each variant, with its curve of losses. `conversations.py` reads, `templates.py` and `tokens.py` say
which tokens carry loss, `split.py` what is trained on and how often; `job.py` is what a trainer is
given, `trl.py` starts it, and `worker.py` runs in the processes it starts.
Run it: `wavecoder train RECIPE -o RUN`, `wavecoder train RECIPE -o RUN --dry-run`.
"""

from wavecoder.train.config import TrainConfig
from wavecoder.train.stage import Train

__all__ = ["Train", "TrainConfig"]
