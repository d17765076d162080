"""How long a run takes, and what it costs: a plan's work, held against what a card was seen to do.

A micro-batch takes the longer of two times: what the card computes and moves (`arithmetic.py`'s
counts over its datasheet rates, times the share of them that steps were seen to reach), and what
the host takes to launch it, block by block, adapter by adapter. A step is its micro-batches, the
optimizer's pass over the trained weights, and a constant.

Where the constants are from (`python bench/speed/fit.py FILE...` prints them anew):

- One NVIDIA H200, 2026-11-24, torch 2.11, transformers 5.23, trl 1.16, peft 0.21.2, bitsandbytes
  0.50.2: the fourteen runs of bench/methods/results.jsonl. The fit lies within 15 % of them, and
  one that did not see the row within a factor of 1.27.
- One Tesla T4, 2026-09, torch 2.10 and 2.14, another training loop: twelve public rows of
  fitcheck-llm (MIT; LoRA in float16 under SDPA). The fit lies within 25 %, unseen 1.27.

No other card was measured. Theirs are datasheet rates times the geometric mean of the two
measured cards' shares, and their interval is wider: with the shares of the other one, each of the
two lies within a factor of 1.76. What is not modelled: several cards (taken to scale without
loss), torch.compile, offload and paging, experts, the CPU; loading and saving are not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ftspec.compiler.arithmetic import Job, Load, load
from ftspec.compiler.facts.gpus import Gpu
from ftspec.compiler.facts.lengths import Lengths
from ftspec.compiler.facts.model import Shape
from ftspec.compiler.memory.work import Work
from ftspec.compiler.plan import Plan


@dataclass(frozen=True, slots=True)
class Share:
    """The shares of a card's rates that steps reach, and the factor that holds the errors seen.

    products: of the dense rate; moved: of the bandwidth. spread: measured times lie within the
    predicted one divided by it and multiplied by it.
    """

    products: float
    moved: float
    spread: float


@dataclass(frozen=True, slots=True)
class Host:
    """Seconds that the host takes, once a pass, to launch what there is to do; and a step's own.

    block: of a block; adapter: of an adapter; quantized: to dequantize a layer; cast: to cast a
    layer's weights; selective: of a block that is run under selective checkpointing.
    """

    block: float
    adapter: float
    quantized: float
    cast: float
    selective: float
    step: float

    def launches(self, work: Load) -> float:
        """Return the seconds that a micro-batch's launches take."""
        return (
            self.block * work.blocks
            + self.adapter * work.adapters
            + self.quantized * work.quantized
            + self.cast * work.cast
            + self.selective * work.selective
        )


MEASURED = {"NVIDIA H200": Share(0.594, 0.975, 1.35), "Tesla T4": Share(0.449, 0.524, 1.35)}
OTHERS = Share(0.516, 0.715, 1.8)
HOST = Host(1.61e-3, 0.240e-3, 0.176e-3, 0.0792e-3, 2.88e-3, 39.5e-3)
HOST_SPREAD = 2.0  # hosts differ: half to twice that time
ATTENTION = 0.5  # of the products' share: taken, not fitted
RANKS_SPREAD = 1.5  # several cards were not measured: at worst a third of their work is lost


@dataclass(frozen=True, slots=True)
class Speed:
    """A run's speed and length; what is not known is None, and `note` says why.

    tokens: real ones (no padding) that the run trains on. The rate is of all ranks together, with
    padding left out; `low` and `high` are the ends of its interval. seconds: the whole run with
    its evaluations, from its first step; `seconds_low` belongs to `high`. cost: in the currency
    of `hardware.price_per_hour`. measured: this kind of card was measured.
    """

    tokens: int | None = None
    tokens_per_second: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    cost: float | None = None
    cost_low: float | None = None
    cost_high: float | None = None
    measured: bool = False
    note: str = ""


def estimate(
    plan: Plan,
    shape: Shape | None,
    gpu: Gpu | None,
    lengths: Lengths | None = None,
    price_per_hour: float | None = None,
) -> Speed:
    """Estimate the speed of a plan on the kind of card that it was made for.

    shape: the model's; gpu: the card, None for the CPU; lengths: of the data's rows, without
    which every row has `max_length` tokens.
    """
    rows = _rows(plan, lengths)
    tokens = _tokens(plan, rows) if lengths is not None else None
    unknown = _not_predicted(shape, gpu)
    if unknown or shape is None or gpu is None:
        return Speed(tokens, note=unknown)
    job = job_of(plan, shape, rows.padded, differ=rows.padded > rows.mean)
    times = step_seconds(job, gpu)
    ranks = plan.train.rows_a_step / (job.batch * job.accumulation)
    if ranks > 1:
        times = replace(times, high=times.high * RANKS_SPREAD)
    a_step = plan.train.rows_a_step * rows.mean
    speed = Speed(
        tokens,
        a_step / times.likely,
        a_step / times.high,
        a_step / times.low,
        measured=gpu.name in MEASURED,
        note=_note(plan, gpu, lengths, ranks),
    )
    total = plan.train.total_steps
    if total is None:
        return speed
    whole = times.times(total).plus(_evaluations(plan, job, gpu, total, ranks))
    hourly = None if price_per_hour is None else price_per_hour / 3600
    return replace(
        speed,
        seconds=whole.likely,
        seconds_low=whole.low,
        seconds_high=whole.high,
        cost=None if hourly is None else hourly * whole.likely,
        cost_low=None if hourly is None else hourly * whole.low,
        cost_high=None if hourly is None else hourly * whole.high,
    )


@dataclass(frozen=True, slots=True)
class Times:
    """A predicted time in seconds, and the ends of its interval."""

    likely: float
    low: float
    high: float

    def times(self, count: float) -> Times:
        """Return the time of doing it `count` times."""
        return Times(self.likely * count, self.low * count, self.high * count)

    def plus(self, other: Times) -> Times:
        """Return the time of one after the other."""
        return Times(self.likely + other.likely, self.low + other.low, self.high + other.high)


def step_seconds(
    job: Job,
    gpu: Gpu,
    *,
    backward: bool = True,
    whole: bool = True,
    share: Share | None = None,
    host: Host = HOST,
) -> Times:
    """Predict an optimizer step of one rank; `backward=False`: a batch's evaluation.

    `whole=False`: its micro-batches alone, without what comes once a step.
    """
    share = share or MEASURED.get(gpu.name, OTHERS)
    work = load(job, backward=backward)
    card, launches = card_seconds(work, gpu, share), host.launches(work)
    after = work.optimizer / (share.moved * gpu.bandwidth) if backward else 0.0
    fixed = host.step if backward else host.step / 4
    if not whole:
        after = fixed = 0.0

    def step(card_factor: float, host_factor: float) -> float:
        micro = max(card * card_factor, launches * host_factor)
        return job.accumulation * micro + after * card_factor + fixed * host_factor

    spread = max(share.spread, HOST_SPREAD)
    return Times(step(1, 1), step(1 / share.spread, 1 / spread), step(share.spread, spread))


def card_seconds(work: Load, gpu: Gpu, share: Share) -> float:
    """What the card takes for a micro-batch, in seconds."""
    rate = share.products * (gpu.bf16_flops or gpu.fp16_flops)
    computed = work.products / rate + work.attention / (ATTENTION * rate)
    return computed + (work.moved + work.dequantized) / (share.moved * gpu.bandwidth)


def job_of_work(work: Work, padded: float) -> Job:
    """Return one rank's step of a set-up; padded: tokens of a row with its padding."""
    return Job(
        shape=work.shape,
        method=work.method,
        batch=work.batch,
        length=padded,
        accumulation=work.accumulation,
        rank=work.rank,
        targets=work.targets,
        quantized=work.quantization != "none",
        checkpointing=work.checkpointing,
        attention=work.attention,
        virtual_tokens=work.virtual_tokens,
        trained=work.trainable,
        autocast=work.dtype == "float32" and work.autocast is not None,
        short_adapters=work.quantization != "none" and work.autocast != "float16",
        masked=(work.batch > 1 and work.padded) or work.packed,
        full_logits=work.full_logits,
    )


def job_of(plan: Plan, shape: Shape, padded: float, *, differ: bool = True) -> Job:
    """Return one rank's step of a plan.

    padded: tokens of a row with its padding; differ: whether rows differ in length.
    """
    train, method = plan.train, plan.method
    targets = method.target_modules or ()
    if targets == ("all-linear",):
        targets = tuple(name for name, _, _ in shape.linears())
    quantized = method.quantization != "none"
    job = Job(
        shape=shape,
        method=method.type,
        batch=train.batch_size,
        length=padded,
        accumulation=train.gradient_accumulation,
        rank=method.r or 0,
        targets=targets,
        quantized=quantized,
        checkpointing=train.activation_checkpointing,
        attention=plan.model.attention,
        virtual_tokens=method.num_virtual_tokens or 0,
        autocast=plan.model.dtype == "float32" and train.precision != "none",
        short_adapters=quantized and train.precision != "fp16",
        masked=(differ and train.batch_size > 1) or plan.data.packing,
        full_logits=train.label_smoothing > 0,
    )
    if method.type == "full":
        return replace(job, trained=plan.model.parameters or 0)
    trained = shape.layers * job.rank * sum(sum(pair) for pair in job.adapted)
    heads = len({"lm_head", "embed_tokens", "wte"} & set(method.modules_to_save or ()))
    return replace(job, trained=trained + heads * shape.vocab * shape.hidden)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Tokens a row: really, and with the padding to the longest of its micro-batch."""

    mean: float
    padded: float


def _rows(plan: Plan, lengths: Lengths | None) -> _Rows:
    longest = float(plan.data.max_length)
    if lengths is None or plan.data.packing:
        return _Rows(longest, longest)
    cut = [min(tokens, longest) for tokens in lengths.tokens]
    mean, micro = sum(cut) / len(cut), plan.train.batch_size
    # The longest of m rows lies, on average, near the quantile m / (m + 1).
    return _Rows(mean, max(mean, min(longest, lengths.quantile(micro / (micro + 1)))))


def _tokens(plan: Plan, rows: _Rows) -> int | None:
    """Count the tokens of the whole run."""
    train = plan.train
    if train.max_steps is not None:
        return round(train.max_steps * train.rows_a_step * rows.mean)
    if train.total_steps is None or train.steps_an_epoch is None or train.epochs is None:
        return None
    if plan.data.packing:
        return round(train.total_steps * train.rows_a_step * rows.mean)
    return round((plan.data.train_rows or 0) * train.epochs * rows.mean)


def _evaluations(plan: Plan, job: Job, gpu: Gpu, total: int, ranks: float) -> Times:
    """Predict all evaluations of a run together."""
    data, train = plan.data, plan.train
    if data.eval_from == "none" or not data.eval_rows:
        return Times(0.0, 0.0, 0.0)
    batches = math.ceil(data.eval_rows / (train.eval_batch_size * ranks))
    batch = replace(job, batch=train.eval_batch_size, accumulation=1, checkpointing=False)
    once = step_seconds(batch, gpu, backward=False)
    return once.times(batches * (total // train.eval_steps))


def _not_predicted(shape: Shape | None, gpu: Gpu | None) -> str:
    """Say why no speed is predicted; empty where one is."""
    if gpu is None:
        return "speed is not predicted on the CPU"
    if shape is None or shape.family is None:
        return "the model's shape is not known"
    if shape.experts:
        return "the speed of models with experts is not predicted"
    return ""


def _note(plan: Plan, gpu: Gpu, lengths: Lengths | None, ranks: float) -> str:
    """Say what the estimate does not know."""
    notes = []
    if gpu.name not in MEASURED:
        notes.append(f"{gpu.name} was not measured: scaled from other cards by datasheet rates")
    if lengths is None:
        notes.append("every row is taken to have `max_length` tokens")
    if ranks > 1 or plan.hardware.split_model:
        notes.append("several cards were not measured")
    if plan.train.compile:
        notes.append("what torch.compile gains is not counted")
    if plan.train.optimizer.startswith("paged"):
        notes.append("paging is not counted")
    if plan.method.quantization == "int8":
        notes.append("int8 was not measured: taken as 4-bit")
    return "; ".join(notes)
