"""The command line: one command a verb; stdout is the result, stderr is progress.

Heavy parts are imported inside the commands, so that `wavecoder --help` answers at once.
"""

from wavecoder.cli.app import app, main

__all__ = ["app", "main"]
