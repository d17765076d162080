"""The page that a run leaves beside its weights: `runs/<n>/report.html`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.runtime.evaluation import evaluation_section
from ftspec.runtime.progress import Progress
from ftspec.runtime.secrets import Secrets
from ftspec.runtime.summary import facts

if TYPE_CHECKING:
    from markupsafe import Markup

    from ftspec.doctor.diagnose import SpecText

NAME = "report.html"


def write_report(found: Progress, plan: Mapping[str, Any]) -> Path | None:
    """Write a run's page, with the doctor's curves and findings; None where it cannot be.

    A page is never worth a run: whatever goes wrong with it is passed over.
    """
    target = found.run.path / NAME
    with contextlib.suppress(Exception):
        partial = target.with_suffix(".partial")
        partial.write_text(_page(found, plan), encoding="utf-8")
        partial.replace(target)
        return target
    return None


def _page(found: Progress, plan: Mapping[str, Any]) -> str:
    from ftspec.doctor.compare import compare
    from ftspec.doctor.diagnose import Diagnosis
    from ftspec.doctor.examine import examine
    from ftspec.doctor.html import sections
    from ftspec.doctor.page import Section, page

    attempts = len(found.ledger["attempts"])
    note = f"{attempts} attempt{'s' if attempts != 1 else ''}"
    told = _told(facts(found, plan))
    shown = [Section("attempts", "What was run, and what was changed", told, note)]
    measured = evaluation_section(found.run.path)
    shown += [measured] if measured else []
    seen = [
        item for log, spec in _logs(found) if log.exists() for item in examine([log], spec).runs
    ]
    if seen:
        diagnosis = Diagnosis(tuple(seen))
        shown += sections(diagnosis, compare(diagnosis))
    return page(f"Run {found.run.number}: {found.state}", shown)


def _told(lines: Iterable[tuple[str, str]]) -> Markup:
    """Return the summary as a list of terms; lines without a label go on with the one before."""
    from markupsafe import Markup

    secrets = Secrets()
    terms: list[tuple[str, list[str]]] = []
    for label, text in lines:
        if label or not terms:
            terms.append((label, []))
        terms[-1][1].append(secrets.hide(text))
    parts = [
        Markup("<dt>{}</dt><dd>{}</dd>").format(label, Markup("<br>").join(texts))
        for label, texts in terms
    ]
    return Markup("<dl>\n{}\n</dl>").format(Markup("\n").join(parts))


def _logs(found: Progress) -> Iterator[tuple[Path, SpecText | None]]:
    """Yield the logs of the runs that this one was healed from, with their specs; then its own."""
    from ftspec.doctor.diagnose import SpecText

    for entry in found.ledger.get("healing") or []:
        spec = None
        with contextlib.suppress(OSError, UnicodeDecodeError):
            name = str(entry["spec_before"])
            spec = SpecText.of(name, Path(name).read_bytes().decode("utf-8-sig"))
        yield found.run.path.parent / str(entry["run"]) / "events.jsonl", spec
    yield found.run.events, None
