"""Which rung is next, how an attempt ended, what the disk holds, what the kernel counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.runtime import disk, kills
from ftspec.runtime.ending import Seen, ending
from ftspec.runtime.rules.catalogue import RUN_RULES
from ftspec.runtime.rungs import arguments, in_force, next_rung
from ftspec.runtime.state import RunFolder

CARD: dict[str, Any] = {"method": {"type": "lora", "quantization": "none"}}
CARD |= {"hardware": {"device": "cuda"}}
HEADINGS = (
    "What it finds",
    "Why it matters",
    "Evidence it needs",
    "Example",
    "What to do",
    "References",
)


@given(st.integers(1, 4096), st.integers(1, 512))
def test_the_rows_a_step_stay_exactly_and_the_end_is_one_row(micro: int, accumulation: int) -> None:
    now: dict[str, Any] = {"micro_batch": micro, "accumulation": accumulation}
    rows = micro * accumulation
    for _ in range(15):
        rung = next_rung("train", now, CARD, (), host=False)
        if rung is None:
            break
        assert rung.constants["micro_batch"] <= now["micro_batch"] // 2
        now = {**now, **rung.constants}
        assert now["micro_batch"] * now["accumulation"] == rows
    assert now["micro_batch"] == 1


def test_a_prefix_is_never_checkpointed() -> None:
    now = {"activation_checkpointing": False, "micro_batch": 2, "accumulation": 1}
    plan = {**CARD, "method": {"type": "prefix", "quantization": "none"}}
    rung = next_rung("train", now, plan, (), host=False)
    assert rung is not None and rung.name == "batch"
    rung = next_rung("train", now, CARD, (), host=False)
    assert rung is not None and rung.name == "checkpointing"


@pytest.mark.parametrize(
    ("kind", "allowed", "name"),
    [
        ("lora", ["quantize", "shorten"], "quantize"),
        ("lora", ["shorten"], "shorten"),
        ("full", ["quantize"], None),
        ("lora", [], None),
    ],
)
def test_what_needs_leave_comes_last(kind: str, allowed: list[str], name: str | None) -> None:
    now = {"micro_batch": 1, "accumulation": 8, "activation_checkpointing": True}
    now |= {"max_length": 512}
    plan = {**CARD, "method": {"type": kind, "quantization": "none"}}
    rung = next_rung("train", now, plan, allowed, host=False)
    assert (rung.name if rung else None) == name


def test_what_the_script_says_of_itself_goes_before_the_plan() -> None:
    plan = {"train": {"batch_size": 4, "gradient_accumulation": 2, "eval_batch_size": 8}}
    now = in_force(plan, {"eval_batch": 2}, {"micro_batch": 6, "accumulation": 3})
    assert (now["micro_batch"], now["accumulation"], now["eval_batch"]) == (6, 3, 2)


def test_constants_become_options() -> None:
    constants = {"micro_batch": 2, "activation_checkpointing": False, "learning_rate": 2e-05}
    assert arguments(constants) == [
        "--micro-batch",
        "2",
        "--no-activation-checkpointing",
        "--learning-rate",
        "2e-05",
    ]


@pytest.mark.parametrize(
    ("code", "events", "given", "kind"),
    [
        (0, [], {}, "crash"),
        (75, [], {}, "stopped"),
        (-9, [], {"kills": 1}, "host-memory"),
        (137, [], {"kills": 1}, "host-memory"),
        (-9, [], {"kills": 1, "asked": True}, "stopped"),
        (-9, [], {}, "killed"),
        (1, [{"event": "stop", "step": 3, "code": 75}], {}, "stopped"),
        (1, [{"event": "out-of-memory", "phase": "save"}], {}, "out-of-memory"),
        (76, [{"event": "out-of-memory", "where": "host"}], {}, "host-memory"),
        (76, [{"event": "out-of-memory"}], {"asked": True}, "out-of-memory"),
        (None, [{"event": "stop", "step": 3, "code": 77}], {}, "not-finite"),
        (None, [{"event": "failure", "phase": "load", "message": "x"}], {}, "unusable"),
        (None, [], {}, "killed"),
        (None, [], {"kills": 2}, "host-memory"),
        (-15, [], {"asked": True}, "stopped"),
        (1, [], {"words": "GPU has fallen off the bus"}, "gpu-lost"),
        (1, [], {}, "crash"),
        (1, [], {"finished": True}, "finished"),
    ],
)
def test_how_an_attempt_ended(
    code: int | None, events: list[dict[str, Any]], given: dict[str, Any], kind: str
) -> None:
    seen = Seen()
    for event in events:
        seen.add(event)
    known = {"finished": False, "asked": False, "kills": 0, "words": "", **given}
    found = ending(code, seen, **known)
    assert found.kind == kind
    if kind not in ("finished", "stopped"):
        assert found.state == "failed"


def test_room_for_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = disk.shutil.disk_usage(tmp_path)
    run = RunFolder(tmp_path, 1)
    free = 0
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage._replace(free=free))
    # Two checkpoints, a third while it is written, and the final weights: 3 x 3 + 1 weights of 10.
    plan = {"memory": {"disk_bytes": 100}, "train": {"save_limit": 2}}
    for free, severity in ((29, "error"), (30, "warning"), (99, "warning"), (100, None)):
        finding = disk.room(run, plan)
        assert (finding.severity.value if finding else None) == severity, free
    assert disk.room(run, {}) is None
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(b"x" * 60)
    free = 50
    finding = disk.room(run, plan)
    assert finding is not None and finding.evidence["need_bytes"] == 60


@pytest.mark.parametrize(
    ("own", "file", "content"),
    [
        ("0::/a/b\n", "a/b/memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\n"),
        ("9:x:/\n4:cpu,memory:/c\n", "memory/c/memory.oom_control", "under_oom 0\noom_kill 2\n"),
        ("", "memory.events", "oom_kill 2\n"),
    ],
)
def test_the_kernel_s_counts(
    own: str, file: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup").write_text(own)
    (tmp_path / "vmstat").write_text("oom_kill 5\n")
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    monkeypatch.setattr(kills, "CGROUPS", tmp_path)
    monkeypatch.setattr(kills, "OWN", tmp_path / "cgroup")
    monkeypatch.setattr(kills, "WHOLE_KERNEL", tmp_path / "vmstat")
    assert kills.memory_kills() == 5 + 2
    path.unlink()
    (tmp_path / "vmstat").unlink()
    assert kills.memory_kills() == 0


@pytest.mark.parametrize("rule", RUN_RULES, ids=lambda rule: rule.name)
def test_every_rule_has_its_page(rule: Any) -> None:
    places = [rule.page.index(f"\n{heading}\n") for heading in HEADINGS]
    assert places == sorted(places)
    assert rule.code.startswith("FT31")


def test_codes_are_used_once() -> None:
    assert len({rule.code for rule in RUN_RULES}) == len(RUN_RULES)
    assert json.dumps([rule.name for rule in RUN_RULES])
