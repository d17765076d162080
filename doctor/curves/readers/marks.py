"""What a text says besides numbers: out of memory, killed, interrupted, resumed, finished."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ftspec.doctor.curves.readers.builder import Builder

# Searched in a block of a megabyte at once: a block without any of them is not looked at.
NEEDLES = (
    ("Error", "error:", "out of memory", "Killed", "oom-kill", "oom_kill", "bad_alloc", "SIGTERM")
    + ("SIGKILL", "signal 9", "signal 15", "exitcode: -9", "KeyboardInterrupt", "Interrupted")
    + ("esum", "raining completed", "raining finished", "raining complete", "ALLOC_FAILED")
    + ("Running training", "num_train_epochs", "Traceback", "Saving model checkpoint", "Exception")
    + ("Saved adapter weights", "saving checkpoint", "Num Epochs", "optimization steps")
    + ("Num examples", "batch size", "rainable params", "Gradient Accumulation", "trainable")
    + ("learning_rate", "weight_decay", "lr_scheduler", "warmup_steps", "logging_steps")
)

_OOM = re.compile(
    r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|HIP out of memory|"
    r"MPS backend out of memory|(?:CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|std::bad_alloc|"
    r"DefaultCPUAllocator: (?:can't|not enough) (?:allocate )?memory|oom[-_]kill|"
    r"Out of memory: Killed|RESOURCE_EXHAUSTED|\bMemoryError\b|out of memory\b.*\d+ ?[MG]i?B"
)
_KILLED = re.compile(
    r"^(?:.*: line \d+: *\d+ )?Killed\b|SIGKILL|[Ss]ignal 9\b|exitcode: -9\b|exit code 137\b"
)
_STOPPED = re.compile(r"KeyboardInterrupt|SIGTERM|[Ss]ignal 15\b|\bInterrupted by user")
_RESUMED = re.compile(
    r"(?:[Rr]esum(?:ed|ing)(?: training)?|Continuing training|[Ll]oading model) from (?:the )?"
    r"(?:checkpoint|saved|step|global step|epoch|/|\.|\w+[-/]|.*checkpoint)",
)
_ENDED = re.compile(
    r"[Tt]raining (?:is )?(?:completed?|finished|done)\b(?!.*\d+ ?%)|Training runtime|"
    r"successfully loaded model at end",
)
_CHECKPOINT = re.compile(r"Saving model checkpoint to|Saved adapter weights|saving checkpoint")
_STARTED = re.compile(r"\*{3,} *Running training *\*{3,}")
_ERROR = re.compile(
    r"^(?:\S*\.)?(?:[A-Z]\w*(?:Error|Exception|Interrupt|Exit)|OutOfMemory\w*)\b(?::|$)"
)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FRAME = re.compile(r"\s+File \"[^\"]+\", line \d+")
_RANK = re.compile(r"^(?:\[\w*\s*rank\d+\]:?|\(\w+ pid=[^)]*\)|\[default\d+\]:)\s?")

# The innermost of these in a traceback names the phase of the error.
_PHASES = (
    ("merge", re.compile(r"merge_and_unload|merge_adapter|\bmerge\(")),
    ("generate", re.compile(r"generate|rollout_|\bvllm\b|sample\(")),
    ("evaluate", re.compile(r"evaluat|estimate_loss|prediction_step|predict\(|validat|test_loop")),
    (
        "save",
        re.compile(r"save_pretrained|save_checkpoint|_save\b|torch\.save|save_model|state_dict"),
    ),
    (
        "train",
        re.compile(
            r"training_step|\.backward\(|optimizer\.step|update_actor|update_critic|"
            r"update_policy|train_step|compute_log_prob"
        ),
    ),
    (
        "load",
        re.compile(
            r"from_pretrained|load_checkpoint|load_state_dict|\.to\(device|\.cuda\(\)|"
            r"dispatch_model|init_process|get_peft_model|load_dataset|prepare_model"
        ),
    ),
)

_COUNT, _REAL = r"['\"]?\s*[=:]\s*([\d,]+)", r"['\"]?\s*[=:]\s*([\d.]+(?:[eE][-+]?\d+)?)"

# What is printed of the plan: the Trainer's banner, and arguments one a line.
_PLAN: tuple[tuple[str, Callable[[str], Any], re.Pattern[str]], ...] = (
    ("max_steps", int, re.compile(r"Total optimization steps" + _COUNT)),
    ("epochs", float, re.compile(r"(?:Num Epochs|num_train_epochs)" + _REAL)),
    ("micro_batch", int, re.compile(r"Instantaneous batch size per device" + _COUNT)),
    ("micro_batch", int, re.compile(r"per_device_train_batch_size" + _COUNT)),
    ("effective_batch", int, re.compile(r"Total train batch size[^=]*" + _COUNT)),
    ("accumulation", int, re.compile(r"[Gg]radient[ _][Aa]ccumulation[ _]steps" + _COUNT)),
    ("trained_parameters", int, re.compile(r"[Nn]umber of trainable parameters" + _COUNT)),
    ("trained_parameters", int, re.compile(r"trainable params" + _COUNT)),
    ("learning_rate", float, re.compile(r"\blearning_rate" + _REAL)),
    ("weight_decay", float, re.compile(r"\bweight_decay" + _REAL)),
    ("warmup_steps", int, re.compile(r"\bwarmup_steps" + _COUNT)),
    ("logging_steps", int, re.compile(r"\blogging_steps" + _COUNT)),
    (
        "scheduler",
        str,
        re.compile(r"\blr_scheduler_type['\"]?\s*[=:]\s*['\"]?(?:SchedulerType\.)?(\w+)"),
    ),
    ("precision", str, re.compile(r"\b(bf16|fp16)['\"]?\s*[=:]\s*True")),
)


class Marks:
    """Looks at the lines of a text for events; tracebacks are remembered until their last line."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._frames: deque[str] = deque(maxlen=80)
        self._inside = False
        self._indented = False

    @staticmethod
    def worth_a_look(block: str) -> bool:
        """Say whether a block of text has any of the words that are looked for."""
        return any(needle in block for needle in NEEDLES)

    def look(self, line: str, number: int) -> None:
        """Look at one line that is no record."""
        text = _RANK.sub("", _ANSI.sub("", line) if "\x1b" in line else line)
        if "Traceback (most recent call last)" in text:
            self._frames.clear()
            self._inside = True
            return
        frame = _FRAME.match(text) is not None
        if frame and not self._inside:  # ray shows frames without saying that they are a traceback
            self._frames.clear()
            self._inside = True
        if frame or (self._inside and text[:1] in (" ", "\t")):
            self._frames.append(text)
            return
        if _OOM.search(text):
            self._note("out-of-memory", text, number, self._phase())
        elif _STOPPED.search(text):
            self._note("stop", text, number)
        elif _KILLED.search(text):
            self._note("killed", text, number)
        elif self._inside and text.strip() and _ERROR.match(text):
            self._note("error", text, number, self._phase())
        elif _STARTED.search(text):
            self._builder.event("start", line=number)
        elif _RESUMED.search(text):
            self._note("resume", text, number)
        elif _CHECKPOINT.search(text):
            self._note("checkpoint", text, number)
        elif _ENDED.search(text):
            self._note("end", text, number)
        else:
            self._setting(text)
            return
        self._inside = False

    def _note(self, kind: str, text: str, line: int, phase: str | None = None) -> None:
        """Note an event; what several processes say at once is said once."""
        said = text.strip()[:500]
        events, at = self._builder.events, self._builder.size
        for event in events[-8:]:
            same = event.kind == kind or (kind == "error" and event.kind == "out-of-memory")
            if same and event.at == at and kind != "checkpoint":
                return
        self._builder.event(kind, said, step=self._builder.last_step, phase=phase, line=line)

    def _phase(self) -> str | None:
        for frame in reversed(self._frames):
            for phase, pattern in _PHASES:
                if pattern.search(frame):
                    return phase
        return "train" if self._builder.size else None

    def _setting(self, text: str) -> None:
        """Take what is printed of the run's plan: a banner, or arguments one a line."""
        for name, kind, pattern in _PLAN:
            match = pattern.search(text)
            if match is None or getattr(self._builder.planned, name) is not None:
                continue
            with suppress(ValueError):
                self._builder.plan(**{name: kind(match.group(1).replace(",", ""))})
