"""The plots of RESULTS.md, as small SVG files. Needs matplotlib, which nothing else here does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tables import GIB, Row, accurate

COLOURS = {"score": "#0b6e99", "tune": "#d9822b", "fresh": "#2f8f4e"}
TOP = 0.05  # errors beyond are drawn at the edge


def draw(rows: Sequence[Row], target: Path) -> list[Path]:
    """Draw predicted against measured, and the errors' distribution; return the files.

    None are drawn where nothing was measured or matplotlib is not there, which is said.
    """
    chosen = [row for row in accurate(rows) if row.allocated_error is not None]
    if not chosen:
        return []
    try:
        import matplotlib
    except ImportError:
        print("no plots: pip install matplotlib")
        return []
    matplotlib.use("svg")
    # The same rows give the same bytes.
    matplotlib.rcParams |= {"svg.hashsalt": "ftspec", "svg.fonttype": "none", "font.size": 9}
    return [_against(chosen, target / "predicted.svg"), _errors(chosen, target / "errors.svg")]


def _against(rows: Sequence[Row], path: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4.4))
    sizes = (
        ("allocated peak", "allocated", "predicted_allocated"),
        ("driver's peak (reserved + context)", "driver", "predicted_driver"),
    )
    for axis, (title, measured, predicted) in zip(axes, sizes, strict=True):
        for split, colour in COLOURS.items():
            points = [
                (getattr(row, measured) / GIB, getattr(row, predicted) / GIB)
                for row in rows
                if row.split == split and getattr(row, measured) and getattr(row, predicted)
            ]
            if points:
                axis.scatter(*zip(*points, strict=True), s=9, c=colour, label=split, alpha=0.7)
        axis.set(xscale="log", yscale="log", title=title, xlabel="measured, GiB")
        axis.set_ylabel("predicted, GiB")
        low, high = axis.get_xlim()
        axis.plot([low, high], [low, high], c="#888888", lw=0.7, zorder=0)
        axis.legend(frameon=False)
    return _save(figure, path)


def _errors(rows: Sequence[Row], path: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    sizes = (("allocated peak", "allocated_error"), ("driver's peak", "driver_error"))
    for axis, (title, name) in zip(axes, sizes, strict=True):
        for split, colour in COLOURS.items():
            errors = [getattr(row, name) for row in rows if row.split == split]
            kept = [100 * max(-TOP, min(TOP, error)) for error in errors if error is not None]
            edges = [100 * TOP * (number / 25 - 1) for number in range(51)]
            if kept:
                axis.hist(kept, bins=edges, color=colour, label=split, alpha=0.6)
        axis.set(title=title, xlabel=f"predicted over measured, % (beyond {TOP:.0%}: at the edge)")
        axis.legend(frameon=False)
    axes[0].set_ylabel("cases")
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.split("\n")), encoding="utf-8")
    return path
