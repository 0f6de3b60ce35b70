"""Where raw code comes from; each source is a class of the shape of `protocols.Source`.

`directories.py` and `archives.py` read files of source code, `codesearchnet.py`, `tables.py` and
`hub.py` read datasets of functions. To add one: a class and an entry point in `wavecoder.sources`;
the first field of its `Config` is what a recipe writes behind its name.
"""

from wavecoder.collect.sources.archives import Archive
from wavecoder.collect.sources.codesearchnet import CodeSearchNet
from wavecoder.collect.sources.directories import Directory, Package
from wavecoder.collect.sources.hub import Datasets
from wavecoder.collect.sources.tables import Csv, Jsonl, Parquet

__all__ = [
    "Archive",
    "CodeSearchNet",
    "Csv",
    "Datasets",
    "Directory",
    "Jsonl",
    "Package",
    "Parquet",
]
