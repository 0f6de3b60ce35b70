"""The page in a real browser: it asks the network for nothing and runs nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wavecoder.records import Instance
from wavecoder.report.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Without these Chromium itself calls home at every start.
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")
def test_what_a_browser_shows(make_artifact, measure, build, prices, tmp_path: Path):
    evil = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    one = build.instance(build.raw_code(0)).model_copy(update={"instruction": evil})
    page = tmp_path / "report.html"
    made = {
        "generate": make_artifact("generate", Instance, [one]),
        "evaluate": measure(whole=["humaneval"], model=evil),
    }
    page.write_text(render(made, 12, prices=prices))
    log = tmp_path / "net.json"
    done = subprocess.run(
        [
            CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}",
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    assert title[1] == "WaveCoder report"
    assert done.stdout.count("&lt;script&gt;document.title") > 1, "an instruction, and the model"
    assert "<td>this run</td>" in done.stdout
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text()))
    assert not {url for url in asked if "google" not in url}, asked
