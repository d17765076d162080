"""What a remedy is worked out from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ftspec.doctor.curves.series import Planned, Run
from ftspec.spec.finding import Edit, Prescription
from ftspec.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Case:
    """The run, and the spec it came from where it is known."""

    run: Run
    spec: Spec | None = None
    flat_form: bool = False

    @property
    def planned(self) -> Planned:
        """What the log says of the plan."""
        return self.run.planned or Planned()

    @property
    def method(self) -> str | None:
        """The spec's method, if there is a spec."""
        return self.spec.method.type if self.spec else None

    @property
    def adapter(self) -> bool:
        """Say whether the method is LoRA in one of its forms, or not known."""
        return self.method in (None, "lora", "qlora")

    @property
    def rate(self) -> float | None:
        """The peak learning rate that the run had, else the spec's."""
        rate = self.run.peak_learning_rate or self.written("train.learning_rate")
        return float(rate) if rate else None

    def written(self, path: str) -> Any:
        """Return what the spec says at a path; None where it leaves the key open."""
        value: Any = self.spec
        for key in path.split("."):
            value = getattr(value, key, None)
        return value

    def edit(self, path: str, after: Any, planned: Any = None) -> Edit:
        """Make an edit from what the spec says, else from what was planned."""
        before = self.written(path)
        return Edit(path, planned if before is None else before, after)


def advice(reason: str, expect: str = "", refuted: str = "") -> Prescription:
    """Return a remedy that no key of a spec expresses."""
    return Prescription((), reason, expect, refuted)


def rounded(rate: float) -> float:
    """Round to two digits, or to one that is within 3 %: logs show 4.94e-5 of a peak of 5e-5."""
    one = float(f"{rate:.1g}")
    return one if abs(one - rate) <= 0.03 * rate else float(f"{rate:.2g}")
