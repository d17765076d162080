"""The review's page, used as a person uses it: keys, clicks, files; its own policy stays."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from devtools import Page

from ftspec.runtime.review.answers import Review, read_review
from ftspec.runtime.review.judgements import QUESTIONS, read_judgements
from ftspec.runtime.review.page import as_html

EVIL = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)
CURRENT = "document.querySelector('.item.current').dataset.id"
ASKED = "document.querySelector('.item.current .question.current').dataset.question"
PRESSED = (
    "[...document.querySelectorAll('.item.current [aria-pressed=true]')]"
    ".map((b) => [b.closest('.question').dataset.question, b.dataset.verdict])"
)
TOLD = "document.querySelector('.told').textContent"
DONE = "document.querySelector('.done').textContent"
CONTRAST = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")


@pytest.fixture
def review(tmp_path: Path) -> Review:
    items = [
        {
            "id": number,
            "row": number,
            "turns": [{"role": "user", "content": f"question {number} {EVIL}"}],
            "expected": f"expected {number}",
            "base": {"text": f"base says {number}\n{EVIL}", "ended": True},
            "tuned": {"text": f"tuned says {number} " + "and more " * 80, "ended": number > 1},
        }
        for number in (1, 2, 3)
    ]
    facts = {"schema_version": 1, "seed": 42, "rows": 3, "max_new_tokens": 64}
    (tmp_path / "review.json").write_text(json.dumps({**facts, "items": items}))
    return read_review(tmp_path / "review.json")


@pytest.fixture
def page(review: Review, tmp_path: Path) -> Path:
    path = tmp_path / "review.html"
    path.write_text(as_html(review, f"run 1 {EVIL}"), encoding="utf-8")
    return path


def downloaded(folder: Path) -> Path:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [path for path in folder.glob("*.json") if path.stat().st_size]
        if found and not list(folder.glob("*.crdownload")):
            return found[0]
        time.sleep(0.05)
    raise AssertionError("nothing was saved")


def test_a_review_by_keys_is_kept_saved_and_loaded(
    devtools: Page, page: Path, review: Review, tmp_path: Path
) -> None:
    devtools.open(page)
    assert (devtools.run(CURRENT), devtools.run(ASKED)) == ("1", "send")
    devtools.press("a", "s", "n", "b")
    given = [["send", "a"], ["instructions", "both"], ["tone", "neither"], ["accuracy", "b"]]
    assert devtools.run(PRESSED) == given
    devtools.press("ArrowUp", "Backspace")  # takes "b" back
    assert (devtools.run(PRESSED), devtools.run(ASKED)) == (given[:3], "accuracy")
    devtools.press(*"aaaa")
    assert devtools.run(CURRENT) == "2", "the last question answered, the next prompt is there"
    devtools.press("b")
    assert devtools.run(DONE) == "1 judged"

    devtools.open(page)  # as after closing it
    assert (devtools.run(CURRENT), devtools.run(PRESSED)) == ("2", [["send", "b"]])
    devtools.run("document.querySelector('.save').click()")
    file = downloaded(tmp_path / "downloads")
    kept = read_judgements(file, review)
    assert kept.verdicts[2] == {"send": "b"}
    assert list(kept.verdicts[1]) == [*QUESTIONS] and kept.verdicts[1]["tone"] == "neither"

    devtools.run("localStorage.clear()")
    devtools.open(page)
    assert devtools.run(DONE) == "0 judged"
    devtools.give_file("input[type=file]", file)
    until = time.monotonic() + 30
    while "is loaded" not in devtools.run(TOLD) and time.monotonic() < until:
        time.sleep(0.05)
    assert (devtools.run(DONE), devtools.run(CURRENT)) == ("1 judged", "2")
    devtools.press(*"aaaaaa", *"aaaaaaa")
    assert "All prompts are judged" in devtools.run(TOLD)
    assert devtools.errors == []


def test_no_text_of_strangers_runs(devtools: Page, page: Path) -> None:
    devtools.open(page)
    assert devtools.run("document.title").startswith("Review: run 1 </script>")
    assert devtools.run("document.querySelectorAll('main img, main script').length") == 0
    texts = devtools.run("document.querySelector('.item .turn .text').textContent")
    assert EVIL in texts
    # The policy, asked: an element that somebody put there after all would not run.
    inject = "const s = document.createElement('script'); s.textContent = 'document.title=1';"
    devtools.run(f"(() => {{ {inject} document.body.append(s); }})()")
    assert devtools.run("document.title") != "1"
    assert any("Content Security Policy" in error for error in devtools.errors)


def test_a_file_of_other_answers_is_refused(devtools: Page, page: Path, tmp_path: Path) -> None:
    devtools.open(page)
    devtools.press("a")
    wrong: list[Any] = [{"review": "other", "judgements": {}}, [1], None]
    for number, document in enumerate(wrong):
        file = tmp_path / f"wrong-{number}.json"
        file.write_text(json.dumps(document))
        devtools.give_file("input[type=file]", file)
        until = time.monotonic() + 30
        while file.name not in devtools.run(TOLD) and time.monotonic() < until:
            time.sleep(0.05)
        assert devtools.run(TOLD) == f"{file.name} holds no judgements of these answers."
    assert devtools.run(PRESSED) == [["send", "a"]]


def test_what_is_kept_of_another_review_is_passed_over(devtools: Page, page: Path) -> None:
    devtools.open(page)
    place = devtools.run("Object.keys(localStorage).concat('none')[0]")
    assert place == "none"
    devtools.press("a")
    (key,) = devtools.run("Object.keys(localStorage)")
    for broken in ("{", '{"review": "x"}', '{"review": 1, "judgements": {"1": {"send": "z"}}}'):
        devtools.run(f"localStorage.setItem({key!r}, {broken!r})")
        devtools.open(page)
        assert (devtools.run(DONE), devtools.run(PRESSED)) == ("0 judged", [])


def test_clicks_answer_and_take_back(devtools: Page, page: Path) -> None:
    devtools.open(page)
    button = "document.querySelector('.item.current [data-question=length] [data-verdict=b]')"
    devtools.run(f"{button}.click()")
    assert devtools.run(PRESSED) == [["length", "b"]]
    assert devtools.run(ASKED) == "hallucinations"
    devtools.run(f"{button}.click()")
    assert devtools.run(PRESSED) == []
    devtools.run("document.querySelector('.next').click()")
    assert devtools.run(CURRENT) == "2"
    devtools.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert devtools.run(CURRENT) == "2"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "columns"), [(390, 1), (1280, 2)])
def test_it_fits_and_can_be_read(
    scheme: str, width: int, columns: int, devtools: Page, page: Path
) -> None:
    devtools.look(width, 844, scheme, mobile=width < 400)
    devtools.open(page)
    devtools.press("a")
    assert devtools.run("innerWidth") == width
    assert devtools.run("document.documentElement.scrollWidth") <= width
    tops = devtools.run(
        "[...document.querySelectorAll('.item.current .answer')]"
        ".map((a) => Math.round(a.getBoundingClientRect().top))"
    )
    assert len(set(tops)) == 3 - columns
    sizes = devtools.run(
        "[...document.querySelectorAll('button, .load')].filter((b) => b.offsetParent)"
        ".map((b) => Math.min(b.getBoundingClientRect().height, b.getBoundingClientRect().width))"
    )
    assert min(sizes) >= 24  # WCAG 2.2, 2.5.8: targets of 24 by 24 CSS pixels
    background = devtools.run("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
    assert contrast(devtools) >= 4.5


def contrast(devtools: Page) -> float:
    """Return the lowest contrast of any text that is seen (WCAG 2.2, 1.4.3)."""
    start = CONTRAST.index("const level")
    functions = CONTRAST[start : CONTRAST.index("seen.contrast = {}")]
    functions = functions.replace("element.closest(", "!element.offsetParent || element.closest(")
    low, where = devtools.run(f"(() => {{ {functions} return least(); }})()")
    assert low < 99, where
    return float(low)
