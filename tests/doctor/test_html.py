"""The page: what is on it, that nothing of a log is more than text, that nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
from html.parser import HTMLParser

import pytest

from ftspec.doctor.compare import compare
from ftspec.doctor.curves.series import EvalRecord, Event, Problem, Record, Run
from ftspec.doctor.diagnose import Diagnosed, Diagnosis, diagnose_run
from ftspec.doctor.html import as_html, sections
from ftspec.doctor.page import page, section
from ftspec.doctor.plot import Panel, Series, plot, round_scale, thinned
from ftspec.spec.finding import Finding, Severity

EVIL = (
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'`{{7*7}}\u202e"
)
VOID = {"meta", "br", "hr", "img", "input", "link", "path", "rect", "polyline"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "a", "header", "h1", "p", "button", "nav"),
    *("ul", "li", "span", "main", "section", "h2", "h3", "h4", "figure", "figcaption", "div", "g"),
    *("svg", "path", "rect", "polyline", "article", "code", "dl", "dt", "dd", "pre", "details"),
    *("summary", "table", "thead", "tbody", "tr", "th", "td", "footer", "script"),
}


class Tags(HTMLParser):
    """Collects the elements, their attributes, ids and text; notes what does not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def run(name: str = "log", offset: float = 0.0, size: int = 120) -> Run:
    source = random.Random(name)
    train = tuple(
        Record(
            step=float(n * 10),
            loss=0.5 + 2 * math.exp(-n / 20) + offset + source.gauss(0, 0.02),
            grad_norm=1.0 + source.random(),
            learning_rate=2e-4 * (1 - n / size),
        )
        for n in range(1, size + 1)
    )
    evals = tuple(
        EvalRecord(step=float(n * 100), loss=1.5 - 0.05 * n + offset) for n in range(1, 9)
    )
    return Run(name, "made", train, evals)


def page_of(*runs: Run) -> str:
    diagnosis = Diagnosis(tuple(diagnose_run(each) for each in runs))
    return as_html(diagnosis, compare(diagnosis))


@pytest.fixture(scope="module")
def two() -> str:
    return page_of(run("a"), run("b", 0.2))


def test_the_page_nests_and_has_landmarks(two: str) -> None:
    tags = Tags(two)
    assert (tags.wrong, tags.open) == ([], [])
    names = [name for name, _ in tags.tags]
    assert names.count("main") == names.count("header") == names.count("h1") == 1
    assert names.count("section") == 3  # comparison, and two runs
    ids = [attrs["id"] for _, attrs in tags.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for a in tags.of("a")]
    assert all(href and href.startswith("#") and href[1:] in ids for href in targets)
    labelled = [a["aria-labelledby"] for _, a in tags.tags if "aria-labelledby" in a]
    assert set(labelled) <= set(ids)
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in tags.of("svg"))
    assert {name for name in names} <= ALLOWED


def test_nothing_is_fetched_and_nothing_else_may_run(two: str) -> None:
    tags = Tags(two)
    fetching = {"src", "srcset", "action", "formaction", "data", "poster", "style"}
    for name, attrs in tags.tags:
        assert not fetching & set(attrs), name
        assert not any(attr.startswith("on") for attr in attrs), name
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", two)
    policy = next(m["content"] for m in tags.of("meta") if "http-equiv" in m)
    assert policy is not None and policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", two, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_nothing_is_stored() -> None:
    text = page_of(run())
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", text)


def test_a_hostile_log_is_text() -> None:
    log = run(EVIL)
    finding = Finding(
        "FT1", EVIL, EVIL, Severity.ERROR, found=EVIL, help=EVIL, evidence={EVIL: EVIL}
    )
    hostile = Run(
        EVIL,
        EVIL,
        log.train,
        tuple(EvalRecord(e.step, e.epoch, e.loss, EVIL) for e in log.evals),
        (Event("stop", 120, 1200.0, EVIL),),
        (Problem(EVIL, 3),),
    )
    diagnosis = Diagnosis((Diagnosed(hostile, (finding,)), diagnose_run(run("b"))))
    text = as_html(diagnosis, compare(diagnosis))
    tags = Tags(text)
    assert (tags.wrong, tags.open) == ([], [])
    assert {name for name, _ in tags.tags} <= ALLOWED  # no img, and but one script
    assert len(tags.of("script")) == 1
    assert "{{7*7}}" in text and "\u202e" not in text


def test_the_data_of_a_curve_stand_on_the_page_once() -> None:
    log = run()
    text = page_of(log)
    points = [point for p in re.findall(r'points="([^"]*)"', text) for point in p.split()]
    assert len(points) == 3 * len(log.train) + len(log.evals)
    step, value = points[0].split(",")
    assert float(value) == pytest.approx(log.train[0].loss, rel=1e-6)
    assert text.count(points[40]) == 1


def test_a_long_run_is_thinned_and_keeps_its_spikes() -> None:
    source = random.Random(0)
    points = [(float(n), source.gauss(1, 0.01)) for n in range(200_000)]
    points[123_456] = (123_456.0, 9.0)
    points[150_000] = (150_000.0, math.nan)
    kept = thinned(points, 1200)
    assert len(kept) <= 2 * 1200 + 1
    assert (123_456.0, 9.0) in kept
    assert any(math.isnan(value) for _, value in kept)
    assert kept == sorted(kept, key=lambda point: point[0])
    assert min(v for _, v in points if v == v) == min(v for _, v in kept if v == v)


def test_a_line_is_broken_where_a_value_is_not_finite() -> None:
    series = Series.of("loss", [(1.0, 2.0), (2.0, math.nan), (3.0, 1.0), (math.inf, 1.0)])
    assert series.pieces == ["1,2", "3,1"]
    assert series.lost == [2.0]


@pytest.mark.parametrize(
    ("low", "high"), [(0.1, 2.3), (1.0, 1.0), (0, 0), (-3, 5), (1e-150, 2e-150), (9.99, 1e9)]
)
def test_scales_are_round_and_hold_the_values(low: float, high: float) -> None:
    bottom, top = round_scale(low, high)
    assert bottom <= low and high <= top * (1 + 1e-9) and bottom < top


@pytest.mark.parametrize(
    "losses",
    [[], [math.nan] * 20, [1e308, -1e308] * 20, [1e-320] * 20, [0.0] * 20, [5.0]],
)
def test_any_losses_make_a_page(losses: list[float]) -> None:
    train = tuple(Record(step=float(n), loss=loss) for n, loss in enumerate(losses))
    text = page_of(Run("log", "made", train))
    figures = re.findall(r'(?:transform|points|data-low)="([^"]*)"', text)
    assert not any("nan" in each or "inf" in each for each in figures)


def test_sections_make_other_pages() -> None:
    diagnosis = Diagnosis((diagnose_run(run()),))
    own = section(
        "own",
        "Of one's own <b>",
        "comparison.html.j2",
        plot=None,
        head=["<i>"],
        rows=[],
        verdicts=[],
    )
    text = page("Run & report", [own, *sections(diagnosis)], "lead")
    assert "Of one&#39;s own &lt;b&gt;" in text and '<th scope="col">&lt;i&gt;</th>' in text
    assert "<title>Run &amp; report</title>" in text
    assert plot("none", [Panel("loss", (Series.of("loss", []),))]) is None
    assert json.dumps(text)
