"""A plan in the making: passes add choices to it, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ftspec.compiler.facts.data import DataFacts
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.facts.lengths import Lengths
from ftspec.compiler.facts.model import ModelFacts
from ftspec.compiler.memory.ledger import Ledger
from ftspec.compiler.memory.predict import Tracer
from ftspec.compiler.memory.work import Work
from ftspec.compiler.plan import Change, Why
from ftspec.spec.finding import Finding
from ftspec.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known and decided so far. Passes take one draft and give the next.

    `root`: the folder that paths of the spec are relative to. `project`: the project folder.
    `eval_lengths`: of held-out rows that have a file of their own. `tracer`: traces memory live
    where no tape covers a set-up; None: that is not done.
    """

    spec: Spec
    root: Path
    project: Path
    hardware: Hardware
    model: ModelFacts
    data: DataFacts | None = None
    eval_data: DataFacts | None = None
    lengths: Lengths | None = None
    eval_lengths: Lengths | None = None
    work: Work | None = None
    ledger: Ledger | None = None
    tracer: Tracer | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    why: Mapping[str, Why] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def tuned(self) -> bool:
        """Whether open values are fitted; with memory or speed off they are the guide's."""
        return "off" not in (self.spec.tune.memory, self.spec.tune.speed)

    def __getitem__(self, path: str) -> Any:
        """Return what was chosen for a dotted path."""
        return self.choices[path]

    def asked(self, path: str) -> Any:
        """Return what the spec says at a dotted path; None where it is left open."""
        value: Any = self.spec
        for step in path.split("."):
            value = getattr(value, step)
        return value

    def decide(self, path: str, value: Any, reason: str) -> Draft:
        """Take what the spec says at `path`, or `value` where the spec leaves it open."""
        asked = self.asked(path)
        if asked is not None:
            return self._with(path, asked, Why(by="spec", reason="as written"))
        return self._with(path, value, Why(by="plan", reason=reason))

    def put(self, path: str, value: Any, reason: str) -> Draft:
        """Set what no key of the spec says, or what the plan changes."""
        return self._with(path, value, Why(by="plan", reason=reason))

    def found(self, *findings: Finding) -> Draft:
        """Add findings."""
        return replace(self, findings=(*self.findings, *findings))

    def _with(self, path: str, value: Any, why: Why) -> Draft:
        return replace(
            self,
            choices=MappingProxyType({**self.choices, path: value}),
            why=MappingProxyType({**self.why, path: why}),
        )
