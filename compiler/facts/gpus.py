"""GPUs as values: memory, bandwidth and dense tensor rates, found by the names people write.

The figures lie in `gpus.json`, one card a line. `mib` is the total that NVML and nvidia-smi report
(`usable: nvml`), or the board's nominal GiB where no report is at hand (`usable: nominal`).
Rates are dense, without sparsity, with fp32 accumulation: on GeForce that is half of the rate
with fp16 accumulation, and it is the one that training uses.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

MIB = 2**20
# The slice of a 1g.10gb instance on an A100 80GB is 9.50 of 10 GiB, the largest deduction in the
# profile tables of NVIDIA's MIG user guide; other slices keep a little more.
MIG_KEPT = 0.95
# Below this likeness (difflib's ratio) a "did you mean" misleads more than it helps.
LIKENESS = 0.5

_MIG = re.compile(r"(?<![\w.])(?:mig[\s.-]*)?(([1-7])g\.(\d+)gb)(?:\+[\w.]+)*")
_SPLITS = (
    (re.compile(r"pci-e"), "pcie"),
    (re.compile(r"(nvidia|geforce|quadro|tesla|titan|rtx|gtx)(?=[a-z0-9])"), r"\1 "),
    (re.compile(r"(?<![a-z\d.])(\d{1,3})\s*(?:gib|gb|g)\b"), r" \1gb "),
    (re.compile(r"(?<=\d)(ti|super|laptop|mobile|ada|sxm|pcie|nvl|d\b)"), r" \1"),
    (re.compile(r"(?<=\b\d{4})s\b"), " super"),
    (re.compile(r"\bti(?=super)"), "ti "),
    (re.compile(r"\bsxm\d\b"), "sxm"),
    (re.compile(r"\b(?:mobile|notebook)\b"), "laptop"),
)
_SAYS_NOTHING = frozenset(
    "nvidia geforce tesla quadro gpu graphics card generation edition mig vram"
    " hbm2 hbm2e hbm3 hbm3e gddr5 gddr5x gddr6 gddr6x gddr7".split()
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """Describe one GPU: sizes in bytes, bandwidth in bytes/s, rates in dense FLOP/s."""

    name: str
    usable_bytes: int
    bandwidth: float
    bf16_flops: float | None
    fp16_flops: float
    capability: tuple[int, int]
    source: str
    measured_memory: bool

    @property
    def bf16(self) -> bool:
        """Tell whether tensor cores take bf16 (compute capability 8.0 on, CUDA guide)."""
        return self.capability >= (8, 0)

    @property
    def fp8(self) -> bool:
        """Tell whether tensor cores take fp8 (compute capability 8.9 on, CUDA guide)."""
        return self.capability >= (8, 9)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Hold a card and the words it goes by."""

    gpu: Gpu
    key: str
    words: frozenset[str]
    mig: tuple[str, ...]

    def answers(self, words: frozenset[str]) -> bool:
        return words <= self.words and frozenset(self.key.split()) <= words


def catalogue() -> tuple[Gpu, ...]:
    """List every known card, in the order of the file."""
    return tuple(entry.gpu for entry in _entries())


def find_gpu(text: str) -> Gpu | None:
    """Find the card that a name means, or None.

    Takes names as people, clouds and NVML write them. Where several cards answer (`a100`: 40 or
    80 GB) it is the one with the least memory, so that a plan made for it fits on all; among
    those the one first in the file (`h100` is the SXM module). A MIG slice (`h100 3g.40gb`) comes
    back with its share of memory, bandwidth and compute.
    """
    profile = _MIG.search(text.casefold())
    words = _words(_MIG.sub(" ", text.casefold()))
    answering = [entry for entry in _entries() if entry.answers(words)]
    if profile:
        answering = [entry for entry in answering if profile[1] in entry.mig]
    if not answering:
        return None
    entry = min(answering, key=lambda candidate: candidate.gpu.usable_bytes)
    if not profile:
        return entry.gpu
    return _slice(entry, profile[1], int(profile[2]), int(profile[3]))


def nearest_names(text: str, count: int = 3) -> tuple[str, ...]:
    """List the names of the cards closest in spelling, nearest first; none where none is near."""
    asked = " ".join(_spoken(_MIG.sub(" ", text.casefold())))

    def likeness(entry: _Entry) -> float:
        spellings = (entry.key, " ".join(_spoken(entry.gpu.name)))
        return max(SequenceMatcher(None, asked, spelling).ratio() for spelling in spellings)

    scored = [(likeness(entry), entry.gpu.name) for entry in _entries()]
    near = [pair for pair in scored if pair[0] >= LIKENESS]
    ranked = sorted(near, key=lambda pair: pair[0], reverse=True)
    return tuple(name for _, name in ranked[:count])


@cache
def _entries() -> tuple[_Entry, ...]:
    text = Path(__file__).with_name("gpus.json").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in json.loads(text))


def _entry(row: dict[str, Any]) -> _Entry:
    major, minor = row["capability"]
    bf16 = row["bf16_tflops"]
    gpu = Gpu(
        name=row["name"],
        usable_bytes=row["mib"] * MIB,
        bandwidth=row["bandwidth_gb_s"] * 1e9,
        bf16_flops=None if bf16 is None else bf16 * 1e12,
        fp16_flops=row["fp16_tflops"] * 1e12,
        capability=(major, minor),
        source=row["source"],
        measured_memory=row["usable"] == "nvml",
    )
    words = _words(f"{row['name']} {row['key']} {row.get('also', '')} {row['memory_gb']}gb")
    return _Entry(gpu, row["key"], words, tuple(row.get("mig", ())))


def _words(text: str) -> frozenset[str]:
    """Split a name into the words that tell one card from another."""
    return frozenset(_spoken(text))


def _spoken(text: str) -> tuple[str, ...]:
    text = text.casefold()
    for pattern, replacement in _SPLITS:
        text = pattern.sub(replacement, text)
    words = re.findall(r"[a-z0-9]+", text)
    sized = (f"{word}gb" if word.isdigit() and len(word) < 4 else word for word in words)
    return tuple(word for word in sized if word not in _SAYS_NOTHING)


def _slice(entry: _Entry, profile: str, compute: int, gigabytes: int) -> Gpu:
    """Cut a MIG slice: memory in eighths, compute in the slices of the widest profile."""
    widest = _MIG.search(entry.mig[-1])
    assert widest is not None, entry.mig
    memory_share = round(8 * gigabytes / int(widest[3])) / 8
    compute_share = compute / int(widest[2])
    card = entry.gpu
    return replace(
        card,
        name=f"{card.name} MIG {profile}",
        usable_bytes=int(card.usable_bytes * memory_share * MIG_KEPT),
        bandwidth=card.bandwidth * memory_share,
        bf16_flops=None if card.bf16_flops is None else card.bf16_flops * compute_share,
        fp16_flops=card.fp16_flops * compute_share,
        source=f"{card.source}; share of MIG profile {profile}",
        measured_memory=False,
    )
