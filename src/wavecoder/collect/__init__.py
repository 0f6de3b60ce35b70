"""Collect: source code in, functions out, each with its place and its doc comment.

`sources/` says where functions come from, `licenses/` under which licence, `filters/` rejects by
rule, `near_duplicates.py` what repeats another function. `stage.py` brings them together; pieces of
sources are read in several processes into parts on disk (`parts.py`), and duplicates are decided
over all of them at once (`duplicates.py`).
"""

from wavecoder.collect.stage import Collect

__all__ = ["Collect"]
