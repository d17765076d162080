"""The runtime's rules, in the order of their codes."""

from __future__ import annotations

from typing import Any

from ftspec.runtime.rules import (
    checkpoint_not_whole,
    disk_fills,
    edited_project,
    gpu_lost,
    hangs,
    no_rung_left,
    ran_out_of_memory,
)
from ftspec.spec.rule import Rule

RUN_RULES: tuple[Rule[Any], ...] = (
    ran_out_of_memory.RULE,
    no_rung_left.RULE,
    edited_project.RULE,
    hangs.RULE,
    disk_fills.RULE,
    checkpoint_not_whole.RULE,
    gpu_lost.RULE,
)
