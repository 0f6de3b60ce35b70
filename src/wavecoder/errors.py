"""Every error a person can meet, as one tree.

```text
WaveCoderError                exit 1
├── ConfigError               exit 2   a recipe, option or path that the user can mend
├── RecordError               exit 1   a record that does not have its own shape
├── ArtifactError             exit 1   an artifact cannot be read or written (disk full, damaged)
│   └── StaleArtifactError    exit 2   what is in the folder was made by another recipe
├── PluginError               exit 2   a name nobody registered, or a plugin that does not load
├── MissingExtraError         exit 2   an optional library is not installed
├── WorkerError               exit 1   a process that shared a stage's work was killed
├── ModelError                exit 1   a model cannot be loaded, or does not answer
│   ├── ModelNotFoundError    exit 2   a model name or file that does not exist
│   ├── RefusedRequestError   exit 1   this one request can never succeed (too long, say)
│   └── FailedRequestError    exit 1   this one request failed again and again, others did not
├── TrainingError             exit 1   training ended before its time: memory, space, divergence
├── SandboxError              exit 1   programs cannot be run as they must be
├── BudgetError               exit 3   the money or the tokens allowed are spent
└── StoppedError              exit 130 the user pressed Ctrl-C; what was finished is saved
```

A message says what, got what, do what. Bad data is not an error: it is a `Rejected` record.
To add one: derive from the nearest class and a standard type, and give it an exit code.
"""

__all__ = [
    "ArtifactError",
    "BudgetError",
    "ConfigError",
    "FailedRequestError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "PluginError",
    "RecordError",
    "RefusedRequestError",
    "SandboxError",
    "StaleArtifactError",
    "StoppedError",
    "TrainingError",
    "WaveCoderError",
    "WorkerError",
]


class WaveCoderError(Exception):
    """Root of the tree; its text is one sentence for a person."""

    exit_code = 1


class ConfigError(WaveCoderError, ValueError):
    """A recipe, an option or a path is wrong in a way its author can mend."""

    exit_code = 2


class RecordError(WaveCoderError, ValueError):
    """A record read from disk does not have the shape its class promises."""


class ArtifactError(WaveCoderError, RuntimeError):
    """An artifact cannot be written or read: disk full, damaged file, locked run."""


class StaleArtifactError(ArtifactError):
    """The artifact in the folder was made by another recipe than the one given."""

    exit_code = 2


class PluginError(WaveCoderError, LookupError):
    """No plugin of that name is registered, or it does not load."""

    exit_code = 2


class MissingExtraError(WaveCoderError, ImportError):
    """A library of an optional extra is not installed."""

    exit_code = 2


class WorkerError(WaveCoderError, RuntimeError):
    """A process that shared the work of a stage ended before its time."""


class ModelError(WaveCoderError, RuntimeError):
    """A model cannot be loaded or does not answer; the run can be resumed later."""

    used: tuple[int | None, int | None] | None = None
    """Prompt and completion tokens of a whole reply that was of no use: it is paid for."""


class ModelNotFoundError(ModelError):
    """A model name nobody knows, or a model file that is not there or not the right one."""

    exit_code = 2


class RefusedRequestError(ModelError):
    """The model refuses this one request for good (too long, forbidden); not fatal to a run."""


class FailedRequestError(ModelError):
    """This one request failed again and again while others were answered; not fatal to a run."""


class TrainingError(WaveCoderError, RuntimeError):
    """Training ended before its time; the last good checkpoint is kept and the run can go on."""


class SandboxError(WaveCoderError, RuntimeError):
    """Programs cannot be run as they must be; never a program's own failure."""


class BudgetError(WaveCoderError):
    """The money or the tokens that a run may spend are spent; what was finished is on disk."""

    exit_code = 3


class StoppedError(WaveCoderError):
    """The user asked to stop; everything finished so far is on disk."""

    exit_code = 130
