"""A dataset made clean of benchmarks: `wavecoder decontaminate DATASET`.

It joins the benchmarks of `evaluate`, the embedders of `select` and the layers of `contamination`.
"""

from wavecoder.decontaminate.engine import Options, decontaminate
from wavecoder.decontaminate.references import DEFAULT, load_references
from wavecoder.decontaminate.report import Leakage, Report, as_json, as_markdown

__all__ = [
    "DEFAULT",
    "Leakage",
    "Options",
    "Report",
    "as_json",
    "as_markdown",
    "decontaminate",
    "load_references",
]
