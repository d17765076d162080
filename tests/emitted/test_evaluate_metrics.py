"""The scores of metrics.py, against sacrebleu and rouge-score, and its bootstrap."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from emitted_modules import imported
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import WORDS

ANSWERS = ["the red dog sees a tree .", "a fish", "", "wind and rain and snow, all day", "sun"]
WANTED = ["the red dog sees the tree .", "a big fish", "moon", "rain and snow all day", "sun"]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """metrics.py, which is the same in all projects."""
    import ftspec.templates

    folder = tmp_path_factory.mktemp("metrics")
    template = Path(next(iter(ftspec.templates.__path__))) / "metrics.py.j2"
    (folder / "metrics.py").write_text(template.read_text(encoding="utf-8"))
    with imported(folder, "metrics") as module:
        yield module


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_scores_are_those_of_sacrebleus_command(
    name: str, metrics: ModuleType, tmp_path: Path
) -> None:
    import torch

    pytest.importorskip("sacrebleu")
    scorer = metrics.scorers([name])[0][name]
    rows = torch.tensor(scorer.rows(ANSWERS, WANTED), dtype=torch.float64)
    for file, texts in (("answers", ANSWERS), ("wanted", WANTED)):
        (tmp_path / file).write_text("".join(f"{text}\n" for text in texts))
    command = [sys.executable, "-m", "sacrebleu", "wanted", "-i", "answers", "-m", name, "-w", "6"]
    told = subprocess.run([*command, "-b"], cwd=tmp_path, capture_output=True, text=True)
    assert scorer.score(rows.sum(0).tolist()) == pytest.approx(float(told.stdout), abs=1e-6)
    assert "nrefs:1" in scorer.signature() and "version:" in scorer.signature()


def test_without_sacrebleu_the_others_are_given(
    metrics: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    found, missing = metrics.scorers(["perplexity", "bleu", "rouge", "exact-match"])
    assert set(found) == {"rouge", "exact-match"}
    assert missing == {"bleu": "sacrebleu is not installed: pip install sacrebleu"}


def texts() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*" ".join(WORDS).split()[:6], "Sun!", "x-y"])).map(" ".join)


@given(texts(), texts())
@settings(deadline=None)
def test_rouge_l_is_that_of_rouge_score(metrics: ModuleType, ours: str, theirs: str) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    expected = scorer.score(theirs, ours)["rougeL"].fmeasure
    assert metrics.rouge_l(ours, theirs) == pytest.approx(expected)


def test_rouge_l_by_hand(metrics: ModuleType) -> None:
    assert metrics.rouge_l("a b c d", "a x c") == pytest.approx(2 * 2 / 7)
    assert metrics.rouge_l("Ünder wütenden", "ünder") == pytest.approx(2 / 3)
    assert metrics.rouge_l("", "") == metrics.rouge_l("a", "b") == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_common_words_are_those_of_the_table(
    metrics: ModuleType, ours: list[int], theirs: list[int]
) -> None:
    table = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i, one in enumerate(ours):
        for j, other in enumerate(theirs):
            best = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else best
    assert metrics.common_words(ours, theirs) == table[-1][-1]


def test_exact_match_passes_over_white_space(metrics: ModuleType) -> None:
    assert metrics.same(" a  b\n", "a b") and not metrics.same("A b", "a b")


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m sorry, but I cannot do that.", True),
        ("As an AI language model, I have no body.", True),
        ("I must decline.", True),
        ("I can't wait to show you around!", False),
        ("Sorry is a word. It has five letters.", False),
        ("red is tree", False),
        ("", False),
    ],
)
def test_refusals(metrics: ModuleType, text: str, refuses: bool) -> None:
    assert metrics.refuses(text) is refuses


def table(seed: int, shift: float) -> list[tuple[float, float]]:
    """Losses and tokens of 40 rows."""
    dice = random.Random(seed)
    return [(dice.uniform(1, 3) * 10 + shift, 10.0) for _ in range(40)]


def test_the_interval_is_paired(metrics: ModuleType) -> None:
    import torch

    base, better = (torch.tensor(table(1, shift), dtype=torch.float64) for shift in (0.0, -1.0))
    found = metrics.compared(base, better, metrics.perplexity, 7)
    # Each row gains the same, so however rows are drawn the change is the same.
    expected = math.exp(-0.1) - 1
    assert [found[key] for key in ("change", "low", "high")] == pytest.approx([expected] * 3)
    other = torch.tensor(table(2, -1.0), dtype=torch.float64)
    wide = metrics.compared(base, other, metrics.perplexity, 7)
    assert wide["low"] < wide["change"] < wide["high"]
    assert metrics.compared(base, other, metrics.perplexity, 7) == wide, "the same draws again"
    nothing = metrics.compared(base, base, metrics.perplexity, 7)
    assert nothing["low"] == nothing["change"] == nothing["high"] == 0


def test_the_interval_covers_as_it_says(
    metrics: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 evaluations of 60 rows whose true gain is known, about 95 hold it."""
    import torch

    monkeypatch.setattr(metrics, "RESAMPLES", 200)
    dice, held = random.Random(3), 0
    for _ in range(100):
        base = [dice.gauss(20, 4) for _ in range(60)]
        tuned = [loss - dice.gauss(2, 3) for loss in base]  # 2 of 10 tokens: a factor exp(-0.2)
        pair = (torch.tensor([(loss, 10.0) for loss in losses]) for losses in (base, tuned))
        found = metrics.compared(*pair, metrics.perplexity, 5)
        held += found["low"] <= math.exp(-0.2) - 1 <= found["high"]
    assert 88 <= held <= 99


def test_a_share_of_nothing_is_not_told(metrics: ModuleType) -> None:
    import torch

    base, tuned = torch.tensor([[0.0, 1.0]] * 9), torch.tensor([[1.0, 1.0]] * 3 + [[0.0, 1.0]] * 6)
    found = metrics.compared(base, tuned, metrics.percent, 7)
    assert found["value"] == found["difference"] == pytest.approx(100 / 3)
    assert found["change"] is found["low"] is found["high"] is None


def test_results_by_category(metrics: ModuleType) -> None:
    summed = {
        "base": [(4.0, 2.0), (1.0, 1.0), (2.0, 2.0)],
        "tuned": [(2.0, 2.0), (0, 1.0), (0, 2.0)],
    }
    scored = metrics.Table(metrics.perplexity, summed, range(3))
    hits = {"base": [(0, 1), (0, 1)], "tuned": [(1, 1), (0, 1)]}
    some = metrics.Table(metrics.percent, hits, [0, 2])
    found = metrics.collect({"perplexity": scored, "exact-match": some}, 1, ["a", "b", "b"])
    assert set(found["categories"]) == {"a", "b"}
    assert found["categories"]["b"] == {
        "rows": 2,
        "metrics": {
            "perplexity": {"base": pytest.approx(math.e), "tuned": pytest.approx(1.0)},
            "exact-match": {"base": 0.0, "tuned": 0.0},
        },
    }
    assert found["categories"]["a"]["metrics"]["exact-match"] == {"base": 0.0, "tuned": 100.0}
    chief = found["metrics"]["perplexity"]
    assert chief["base"] == pytest.approx(math.exp(7 / 5)) and "value" not in chief
    assert chief["tuned"] == found["models"]["tuned"]["perplexity"]["value"]
