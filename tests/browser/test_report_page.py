"""The report's page in a browser: its script runs under its own policy, and it can be used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ftspec.doctor.compare import compare
from ftspec.doctor.curves.series import EvalRecord, Problem, Record, Run
from ftspec.doctor.diagnose import Diagnosis, diagnose_run
from ftspec.doctor.html import as_html

EVIL = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)
PROBE = (
    '<pre id="seen"></pre><script>'
    + (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
    + "</script>"
)
Chromium = Callable[..., str]


def run(name: str, offset: float = 0.0) -> Run:
    train = tuple(
        Record(step=float(n * 10), loss=0.3 + 3 / n + offset, grad_norm=1.0, learning_rate=1e-4)
        for n in range(1, 101)
    )
    evals = [2.10, 1.95, 1.93, 2.05, 2.31, 2.48]
    held_out = tuple(EvalRecord(step=160.0 * n, loss=e) for n, e in enumerate(evals, 1))
    return Run(name, "made", train, held_out, problems=(Problem(EVIL, 1),))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    diagnosis = Diagnosis((diagnose_run(run(EVIL)), diagnose_run(run("b", 0.2))))
    page = tmp_path / "report.html"
    page.write_text(as_html(diagnosis, compare(diagnosis)), encoding="utf-8")
    return page


def probed(page: Path, chromium: Chromium, *options: str) -> dict[str, object]:
    """Use the page by a script of our own, for which its policy is widened."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", PROBE + "</body>")
    page.write_text(text, encoding="utf-8")
    found = re.search(r'<pre id="seen">(.*?)</pre>', chromium(page, *options), re.S)
    assert found is not None and found.group(1)
    seen: dict[str, object] = json.loads(found.group(1).replace("&amp;", "&"))
    return seen


def test_its_own_script_runs_and_no_other(report: Path, chromium: Chromium) -> None:
    document = chromium(report)
    assert '<html lang="en" class="script">' in document
    assert 'role="slider"' in document
    assert "<title>Diagnosis</title>" in document
    assert "<img" not in document


def test_curves_tell_their_values(report: Path, chromium: Chromium) -> None:
    seen = probed(report, chromium, "--window-size=1280,900")
    assert str(seen["hover"]).startswith("step 960 · ")  # the comparison is of held-out losses
    assert "· B: b 2.48" in str(seen["hover"])
    assert str(seen["home"]).startswith("step 160 · ")
    assert str(seen["right"]).startswith("step 320 · ")
    assert seen["spoken"] == str(seen["right"]).replace(" · ", ", ")
    assert (seen["pressed"], seen["redrawn"]) == ("true", True)
    low, low_of_log = (float(text) for text in seen["bottoms"])  # type: ignore[attr-defined]
    assert 0 <= low < low_of_log <= 1.93
    assert seen["still"] == seen["right"]


def test_colours_are_the_system_s_until_chosen(report: Path, chromium: Chromium) -> None:
    light, dark = "rgb(255, 255, 255)", "rgb(20, 23, 28)"
    seen = probed(report, chromium)
    assert seen["colours"] == [light, dark, light, light]
    lowest = seen["contrast"]
    assert isinstance(lowest, dict)
    assert all(ratio >= 4.5 for ratio, _ in lowest.values()), lowest


def test_dark_where_the_system_is(report: Path, chromium: Chromium) -> None:
    seen = probed(report, chromium, "--blink-settings=preferredColorScheme=0")
    assert seen["colours"][0] == "rgb(20, 23, 28)"  # type: ignore[index]


def test_it_fits_a_phone(report: Path, tmp_path: Path, chromium: Chromium) -> None:
    """A window cannot be as narrow as a phone, so the page stands in a frame that is."""
    text = report.read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", PROBE + "</body>")
    tell = "<script>parent.postMessage(document.getElementById('seen').textContent, '*')</script>"
    report.write_text(text.replace("</body>", tell + "</body>"), encoding="utf-8")
    frame = tmp_path / "phone.html"
    frame.write_text(
        "<!doctype html><pre id=seen></pre><script>addEventListener('message', (event) => "
        "{ document.getElementById('seen').textContent = event.data; })</script>"
        '<iframe src="report.html" width="390" height="844" style="border:0"></iframe>'
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', chromium(frame), re.S)
    assert found is not None
    seen = json.loads(found.group(1))
    assert (seen["width"], seen["wide"]) == (390, False)
    assert seen["plotWidth"] > 280
    assert seen["smallest"] >= 24  # WCAG 2.2, 2.5.8: targets of 24 by 24 CSS pixels
