"""GPUs as values: memory, bandwidth and dense tensor rates, found by the names people write.

The figures lie in `gpus.json`, one card a line. `mib` is the total that NVML and nvidia-smi report
(`usable: nvml`), or the board's nominal GiB where no report is at hand (`usable: nominal`).
`free_mib` is what NVML calls free, and CUDA the total, on an idle card under Linux: the driver
keeps the rest. It stands where public logs report it (the least seen, since newer drivers keep
more); elsewhere it is estimated. Rates are dense, without sparsity, with fp32 accumulation: on
GeForce that is half of the rate with fp16 accumulation, and it is the one that training uses.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

MIB = 2**20
# The slice of a 1g.10gb instance on an A100 80GB is 9.50 of 10 GiB, the largest deduction in the
# profile tables of NVIDIA's MIG user guide; other slices keep a little more.
MIG_KEPT = 0.95
# What the driver keeps for itself, in MiB and as a share of the total, by the first compute
# capability that it holds for: enough for 52 of the 53 reports in `gpus.json` (the other is 44 MiB
# over).
KEPT_BY_DRIVER = (((7, 5), 384, 0.007), ((7, 0), 288, 0.0), ((0, 0), 128, 0.0))
# Below this likeness (difflib's ratio) a "did you mean" misleads more than it helps.
LIKENESS = 0.5

# `2x4090`, `2 x A100`, `8 H100`; `4090x2`, `a100 x 8`, `a100:8`
_COUNT = re.compile(
    r"\s*(?:(?P<first>\d{1,2})(?:\s*[x×*]\s*|\s+(?=[a-z])(?!gi?b?\b))(?P<after>\S.*)"
    r"|(?P<before>.*\w)\s*[x×*:]\s*(?P<last>\d{1,2})\s*)",
    re.IGNORECASE | re.DOTALL,
)
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
# Cards of other makers, as people write them. Nothing was measured on them, and none is listed.
_OTHER_MAKERS = (  # compiled when they are asked for
    ("AMD", r"\b(?:amd|radeon|instinct|mi\s?\d{2,3}[ax]?|rx\s?\d{3,4})\b"),
    ("Apple", r"\bapple\b|^m[1-9](?:\s(?:pro|max|ultra))?$"),
    ("Intel", r"\b(?:intel|arc|gaudi)\b"),
)
_SAYS_NOTHING = frozenset(
    "nvidia geforce tesla quadro gpu graphics card generation edition mig vram"
    " hbm2 hbm2e hbm3 hbm3e gddr5 gddr5x gddr6 gddr6x gddr7".split()
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """Describe one GPU: sizes in bytes, bandwidth in bytes/s, rates in dense FLOP/s.

    `usable_bytes` is what an idle card leaves to programs, `total_bytes` what NVML reports (0: not
    known). `measured_memory`: a driver reported the first of them.
    """

    name: str
    usable_bytes: int
    bandwidth: float
    bf16_flops: float | None
    fp16_flops: float
    capability: tuple[int, int]
    source: str
    measured_memory: bool
    total_bytes: int = 0

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
    """Hold a card and the names it goes by."""

    gpu: Gpu
    key: str
    names: str
    mig: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        return _words(self.names)

    def answers(self, words: frozenset[str]) -> bool:
        # The key first: few cards pass, and the others' names need not be split.
        return frozenset(self.key.split()) <= words and words <= self.words


def catalogue() -> tuple[Gpu, ...]:
    """List every known card, in the order of the file."""
    return tuple(entry.gpu for entry in _entries())


def matching(text: str) -> tuple[Gpu, ...]:
    """List the cards that a part of a name means, in the order of the file: `rtx 40`, `80gb`.

    All for an empty text. A whole name or a MIG slice brings that one at least.
    """
    wanted, part = _words(text), text.strip().casefold()
    found = [
        entry.gpu
        for entry in _entries()
        if (wanted and wanted <= entry.words) or part in entry.gpu.name.casefold()
    ]
    named = find_cards(text)
    return tuple(found) if found or named is None else (named[0],)


def find_cards(text: str) -> tuple[Gpu, int | None] | None:
    """Find the card that a name means and how many of it are written: `2x4090`, `8 x H100`.

    The number is None where none is written. None: no such card, or none of it at all.
    """
    count, name = split_count(text)
    gpu = find_gpu(name)
    if gpu is None and count is not None:
        gpu = find_gpu(name.strip().removesuffix("s"))  # 8 H100s
    return None if gpu is None or count == 0 else (gpu, count)


def split_count(text: str) -> tuple[int | None, str]:
    """Split `2x4090` into 2 and `4090`; the number is None where none is written."""
    written = _COUNT.fullmatch(text)
    if written is None:
        return None, text
    count = written["first"] or written["last"]
    return int(count), written["after"] or written["before"]


def find_gpu(text: str) -> Gpu | None:
    """Find the one card that a name means, or None; `find_cards` reads a number as well.

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
    entry = min(answering, key=lambda candidate: candidate.gpu.total_bytes)
    if not profile:
        return entry.gpu
    return _slice(entry, profile[1], int(profile[2]), int(profile[3]))


def other_maker(text: str) -> str | None:
    """Return `AMD`, `Apple` or `Intel` where a name is of one of their cards, else None."""
    name = text.casefold().strip()
    return next((maker for maker, words in _OTHER_MAKERS if re.search(words, name)), None)


def nearest_names(text: str, count: int = 3) -> tuple[str, ...]:
    """List the names of the cards closest in spelling, nearest first; none where none is near.

    A number of cards in `text` comes back with each name.
    """
    from difflib import SequenceMatcher

    number, text = split_count(text)
    prefix = f"{number}x " if number else ""
    asked = " ".join(_spoken(_MIG.sub(" ", text.casefold())))

    def likeness(entry: _Entry) -> float:
        spellings = (entry.key, " ".join(_spoken(entry.gpu.name)))
        return max(SequenceMatcher(None, asked, spelling).ratio() for spelling in spellings)

    scored = [(likeness(entry), entry.gpu.name) for entry in _entries()]
    near = [pair for pair in scored if pair[0] >= LIKENESS]
    ranked = sorted(near, key=lambda pair: pair[0], reverse=True)
    return tuple(prefix + name for _, name in ranked[:count])


@cache
def _entries() -> tuple[_Entry, ...]:
    text = Path(__file__).with_name("gpus.json").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in json.loads(text))


def _entry(row: dict[str, Any]) -> _Entry:
    major, minor = row["capability"]
    bf16 = row["bf16_tflops"]
    free = row.get("free_mib") or row["mib"] - _kept(row["mib"], (major, minor))
    gpu = Gpu(
        name=row["name"],
        usable_bytes=free * MIB,
        bandwidth=row["bandwidth_gb_s"] * 1e9,
        bf16_flops=None if bf16 is None else bf16 * 1e12,
        fp16_flops=row["fp16_tflops"] * 1e12,
        capability=(major, minor),
        source=row["source"],
        measured_memory="free_mib" in row,
        total_bytes=row["mib"] * MIB,
    )
    names = f"{row['name']} {row['key']} {row.get('also', '')} {row['memory_gb']}gb"
    return _Entry(gpu, row["key"], names, tuple(row.get("mig", ())))


def _kept(mib: int, capability: tuple[int, int]) -> int:
    """Estimate how many MiB the driver keeps on a card without a report."""
    fixed, share = next((m, s) for since, m, s in KEPT_BY_DRIVER if capability >= since)
    return round(fixed + share * mib)


@lru_cache(maxsize=512)
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
        usable_bytes=int(card.total_bytes * memory_share * MIG_KEPT),
        bandwidth=card.bandwidth * memory_share,
        bf16_flops=None if card.bf16_flops is None else card.bf16_flops * compute_share,
        fp16_flops=card.fp16_flops * compute_share,
        source=f"{card.source}; share of MIG profile {profile}",
        measured_memory=False,
        total_bytes=int(card.total_bytes * memory_share),
    )
