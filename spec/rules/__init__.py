"""Rules about a spec: one file each, the docstring is the page."""

from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule

SPEC_RULES: tuple[Rule[Spec], ...] = ()
