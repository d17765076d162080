"""The page of a review: all of it is text, nothing is fetched, and nothing tells whose it is."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reviews import EVIL, review_json, write_review

from ftspec.runtime.review.answers import Review, read_review
from ftspec.runtime.review.judgements import QUESTIONS, VERDICTS
from ftspec.runtime.review.page import as_html, visible


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return read_review(write_review(tmp_path / "review.json"))


def test_no_text_becomes_markup_or_script(review: Review) -> None:
    page = as_html(review, f"run 1 {EVIL}")
    elements = Elements(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 1 and "img" not in tags
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    assert not any(name in attrs for _, attrs in elements.found for name in ("src", "style"))
    assert sum(EVIL in text for text in elements.texts) == 4  # title, heading, prompt, answer


def test_only_its_own_style_and_script_may_run(review: Review) -> None:
    page = as_html(review, "run 1")
    policy = next(attrs["content"] for tag, attrs in Elements(page).found if "http-equiv" in attrs)
    assert policy is not None and policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        text = re.search(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        assert text is not None
        digest = base64.b64encode(hashlib.sha256(text.group(1).encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_each_prompt_has_the_whole_and_the_six_checks(review: Review) -> None:
    found = Elements(as_html(review, "run 1")).found
    questions = [attrs["data-question"] for _, attrs in found if "data-question" in attrs]
    assert questions == [*QUESTIONS] * 6 and len(QUESTIONS) == 1 + 6
    verdicts = [attrs["data-verdict"] for _, attrs in found if "data-verdict" in attrs]
    assert set(verdicts) == set(VERDICTS) and len(verdicts) == 4 * 7 * 6
    ids = [attrs["id"] for _, attrs in found if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_tells_whose_an_answer_is(tmp_path: Path) -> None:
    """With the two texts swapped, and each where it is shown then, the page is the same."""
    items = review_json(5)["items"]
    for item in items:
        item["base"] = {"text": f"one {item['id']}", "ended": True}
        item["tuned"] = {"text": f"two {item['id']}", "ended": True}
    review = read_review(write_review(tmp_path / "review.json", items=items))
    page = as_html(review, "run 1")
    main = page[page.index("<main") : page.index("</main>")]
    assert "tuned" not in main and "base" not in main
    order = [re.findall(rf">(one|two) {item['id']}<", main) for item in items]
    assert ["one", "two"] in order and ["two", "one"] in order
    shown = [[answer.text.split()[0] for answer in review.shown(item)] for item in review.items]
    assert order == shown


def test_an_answer_that_was_cut_off_or_is_empty_is_marked(tmp_path: Path) -> None:
    items = review_json(2)["items"]
    items[0]["tuned"]["text"] = items[0]["base"]["text"] = ""
    review = read_review(write_review(tmp_path / "review.json", items=items))
    page = as_html(review, "run 1")
    assert page.count("(it says nothing)") == 2
    assert page.count("The two answers are the same.") == 1
    assert "(cut off after" not in page
    three = as_html(read_review(write_review(tmp_path / "three.json", 3)), "run 1")
    assert three.count("(cut off after 256 tokens)") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\nc", "a\nb\nc"),
        ("if x:\n\treturn", "if x:\n    return"),
        ("<b> & 'c'", "&lt;b&gt; &amp; &#39;c&#39;"),
        ("a\x00b\u202ec\x1b[31m", "a\ufffdb\ufffdc\ufffd[31m"),
        ("\U0001f469\u200d\U0001f4bb می\u200cروم", "\U0001f469\u200d\U0001f4bb می\u200cروم"),
    ],
)
def test_all_of_a_text_is_seen(text: str, shown: str) -> None:
    assert str(visible(text)) == shown
