"""What is injected, and how it is judged: written down before the first run that counts.

A variation is a healthy recipe, drawn by its number alone: base, method, rank, batch,
accumulation, schedule, how often is logged, domain, seed. A fault changes one thing in it: a key
of the spec, or the program (`bug`). Nothing here is taken from the rules of the doctor, and
nothing in the doctor knows of this file.

Arms, a variation and kind each: *twin*, the healthy recipe; *fault*; *repaired*, the fault's
spec after `ftspec diagnose --apply` of the fault's log (the run's folder with an even number, the
text that the run printed with an odd one); *again*, the same once more where the repaired run
still has a warning; *random*, a prescription drawn evenly from DRAWN; *tenth*, the learning rate
divided by 10.

Judgement, on 160 rows that were held out, by their loss under the final model, each row whole and
rendered with the base's own template, whatever the spec says:

- A fault *counts* where its loss is more than 5 % above its twin's, or not finite. One that did no
  harm is listed and not counted. A bug of the program, and a loss that is reported too large,
  count always: what they cost is not held-out loss.
- *Found*: among the warnings and errors is one that FOUND lists for the kind.
- *Repaired*: the loss is within 5 % above the twin's (or below it). For a loss that is reported
  too large, the training loss must come down to under 1.5 times the held-out loss as well.
- A bug of the program cannot be mended by a patch of the spec. It is *named* where the first
  finding is one of NAMED, and its first prescription is in words and changes no key. These are
  counted apart. A random draw names it where it draws those words; a tenth of the rate never.
- Twins are healthy: a warning about one is a false alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from loop_train import Job

VARIATIONS = 10
WITHIN = 1.05
RUNAWAY = {"diverges", "lr-too-high", "nan", "spikes", "grad-explosion"}
SLOW = {"flat", "plateau"}
NOTHING = {"zero-loss", "nan"}

# kind -> the findings that name it
FOUND: Mapping[str, set[str]] = {
    "rate-x30": RUNAWAY,
    "rate-100th": SLOW,
    "batch-of-1": {"oscillates", "spikes"},
    "epochs-on-60-rows": {"overfits", "overfits-mild", "memorises"},
    "float16": {"nan", "grad-nan"},
    "answers-cut": NOTHING,
    "other-template": NOTHING,
    "rate-x100": RUNAWAY,
    "endless-warmup": SLOW | {"lr-schedule", "lr-zero"},
    "loss-summed": {"loss-scale", "scale-mismatch"},
    "optimizer-unwired": {"dead-gradient", "flat"},
    "resume-lost": {"resume-discontinuity", "lr-schedule"},
    "scheduler-short": {"lr-schedule"},
    "scheduler-still": {"lr-schedule"},
}
# bugs of the program -> what must come first
NAMED: Mapping[str, set[str]] = {
    "optimizer-unwired": {"dead-gradient", "flat"},
    "resume-lost": FOUND["resume-lost"],
    "scheduler-short": {"lr-schedule"},
    "scheduler-still": {"lr-schedule"},
}
RIGHT: Mapping[str, str] = {
    "rate-x30": "the learning rate back, to about what it was",
    "rate-100th": "the learning rate back, to about what it was",
    "batch-of-1": "a larger effective batch",
    "epochs-on-60-rows": "fewer epochs, or early stopping",
    "float16": "bfloat16 or float32",
    "answers-cut": "a larger `data.max_length`",
    "other-template": "the tokenizer's own chat template",
    "rate-x100": "the learning rate back, to about what it was",
    "endless-warmup": "a warm-up that is a small share of the run",
    "loss-summed": "no accumulation, or a program that divides by it",
    "optimizer-unwired": "in words: an optimizer that holds the adapter's weights",
    "resume-lost": "in words: resume with the optimizer's and the scheduler's state",
    "scheduler-short": "in words: a scheduler made for all steps that are run",
    "scheduler-still": "in words: step the scheduler",
}
HARM_IS_ELSEWHERE = (*NAMED, "loss-summed")
TOO_LARGE = 1.5  # training loss over held-out loss, after `loss-summed` was treated

# One prescription each of what the doctor can give; words stand for advice that names a bug.
DRAWN: tuple[str, ...] = (
    *("rate x10", "rate x3", "rate /2", "rate /5", "rate /10", "rate usual"),
    *("batch x2", "batch x4", "no accumulation", "epochs half", "epochs x1.5", "dropout"),
    *("early stopping", "warm-up 0.03", "warm-up 0.1", "bfloat16", "length x4", "template"),
    *("alpha", "rank 16", "clip", "linear", "checkpointing", "half micro-batch"),
    *("words: optimizer", "words: resume", "words: schedule", "words: data", "words: more data"),
)
WORDS: Mapping[str, str] = {
    "optimizer-unwired": "words: optimizer",
    "resume-lost": "words: resume",
    "scheduler-short": "words: schedule",
    "scheduler-still": "words: schedule",
}


@dataclass(frozen=True)
class Recipe:
    """The keys of a spec, by their paths, and what the program does beside them."""

    keys: Mapping[str, Any]
    domain: int
    rows: int
    bug: str = ""
    place: float = 0.0

    def with_(self, **changes: Any) -> Recipe:
        """Return the recipe with keys changed; `__` in a name is a dot."""
        keys = {name.replace("__", "."): value for name, value in changes.items()}
        return replace(self, keys={**self.keys, **keys})

    def job(self) -> Job:
        """Write the recipe as a spec."""
        return Job(spec_text(self.keys), self.domain, self.rows, self.bug, self.place)


def spec_text(keys: Mapping[str, Any]) -> str:
    """Write keys as a spec; None leaves one open."""
    lines, section = [], ""
    for path, value in sorted(keys.items()):
        if value is None:
            continue
        head, key = path.split(".")
        if head != section:
            lines.append(f"{head}:")
            section = head
        lines.append(f"  {key}: {value}")
    return "\n".join(lines) + "\n"


def healthy(variation: int) -> Recipe:
    """Draw a healthy recipe."""
    pick = Random(f"closed loop {variation}")
    micro, steps = pick.choice(((16, 1), (8, 2), (4, 4), (8, 1)))
    total = pick.randrange(150, 200)
    keys: dict[str, Any] = {
        "model.name": pick.choice(("base-a", "base-b")),
        "data.train": "rows.jsonl",
        "data.eval": "held_out.jsonl",
        "method.type": "lora",
        "method.r": RANK,
        "method.alpha": ALPHA * RANK,
        "method.dropout": pick.choice((0.0, 0.05)),
        "method.target_modules": "all-linear",
        "train.batch_size": micro,
        "train.gradient_accumulation": steps,
        "train.epochs": 3,
        "train.learning_rate": pick.choice((2e-4, 3e-4, 4e-4)),
        "train.scheduler": pick.choice(("linear", "linear", "cosine")),
        "train.warmup": 0.05,
        "train.logging_steps": pick.choice((1, 2, 3)),
        "train.eval_steps": total // 10,
        "train.seed": pick.randrange(10_000),
    }
    return Recipe(keys, variation, total * micro * steps // 3)


RANK, ALPHA = 64, 4  # high ones: the models are small, and so are the usual rates for them
FULL_RATE = 5e-4
# A model this small wants a rate, trained in full, that the doctor takes for far too high: it
# knows no sizes. What it says of rates is judged on adapters.
ALSO_IN_FULL = (
    *("batch-of-1", "epochs-on-60-rows", "loss-summed", "resume-lost"),
    *("scheduler-short", "scheduler-still"),
)
FEW = 60  # rows
FEW_TWIN = 6  # epochs on them


def injected(kind: str, variation: int) -> tuple[Recipe, Recipe]:
    """Return a variation's healthy recipe and the same with a fault of a kind."""
    twin, pick = healthy(variation), Random(f"closed loop {kind} {variation}")
    rate, steps = twin.keys["train.learning_rate"], _steps(twin)
    if variation % 5 == 0 and kind in ALSO_IN_FULL:
        twin = _in_full(twin)
    match kind:
        case "rate-x30":
            return twin, twin.with_(train__learning_rate=rate * 30)
        case "rate-100th":
            return twin, twin.with_(train__learning_rate=rate / 100)
        case "batch-of-1":
            alone = {"train__batch_size": 1, "train__gradient_accumulation": 1}
            return twin, twin.with_(**alone, train__epochs=None, train__max_steps=steps)
        case "epochs-on-60-rows":
            alone = {"train__batch_size": 8, "train__gradient_accumulation": 1}
            few = replace(
                twin.with_(**alone, train__epochs=FEW_TWIN, train__eval_steps=8), rows=FEW
            )
            return few, few.with_(train__epochs=pick.randrange(20, 41), train__eval_steps=15)
        case "float16":
            return twin, twin.with_(model__dtype="float16")
        case "answers-cut":
            return twin, twin.with_(data__max_length=pick.randrange(8, 12))
        case "other-template":
            return twin, twin.with_(model__chat_template="other.jinja")
        case "rate-x100":  # a slip in the exponent: 2e-2 for 2e-4
            return twin, twin.with_(train__learning_rate=rate * 100)
        case "endless-warmup":
            return twin, twin.with_(train__warmup=pick.randrange(5_000, 20_000))
        case "loss-summed":
            steps = pick.choice((4, 8))
            twin = twin.with_(train__batch_size=16 // steps, train__gradient_accumulation=steps)
            return twin, replace(twin, bug=kind)
        case "optimizer-unwired":
            bug = ("optimizer-before-adapter", "optimizer-of-a-copy")[variation % 2]
            return twin, replace(twin, bug=bug)
        case "resume-lost":
            return twin, replace(twin, bug=kind, place=pick.uniform(0.5, 0.9))
        case "scheduler-short":
            return twin, replace(twin, bug=kind, place=pick.uniform(0.2, 0.6))
    return twin, replace(twin, bug=kind)


def _in_full(recipe: Recipe) -> Recipe:
    """Train all weights instead, at a rate that small models want."""
    kept = {key: value for key, value in recipe.keys.items() if not key.startswith("method.")}
    full = {"method.type": "full", "train.learning_rate": FULL_RATE}
    return replace(recipe, keys=kept | full)


def _steps(recipe: Recipe) -> int:
    batch = recipe.keys["train.batch_size"] * recipe.keys["train.gradient_accumulation"]
    return int(recipe.rows * recipe.keys["train.epochs"] // batch)


def drawn(kind: str, variation: int) -> str:
    """Draw a prescription, evenly, whatever the fault."""
    return Random(f"closed loop draw {kind} {variation}").choice(DRAWN)


def changed(name: str, recipe: Recipe) -> Recipe | None:
    """Make a drawn change in a recipe; None where it changes nothing that this program reads."""
    keys = recipe.keys
    rate, epochs = keys["train.learning_rate"], keys.get("train.epochs")
    micro, steps = keys["train.batch_size"], keys["train.gradient_accumulation"]
    lora = keys["method.type"] == "lora"
    match name.split():
        case ["rate", "usual"]:
            return recipe.with_(train__learning_rate=2e-4 if lora else 2e-5)
        case ["rate", by]:
            times = float(by[1:])
            return recipe.with_(train__learning_rate=rate * times if by[0] == "x" else rate / times)
        case ["batch", by]:
            return recipe.with_(train__gradient_accumulation=steps * int(by[1:]))
        case ["no", "accumulation"] if steps > 1:
            return recipe.with_(train__batch_size=micro * steps, train__gradient_accumulation=1)
        case ["epochs", by] if epochs:
            return recipe.with_(train__epochs=epochs / 2 if by == "half" else epochs * 1.5)
        case ["dropout"] if lora:
            return recipe.with_(method__dropout=0.1)
        case ["early", "stopping"]:
            return recipe.with_(train__early_stopping="true")
        case ["warm-up", share]:
            return recipe.with_(train__warmup=float(share))
        case ["bfloat16"]:
            return recipe.with_(model__dtype="bfloat16")
        case ["length", "x4"] if "data.max_length" in keys:
            return recipe.with_(data__max_length=4 * keys["data.max_length"])
        case ["template"] if "model.chat_template" in keys:
            return recipe.with_(model__chat_template=None)
        case ["alpha"] if lora:
            return recipe.with_(method__alpha=2 * keys["method.r"])
        case ["rank", "16"] if lora and keys["method.r"] != 16:
            return recipe.with_(method__r=16)
        case ["linear"] if keys["train.scheduler"] != "linear":
            return recipe.with_(train__scheduler="linear")
        case ["half", "micro-batch"] if micro > 1:
            return recipe.with_(
                train__batch_size=micro // 2, train__gradient_accumulation=steps * 2
            )
    return None
