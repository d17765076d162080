"""The scores that evaluate.py prints, and the interval of what training changed.

A metric gives each row a few numbers that add up over rows, and computes the score from the
sums. So a resample of the rows is a sum, and two models are compared on the same resamples:
a paired bootstrap (Koehn 2004, Statistical Significance Tests for Machine Translation).
"""

import math
import re
import statistics
from collections import namedtuple
from importlib.util import find_spec

import torch

RESAMPLES = 2000  # of the bootstrap
# score: from summed rows; models: a model's rows by its name; numbers: which rows they are.
Table = namedtuple("Table", ["score", "models", "numbers"])
WORD = re.compile(r"[^\W_]+")
REFUSAL = re.compile(  # in English, in an answer's first 280 characters
    r"\bas an (?:ai|artificial)\b|\bi must (?:decline|refuse)\b|"
    r"(?:sorry|apologi[sz]e|unfortunately)[^.!?]{0,60}?\bi ?(?:can't|cannot|won't|will not|"
    r"am not able|am unable|'m not able|'m unable)\b|"
    r"\Ai ?(?:can't|cannot|won't|will not|am unable|'m unable)(?: to)? "
    r"(?:help|assist|provide|answer|comply|do (?:that|this))\b",
    re.IGNORECASE,
)


def perplexity(sums):
    """Return exp(loss / tokens): the lower, the better."""
    return math.exp(min(sums[0] / sums[1], 700))


def percent(sums):
    """Return 100 x points / rows."""
    return 100 * sums[0] / sums[1]


class Sacre:
    """BLEU or chrF of sacrebleu: a row's counts of n-grams, and the score of their sums."""

    def __init__(self, metric):
        self.metric = metric

    def rows(self, answers, expected):
        return self.metric._extract_corpus_statistics(answers, [expected])

    def score(self, sums):
        return self.metric._compute_score_from_stats([int(n) for n in sums]).score

    def signature(self):
        return str(self.metric.get_signature())


class Mean:
    """The mean of what each answer gets, in percent."""

    def __init__(self, points, told):
        self.points, self.told, self.score = points, told, percent

    def rows(self, answers, expected):
        pairs = zip(answers, expected, strict=True)
        return [(self.points(answer, wanted), 1) for answer, wanted in pairs]

    def signature(self):
        return self.told


def scorers(names):
    """Return the scorer of each metric of answers, and why one is missing: two dicts."""
    found, missing = {}, {}
    for name in dict.fromkeys(names):
        if name == "perplexity":
            continue  # it needs no answers
        if name == "rouge":
            found[name] = Mean(rouge_l, "ROUGE-L F1, words in lower case, no stemming")
        elif name == "exact-match":
            found[name] = Mean(same, "same text but for white space")
        elif find_spec("sacrebleu") is None:
            missing[name] = "sacrebleu is not installed: pip install sacrebleu"
        else:
            from sacrebleu.metrics import BLEU, CHRF

            found[name] = Sacre(BLEU() if name == "bleu" else CHRF())
    return found, missing


def same(answer, expected):
    """Say whether two texts are the same but for white space."""
    return answer.split() == expected.split()


def rouge_l(answer, expected):
    """Return the F1 of the words in the longest common subsequence (ROUGE-L, Lin 2004)."""
    ours, theirs = (WORD.findall(text.lower()) for text in (answer, expected))
    common = common_words(ours, theirs)
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def common_words(ours, theirs):
    """Return the length of the longest common subsequence of two lists.

    A row of the usual table is one number here, a bit for each step up that is not there
    (Hyyrö 2004, Bit-parallel LCS-length computation revisited).
    """
    places = {}
    for place, word in enumerate(ours):
        places[word] = places.get(word, 0) | 1 << place
    row = full = (1 << len(ours)) - 1
    for word in theirs:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & full
    return len(ours) - row.bit_count()


def compared(base, rows, score, seed):
    """Return a score beside the base's: the difference, and the change as a share of it.

    base, rows: (rows, numbers) tensors of the two models. Intervals hold 95 %.
    """
    before, after = score(base.sum(0).tolist()), score(rows.sum(0).tolist())
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(RESAMPLES):
        picked = torch.randint(len(base), (len(base),), generator=generator)
        draws.append([score(table[picked].sum(0).tolist()) for table in (base, rows)])
    low, high = interval([then - at_first for at_first, then in draws])
    found = {"value": after, "difference": after - before}
    found |= {"difference_low": low, "difference_high": high}
    found |= dict.fromkeys(("change", "low", "high"))
    if before > 0 and all(at_first > 0 for at_first, _ in draws):
        found["change"] = after / before - 1
        changes = [then / at_first - 1 for at_first, then in draws]
        found["low"], found["high"] = interval(changes)
    return found


def interval(values):
    """Return the 2.5th and the 97.5th percentile."""
    ordered = sorted(values)
    return ordered[int(0.025 * len(ordered))], ordered[int(0.975 * len(ordered)) - 1]


def collect(tables, seed, labels=None):
    """Compare all models with the one called base, metric by metric, and by label."""
    models = {name: {} for table in tables.values() for name in table.models}
    categories, chief = {}, {}
    for metric, (score, told, numbers) in tables.items():
        rows = {}
        for name, numbers_of in told.items():
            rows[name] = torch.as_tensor(numbers_of, dtype=torch.float64)
            models[name][metric] = compared(rows["base"], rows[name], score, seed)
        base, tuned = models["base"][metric], models["tuned"][metric]
        changes = {key: value for key, value in tuned.items() if key != "value"}
        chief[metric] = {"base": base["value"], "tuned": tuned["value"], **changes}
        for label in sorted(set(labels or ())):
            of_it = [n for n, row in enumerate(numbers) if labels[row] == label]
            if of_it:
                empty = {"rows": labels.count(label), "metrics": {}}
                category = categories.setdefault(label, empty)
                sums = {name: table[of_it].sum(0) for name, table in rows.items()}
                values = {name: score(summed.tolist()) for name, summed in sums.items()}
                category["metrics"][metric] = values
    return {"metrics": chief, "models": models, "categories": categories}


def of_answers(found, expected):
    """Return what the answers of each model look like, and those that are expected."""
    looks = {}
    for name, one in found.items():
        if "texts" in one:
            looks[name] = {
                "mean_tokens": statistics.fmean(one["sizes"]),
                "median_tokens": statistics.median(one["sizes"]),
                "mean_words": mean_words(one["texts"]),
                "cut_off": one["ended"].count(False),
                "empty": one["texts"].count(""),
                "refusals": sum(refuses(text) for text in one["texts"]),
            }
    if looks:
        refused = sum(refuses(text) for text in expected)
        looks["expected"] = {"mean_words": mean_words(expected), "refusals": refused}
    return looks


def mean_words(texts):
    return statistics.fmean(len(text.split()) for text in texts)


def of_tasks(found):
    """Return lm-eval's figures, by task and model."""
    tasks = {}
    for name, one in found.items():
        for task, figures in one.get("tasks", {}).items():
            for figure, value in figures.items():
                if isinstance(value, float) and "stderr" not in figure:
                    figure = figure.partition(",")[0]
                    tasks.setdefault(f"{task} {figure}", {})[name] = value
    return tasks


def refuses(text):
    """Say whether an answer refuses, in the usual English words."""
    return bool(REFUSAL.search(text[:280].replace("\u2019", "'").lstrip()))


def shown(name, value):
    """Write a score as text."""
    return f"{value:,.3f}" if name == "perplexity" else f"{value:.1f}"


def told(name, found):
    """Write what training changed: perplexity as a share, the others in points of 100."""
    keys = ("change", "low", "high")
    if name != "perplexity":
        keys = ("difference", "difference_low", "difference_high")
    values = [found[key] for key in keys]
    if name == "perplexity":
        change, low, high = (f"{100 * value:+.1f} %" for value in values)
    else:
        change, low, high = (f"{value:+.1f}" for value in values)
    return f"{change:>9}   ({low} to {high})"


def lines(result):
    """Yield the result as a table."""
    models = result["models"]
    width = max(len(name) for name in models)
    for metric in result["metrics"]:
        for place, (name, found) in enumerate(models.items()):
            head = metric if place == 0 else ""
            change = told(metric, found[metric]) if place else ""
            value = shown(metric, found[metric]["value"])
            yield f"{head:<12} {name:<{width}} {value:>12} {change}".rstrip()
    for place, (name, found) in enumerate(result.get("answers", {}).items()):
        if place == 0:
            yield ""
        words = [f"{found['mean_words']:.1f} words on average"]
        words += [f"{found['refusals']} refuse"]
        if name != "expected":
            words += [f"{found['cut_off']} cut off", f"{found['empty']} empty"]
        yield f"{'' if place else 'answers':<12} {name:<{width}} {', '.join(words)}"
    for label, found in result["categories"].items():
        yield ""
        yield f"{label} ({found['rows']} rows)"
        for metric, values in found["metrics"].items():
            words = [f"{name} {shown(metric, value)}" for name, value in values.items()]
            yield f"{metric:<12} {', '.join(words)}"
    for task, values in result["tasks"].items():
        words = [f"{name} {value:.4f}" for name, value in values.items()]
        yield f"{task}: {', '.join(words)}"
    yield ""
    yield "; ".join(f"{name} {how}" for name, how in result["signature"].items())
