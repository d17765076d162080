"""The grid of cases, and the pool that capped cases are chosen from: drawn by fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from cases import FRESH, LARGE, MIXTURES, SCORE, TUNE, Case
from rough import GIB, rough_bytes, rough_flops, shape_and_size

LENGTHS = (256, 384, 512, 777, 1024, 1536, 2048, 3072, 4096, 6000, 8192, 16384)
BATCHES = (1, 1, 2, 2, 3, 4, 4, 6, 8, 16, 32)
RANKS = (4, 8, 16, 32, 64, 128)
OPTIMIZERS = (
    "adamw_torch_fused",
    "adamw_torch",
    "adamw_8bit",
    "adafactor",
    "paged_adamw_8bit",
    "sgd",
    "paged_adamw_32bit",
)
NO_SDPA = ("bloom", "codegen", "gpt_neo", "gptj", "mpt")  # transformers 5.23 has eager alone
SIZES = (10, 15, 20, 30, 50, 100)  # GiB at most, of the candidates for capped runs
GRID_LIMIT = 56 * GIB  # so that two of the largest run at once on one card
STEP_LIMIT = 2.0e15  # FLOPs of a step: 5 s at 400 TFLOP/s
# Method and options of the drawn cells of each architecture.
CELLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("full", {"dtype": "float32"}),
    ("full", {"dtype": "bfloat16"}),
    ("full", {}),
    ("lora", {"targets": "attention-min"}),
    ("lora", {"targets": "attention"}),
    ("lora", {"targets": "all-linear"}),
    ("lora", {"checkpointing": False}),
    ("qlora", {"targets": "attention"}),
    ("qlora", {"targets": "all-linear"}),
    ("qlora", {}),
    ("prefix", {}),
    ("prompt", {}),
    ("lora", {"long": True}),
    ("qlora", {"packed": True}),
)
# Two models of each split, tied and untied, for the options that no cell draws.
CHOSEN = (
    "Qwen/Qwen2.5-1.5B",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "Qwen/Qwen3-1.7B",
    "allenai/OLMo-2-0425-1B",
)
FRESH_CELLS = 4  # of each fresh architecture: a full one, a LoRA, a 4-bit one, and any other
MIXTURE_CELLS = (1, 4, 5, 6, 7, 11)  # no prefix: trl 1.16 cannot train one on a mixture


def grid() -> tuple[Case, ...]:
    """Return all grid cases: the drawn cells of each architecture, then the chosen ones."""
    found: dict[str, Case] = {}
    for architecture, models in (TUNE | SCORE).items():
        for number, (method, options) in enumerate(CELLS):
            if architecture in MIXTURES and number not in MIXTURE_CELLS:
                continue
            rng = Random(f"{architecture}/{number}")
            optimizer = OPTIMIZERS[(number + len(architecture)) % len(OPTIMIZERS)]
            case = draw(rng, models, method, GRID_LIMIT, optimizer, **options)
            found.setdefault(case.id, case)
    for case in (*chosen(), *fresh()):
        found.setdefault(case.id, case)
    return tuple(found.values())


def fresh() -> Iterator[Case]:
    """Yield the cases of the fresh architectures: some cells of each, drawn as the others are."""
    for architecture, models in FRESH.items():
        rng = Random(f"fresh/{architecture}")
        numbers = {rng.choice(group) for group in ((0, 1, 2), (3, 4, 5, 6), (7, 8, 9))}
        rest = [number for number in range(len(CELLS)) if number not in numbers]
        if architecture in MIXTURES:
            rest = [number for number in rest if number in MIXTURE_CELLS]
        numbers |= set(rng.sample(rest, FRESH_CELLS - len(numbers)))
        for number in sorted(numbers):
            method, options = CELLS[number]
            fixed = {"attention": "eager"} if architecture in NO_SDPA else {}
            optimizer = OPTIMIZERS[(number + len(architecture)) % len(OPTIMIZERS)]
            yield draw(
                Random(f"fresh/{architecture}/{number}"),
                models,
                method,
                GRID_LIMIT,
                optimizer,
                **options,
                **fixed,
            )


def pool(count: int = 480) -> tuple[Case, ...]:
    """Return candidates for capped runs, without their caps: `capped.py` gives them.

    Each is drawn to a size, so that there are as many of large sizes as of small ones.
    """
    cases: dict[str, Case] = {}
    every = TUNE | SCORE
    names = [name for name in every if name not in MIXTURES]
    number = 0
    while len(cases) < count:
        rng = Random(f"capped/{number}")
        method = rng.choice(("full", "lora", "lora", "qlora", "qlora", "qlora", "prefix", "prompt"))
        models, size = every[names[number % len(names)]], SIZES[number % len(SIZES)] * GIB
        case = draw(rng, models, method, size, rng.choice(OPTIMIZERS[:4]), least=size // 2)
        cases.setdefault(case.id, case)
        number += 1
    return tuple(cases.values())


def draw(
    rng: Random,
    models: tuple[str, ...],
    method: str,
    limit: int,
    optimizer: str,
    *,
    least: int = 0,
    long: bool = False,
    packed: bool = False,
    **fixed: Any,
) -> Case:
    """Draw one case of `least` to `limit` bytes, by a rough estimate; the smallest if none is."""
    best: Case | None = None
    for _ in range(400):
        case = _attempt(rng, models, method, optimizer, long, packed, fixed)
        size = rough_bytes(case)
        if least <= size <= limit and rough_flops(case) <= STEP_LIMIT:
            return case
        best = case if best is None or size < rough_bytes(best) else best
    assert best is not None
    return best


def _attempt(
    rng: Random,
    models: tuple[str, ...],
    method: str,
    optimizer: str,
    long: bool,
    packed: bool,
    fixed: dict[str, Any],
) -> Case:
    model = rng.choice(models)
    shape, _ = shape_and_size(model)
    options: dict[str, Any] = {"attention": "eager" if shape.architecture == "gemma2" else "sdpa"}
    if options["attention"] == "sdpa" and rng.random() < 0.12:
        options["attention"] = "eager"
    options |= _method(rng, method)
    if method in ("full", "lora", "qlora") and rng.random() < (1.0 if method == "full" else 0.3):
        options["optimizer"] = optimizer
    options["checkpointing"] = method != "prefix" and rng.random() < (0.9 if long else 0.5)
    options["virtual"] = rng.choice((8, 20, 64)) if method in ("prefix", "prompt") else 0
    room = shape.positions - options["virtual"]
    fitting = [length for length in LENGTHS if length <= room and (not long or length >= 4096)]
    length = rng.choice(fitting or [max(size for size in LENGTHS if size <= room)])
    batch = rng.choice((1, 2) if long else BATCHES)
    packs = packed or (method in ("full", "lora", "qlora") and rng.random() < 0.08)
    rows = "packed" if packs else "ragged" if batch > 1 and rng.random() < 0.4 else "uniform"
    if rows == "packed":
        length -= length % 4
    options |= {"rows": rows, "accumulation": rng.choice((1, 1, 1, 2, 4))}
    options["eval_batch"] = rng.choice((0, 0, 1, 4, 8)) if batch * length <= 32_768 else 0
    if shape.experts:
        options["weights"] = "random"
    case: dict[str, Any] = {"model": model, "method": method, "batch": batch, "length": length}
    return Case(**case | options | fixed)


def _method(rng: Random, method: str) -> dict[str, Any]:
    if method == "full":
        return {"dtype": rng.choice(("float32", "bfloat16"))}
    if method in ("lora", "qlora"):
        options = {
            "r": rng.choice(RANKS),
            "targets": rng.choice(("attention-min", "attention", "all-linear")),
            "dropout": rng.choice((0.0, 0.05, 0.1)),
        }
        if method == "qlora":
            options["quantization"] = "nf4"
        return options
    return {"quantization": rng.choice(("none", "none", "nf4"))}


def chosen() -> Iterator[Case]:
    """Yield the cases named one by one: what the drawn cells leave out, in both splits."""
    for model in CHOSEN:
        lora: dict[str, Any] = {"model": model, "method": "lora", "r": 16, "targets": "attention"}
        qlora = {**lora, "method": "qlora", "quantization": "nf4"}
        wide = {"targets": "all-linear", "dropout": 0.05}
        yield Case(**qlora | {"quantization": "int8"}, batch=4, length=1024)
        yield Case(**qlora | {"quantization": "fp4"} | wide, batch=2, length=2048)
        yield Case(**qlora, double_quant=False, batch=4, length=1024, checkpointing=False)
        yield Case(**lora, dtype="float16", batch=4, length=1024)
        yield Case(**lora, dtype="float32", batch=2, length=1024, checkpointing=False)
        yield Case(**lora | wide, dora=True, weights="random", batch=2, length=1024)
        yield Case(**lora, rslora=True, batch=8, length=512, checkpointing=False, save=True)
        yield Case(**lora, saved=("lm_head",), batch=2, length=1024)
        yield Case(**lora | wide, checkpointing="selective", batch=4, length=2048)
        yield Case(**qlora | wide, checkpointing="selective", batch=8, length=1024, rows="ragged")
        yield Case(**lora, label_smoothing=0.1, batch=2, length=1024, eval_batch=2)
        yield Case(**qlora, attention="eager", batch=4, length=1024, rows="ragged", eval_batch=8)
        yield Case(model=model, method="full", dtype="bfloat16", batch=2, length=1024, save=True)
    yield from _large()


def _large() -> Iterator[Case]:
    """Yield a case of each model over 9B, 4-bit, and two of 70B."""
    for models in LARGE.values():
        for number, model in enumerate(models):
            shape, size = shape_and_size(model)
            length = min(2048, shape.positions)
            yield Case(
                model=model,
                method="qlora",
                quantization="nf4",
                r=(16, 64)[number % 2],
                targets=("all-linear", "attention")[number % 2],
                dropout=0.05 * (number % 2),
                batch=1 if size > 40e9 else 2,
                length=length,
                rows="uniform" if size > 40e9 else "ragged",
                eval_batch=0 if size > 40e9 else 2,
            )
    for model in ("meta-llama/Meta-Llama-3-70B", "Qwen/Qwen2.5-72B"):
        wide: dict[str, Any] = {"quantization": "nf4", "r": 16, "targets": "attention"}
        yield Case(model=model, method="qlora", batch=4, length=512, rows="ragged", **wide)
    yield Case(
        model="Qwen/Qwen3-14B", method="lora", r=16, targets="attention", batch=1, length=512
    )
