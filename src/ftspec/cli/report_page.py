"""The page that a run leaves beside its weights: `runs/<n>/report.html`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftspec.runtime.progress import Progress
from ftspec.runtime.secrets import Secrets
from ftspec.runtime.summary import summary

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
    from markupsafe import Markup

    from ftspec.doctor.examine import examine
    from ftspec.doctor.html import sections
    from ftspec.doctor.page import Section, page

    secrets = Secrets()
    told = "\n".join(line[2:] for line in summary(found, plan))
    body = Markup("<pre>{}</pre>").format(secrets.hide(told))
    attempts = len(found.ledger["attempts"])
    note = f"{attempts} attempt{'s' if attempts != 1 else ''}"
    shown = [Section("attempts", "What was run, and what was changed", body, note)]
    if found.run.events.exists():
        shown += sections(examine([found.run.events]))
    return page(f"Run {found.run.number}: {found.state}", shown)
