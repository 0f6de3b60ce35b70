"""Collect: source code in, functions out, each with its place and its doc comment.

`files.py` lists and reads files, `sources.py` says which; `filters.py` rejects functions by rule.
`stage.py` runs a record through: source -> filters in order -> exact duplicates.
To add a source or a filter: a class of the Protocol's shape and an entry point; see `plugins.py`.
"""

from wavecoder.collect.stage import Collect

__all__ = ["Collect"]
