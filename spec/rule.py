"""A rule: one thing that ftspec can find, with a code, a page and a pure function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ftspec.spec.finding import NO_EVIDENCE, Finding, Place, Prescription, Route, Severity

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject]):
    """A rule stands in a module of its own, whose docstring is the rule's page.

    `find` takes the thing examined and yields findings; it has no other input and no effect.
    """

    code: str
    name: str
    severity: Severity
    find: Callable[[Subject], Iterator[Finding]]

    @property
    def page(self) -> str:
        """The documentation page: the docstring of the module that holds the rule."""
        return inspect.getdoc(sys.modules[self.find.__module__]) or ""

    @property
    def summary(self) -> str:
        """The page's first line."""
        return self.page.splitlines()[0] if self.page else ""

    def finding(
        self,
        title: str,
        *,
        route: Route = (),
        found: str = "",
        help: str = "",
        evidence: Mapping[str, Any] = NO_EVIDENCE,
        confidence: float = 1.0,
        prescriptions: tuple[Prescription, ...] = (),
        severity: Severity | None = None,
        place: Place | None = None,
        at_key: bool = False,
        span: tuple[int, int] | None = None,
    ) -> Finding:
        """Make a finding of this rule; `severity` overrides the rule's own."""
        return Finding(
            code=self.code,
            name=self.name,
            title=title,
            severity=severity or self.severity,
            route=route,
            found=found,
            help=help,
            evidence=evidence,
            confidence=confidence,
            prescriptions=prescriptions,
            place=place,
            at_key=at_key,
            span=span,
        )
