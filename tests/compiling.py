"""Compile specs written in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from machines import CPU

from ftspec.compiler.emit import emit
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.pipeline import Compiled, compile_spec
from ftspec.compiler.plan import Plan
from ftspec.compiler.project import write
from ftspec.spec.finding import Severity
from ftspec.spec.parse import parse

Spec = dict[str, Any]


def compiled(
    spec: Spec | str, root: Path, hardware: Hardware = CPU, project: Path | None = None
) -> Compiled:
    """Compile a spec, given as text or as what its YAML says."""
    text = spec if isinstance(spec, str) else yaml.safe_dump(spec, sort_keys=False)
    parsed = parse(text, "ftspec.yaml")
    return compile_spec(parsed, root, hardware, project=project, needs_data=True)


def plan_of(
    spec: Spec | str, root: Path, hardware: Hardware = CPU, project: Path | None = None
) -> Plan:
    """Compile a spec that has to compile."""
    result = compiled(spec, root, hardware, project)
    assert result.plan is not None, [item.title for item in result.findings]
    return result.plan


def build(spec: Spec | str, project: Path, hardware: Hardware = CPU) -> Plan:
    """Compile a spec, as if it lay beside the project folder, and write the project."""
    plan = plan_of(spec, project.parent, hardware, project)
    assert write(project, emit(plan)).written
    return plan


def errors(result: Compiled) -> list[str]:
    """Return the names of the errors found."""
    return [item.name for item in result.findings if item.severity is Severity.ERROR]
