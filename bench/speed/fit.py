"""Fit the constants of `compiler/speed.py` to measured steps, and say how well they hold.

    python bench/speed/fit.py FILE...          result files, of the kinds that `timings.py` reads
    python bench/speed/fit.py                  bench/methods/results.jsonl alone

The constants of today are those of that file with `t4-sweep-2026-09-15.json` and
`t4-phase3-2026-09-16.json` of fitcheck-llm's public measurements (MIT).

For each card in the rows: the share of its dense rate and of its bandwidth that steps reach. For
all together: what the host takes for each launch. The least sum of squared logarithms of predicted
over measured, and a weak pull to the start, so that what the rows do not tell stays where it was.
Each row is also predicted by a fit that did not see it (up to forty rows: all but it; more: all
but every tenth), and with the shares of each other card: the worst of those factors are what
`spread` has to cover, for cards that were measured and for others.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from timings import Row, read

from ftspec.compiler.arithmetic import load
from ftspec.compiler.speed import Host, Share, card_seconds, step_seconds

START = {"block": 1.5e-3, "adapter": 2e-4, "quantized": 1e-4, "cast": 5e-5, "selective": 3e-3}
START |= {"step": 15e-3}
PRODUCTS, MOVED = 0.6, 0.75  # start of each card's shares
FOLDS = 10  # where there are more than ONE_BY_ONE rows
ONE_BY_ONE = 40
PULL = 0.003  # weight of a squared logarithm of a constant over its start
METHODS = Path(__file__).resolve().parents[1] / "methods" / "results.jsonl"

Values = dict[str, float]


def shares_of(values: Values, card: str) -> Share:
    """Return a card's shares out of fitted values."""
    return Share(values[f"{card}: products"], values[f"{card}: moved"], 1.0)


def predicted(row: Row, values: Values) -> float:
    """Return the predicted seconds of a row's step."""
    host = Host(**{field.name: values[field.name] for field in fields(Host)})
    return step_seconds(row.job, row.gpu, share=shares_of(values, row.gpu.name), host=host).likely


def loss(rows: Sequence[Row], values: Values, start: Values) -> float:
    """Return what the fit makes small."""
    errors = sum(math.log(predicted(row, values) / row.seconds) ** 2 for row in rows)
    return errors + PULL * sum(math.log(values[k] / start[k]) ** 2 for k in start)


def fit(rows: Sequence[Row]) -> Values:
    """Fit by steps along one constant at a time, in logarithms, ever smaller ones."""
    start = dict(START)
    for card in sorted({row.gpu.name for row in rows}):
        start |= {f"{card}: products": PRODUCTS, f"{card}: moved": MOVED}
    values, step = dict(start), 0.3
    best = loss(rows, values, start)
    while step > 2e-3:
        better = False
        for name in values:
            for factor in (math.exp(step), math.exp(-step)):
                trial = {**values, name: values[name] * factor}
                found = loss(rows, trial, start)
                if found < best - 1e-12:
                    best, values, better = found, trial, True
        step = step if better else step / 2
    return values


def blind(rows: Sequence[Row]) -> list[float]:
    """Return predicted over measured of each row, by fits that did not see it."""
    folds = len(rows) if len(rows) <= ONE_BY_ONE else FOLDS
    found = [math.nan] * len(rows)
    for fold in range(folds):
        held = range(fold, len(rows), folds)
        values = fit([row for number, row in enumerate(rows) if number not in held])
        for number in held:
            row = rows[number]
            if f"{row.gpu.name}: products" in values:
                found[number] = predicted(row, values) / row.seconds
    return found


def report(rows: Sequence[Row]) -> None:
    """Print the constants, then each row with its error, and how far off others would be."""
    values, unseen = fit(rows), blind(rows)
    host = Host(**{field.name: values[field.name] for field in fields(Host)})
    for name, value in values.items():
        print(f"{name:28} {value:.3g}")
    print("\n| card | case | measured | predicted | error | unseen | card : host |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row, ratio in zip(rows, unseen, strict=True):
        seconds, work = predicted(row, values), load(row.job)
        share = shares_of(values, row.gpu.name)
        bound = card_seconds(work, row.gpu, share) / host.launches(work)
        print(
            f"| {row.gpu.name} | {row.name} | {row.seconds:.3f} s | {seconds:.3f} s"
            f" | {seconds / row.seconds - 1:+.1%} | {ratio - 1:+.1%} | {bound:.2f} |"
        )
    cards = sorted({row.gpu.name for row in rows})
    for card in cards:
        own = [ratio for row, ratio in zip(rows, unseen, strict=True) if row.gpu.name == card]
        print(f"\n{card}: within a factor of {worst(own):.2f} of fits that did not see the row")
        for other in cards:
            if other != card:
                print(
                    f"  with the shares of {other}: within {_crosswise(rows, values, card, other)}"
                )


def worst(ratios: Sequence[float]) -> float:
    """Return the factor that holds all ratios, upwards and downwards."""
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    return max((max(ratio, 1 / ratio) for ratio in known), default=math.nan)


def _crosswise(rows: Sequence[Row], values: Values, card: str, other: str) -> str:
    """Predict one card's rows with another's shares, as if the card were not measured."""
    host = Host(**{field.name: values[field.name] for field in fields(Host)})
    share = shares_of(values, other)
    ratios = [
        step_seconds(row.job, row.gpu, share=share, host=host).likely / row.seconds
        for row in rows
        if row.gpu.name == card
    ]
    return f"a factor of {worst(ratios):.2f}"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=[METHODS])
    options = parser.parse_args()
    report([row for path in options.files for row in read(path)])


if __name__ == "__main__":
    main()
