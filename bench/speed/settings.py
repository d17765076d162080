"""Settings whose points are timed.

`CALIBRATE` may be looked at while `compiler/speed.py` and the planner are worked on. `JUDGE` is
what the planner's choice is held against: laid down before the first of its points ran, and of
models that are not in CALIBRATE.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Literal

Checkpointing = bool | Literal["selective"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a planner may choose. tweak: changes that the worker makes to the script's libraries,
    to learn what a change of the script would bring; CALIBRATE alone has some.
    """

    micro: int
    checkpointing: Checkpointing = False
    packing: bool = False
    compile: bool = False
    tweak: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """A short name."""
        kept = {False: "none", True: "full", "selective": "selective"}[self.checkpointing]
        words = [f"b{self.micro}", kept, *(["packed"] if self.packing else [])]
        return "-".join([*words, *(["compiled"] if self.compile else []), *self.tweak])


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A model, a method, data and a cap on the driver's figure (GiB), 16 examples a step.

    lengths: median and longest of rows whose logarithm is normal with deviation 0.7, or one
    number, which all rows have. rows: how many there are, 3 epochs.
    """

    name: str
    model: str
    method: Literal["full", "lora", "qlora"]
    lengths: tuple[int, int] | int
    rows: int
    cap_gib: int
    targets: str = "attention"
    r: int = 16
    dtype: str = "bfloat16"
    points: tuple[Point, ...] = field(default=())

    @property
    def max_length(self) -> int:
        """The longest row, in tokens."""
        return self.lengths if isinstance(self.lengths, int) else self.lengths[1]

    def row_lengths(self) -> tuple[int, ...]:
        """Return the rows' lengths in tokens, the same each time."""
        if isinstance(self.lengths, int):
            return (self.lengths,) * self.rows
        rng, (middle, longest) = Random(self.name), self.lengths
        drawn = (round(middle * rng.lognormvariate(0, 0.7)) for _ in range(self.rows))
        return tuple(min(longest, max(8, size)) for size in drawn)


def points(*words: str) -> tuple[Point, ...]:
    """Return points from short names: `4`, `4 full`, `8 packed compiled`."""
    made = []
    for word in words:
        micro, *rest = word.split()
        kept: Checkpointing = "full" in rest
        options: dict[str, Any] = {name: name in rest for name in ("packed", "compiled")}
        made.append(
            Point(
                micro=int(micro),
                checkpointing="selective" if "selective" in rest else kept,
                packing=options["packed"],
                compile=options["compiled"],
                tweak=tuple(name for name in rest if name in TWEAKS),
            )
        )
    return tuple(made)


TWEAKS = ("pad64", "nocudnn")
CALIBRATE = (
    Setting(
        name="short-lora",
        model="HuggingFaceTB/SmolLM2-1.7B",
        method="lora",
        lengths=(110, 512),
        rows=2000,
        cap_gib=78,
        points=points(
            "4",
            "4 pad64",
            "4 nocudnn",
            "4 compiled",
            "4 compiled pad64",
            "16",
            "16 pad64",
            "16 nocudnn",
            "16 nocudnn pad64",
            "16 compiled",
            "4 full",
            "4 full compiled",
            "1 packed",
            "4 packed",
            "4 packed compiled",
            "8 selective",
        ),
    ),
    Setting(
        name="long-lora",
        model="meta-llama/Llama-2-7b-hf",
        method="lora",
        lengths=1024,
        rows=2000,
        cap_gib=78,
        points=points("4", "4 compiled", "8 full", "8 full compiled", "8 selective"),
    ),
    Setting(
        name="long-qlora",
        model="meta-llama/Llama-2-7b-hf",
        method="qlora",
        lengths=1024,
        rows=2000,
        cap_gib=78,
        points=points("4", "4 compiled", "8 full", "8 full compiled"),
    ),
    Setting(
        name="small-full",
        model="Qwen/Qwen2.5-0.5B",
        method="full",
        dtype="float32",
        lengths=(300, 1024),
        rows=2000,
        cap_gib=78,
        points=points("4", "4 compiled", "16", "16 compiled", "2 packed", "2 packed compiled"),
    ),
)
EVERY = points(
    "1 full",
    "2",
    "4",
    "4 full",
    "4 selective",
    "8",
    "8 full",
    "16",
    "16 full",
    "1 packed",
    "4 compiled",
    "8 full compiled",
    "2 packed compiled",
)
JUDGE = (
    Setting(
        name="alpaca-8b-lora",
        model="meta-llama/Llama-3.1-8B",
        method="lora",
        lengths=(130, 768),
        rows=20_000,
        cap_gib=80,
        points=EVERY,
    ),
    Setting(
        name="chat-7b-qlora",
        model="Qwen/Qwen2.5-7B",
        method="qlora",
        lengths=(400, 2048),
        rows=6_000,
        cap_gib=24,
        targets="all-linear",
        points=EVERY,
    ),
    Setting(
        name="long-1b-full",
        model="meta-llama/Llama-3.2-1B",
        method="full",
        dtype="bfloat16",
        lengths=2048,
        rows=4_000,
        cap_gib=40,
        points=EVERY,
    ),
    Setting(
        name="chat-4b-lora",
        model="Qwen/Qwen3-4B",
        method="lora",
        lengths=(500, 2048),
        rows=6_000,
        cap_gib=48,
        points=EVERY,
    ),
    Setting(
        name="short-3b-qlora",
        model="meta-llama/Llama-3.2-3B",
        method="qlora",
        lengths=(90, 512),
        rows=20_000,
        cap_gib=12,
        points=EVERY,
    ),
    Setting(
        name="docs-360m-full",
        model="HuggingFaceTB/SmolLM2-360M",
        method="full",
        dtype="float32",
        lengths=(60, 256),
        rows=20_000,
        cap_gib=16,
        points=EVERY,
    ),
)
SETS: dict[str, tuple[Setting, ...]] = {"calibrate": CALIBRATE, "judge": JUDGE}


def known() -> dict[str, Setting]:
    """Return all settings by name."""
    return {setting.name: setting for group in SETS.values() for setting in group}


def told(setting: Setting) -> dict[str, Any]:
    """Return a setting as JSON, without its points."""
    return {name: value for name, value in asdict(setting).items() if name != "points"}
