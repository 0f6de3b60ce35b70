"""Stage `report`: what happened in a run, as figures and as one HTML page.

In: the artifacts of all stages before it. Out: `Figure`.
Files: report.html, self-contained; open it in a browser.
Run it: `wavecoder run RECIPE -o RUN --first report`.
"""

from wavecoder.report.figures import figures
from wavecoder.report.page import render
from wavecoder.report.stage import Report

__all__ = ["Report", "figures", "render"]
