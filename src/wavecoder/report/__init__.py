"""Stage `report`: what happened in a run, as figures and as one HTML page.

In: the artifacts of all stages before it. Out: `Figure`.
Files: report.html, self-contained; open it in a browser.
Run it: `wavecoder run RECIPE -o RUN --first report`.
What `evaluate` left becomes pass@k in `metrics.py`, scores in `scores.py`, and tables beside what
others published in `tables.py`.
"""

from wavecoder.report.figures import figures
from wavecoder.report.page import render
from wavecoder.report.stage import Report
from wavecoder.report.tables import score_tables, scores_as_json

__all__ = ["Report", "figures", "render", "score_tables", "scores_as_json"]
