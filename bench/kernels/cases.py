"""Forward and backward of embedding, norms, softmax, indexing, chunked loss, reductions; cuBLAS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from meter import DEVICE, Task, Thunk, case, emit, integers, normal, peak_of, rounded, storages

BF16, FP32 = torch.bfloat16, torch.float32


def cublas() -> Iterator[Task]:
    """What the first products of a thread or stream leave allocated; only a fresh process tells."""
    yield "cublas", _first_products


def _first_products() -> None:
    a, w, bias = normal(512, 512), normal(512, 512), normal(512)
    single = normal(512, 512, dtype=FP32, grad=False)
    batch = normal(4, 512, 512, grad=False)
    y = _first("mm", "first mm, forward thread", lambda: a @ w)
    gradients = 2 * rounded(a.nbytes)
    _first("mm", "first mm, autograd thread", lambda: y.sum().backward(), gradients)
    _first("addmm", "first addmm with bias (Lt)", lambda: F.linear(a, w, bias))
    _first("mm", "first fp32 mm", lambda: single @ single)
    _first("bmm", "first bmm", lambda: torch.bmm(batch, batch))
    with torch.cuda.stream(torch.cuda.Stream()):
        _first("mm", "first mm, other stream", lambda: a @ w)
    total = torch.zeros(512, 512, device=DEVICE)
    with torch.no_grad():
        _, peak, kept = peak_of(lambda: torch.addmm(total, a, w, out_dtype=FP32, out=total))
    name = "addmm out_dtype fp32 in place"
    emit(op="aten::addmm", case=name, measured=peak, persistent=kept)


def _first(op: str, name: str, thunk: Thunk, made: int = 0) -> Any:
    out, _, kept = peak_of(thunk)
    returned = sum(map(rounded, storages(out).values()))
    emit(op=f"aten::{op}", case=name, persistent=kept - returned - made)
    return out


def embedding() -> Iterator[Task]:
    """Embedding around 3072 tokens, from which on its backward sorts, and far beyond."""
    for count, vocabulary, width, dtype in (
        (4096, 32000, 1024, BF16),
        (512, 32000, 1024, BF16),
        (3072, 32000, 512, BF16),
        (3073, 32000, 512, BF16),
        (4096, 151936, 1024, FP32),
        (20000, 128256, 512, BF16),
        (1000, 1000, 64, FP32),
        (65536, 50257, 128, BF16),
    ):
        name = f"embedding N{count} V{vocabulary} H{width} {dtype}"
        yield case(name, partial(_embedded, count, vocabulary, width, dtype), F.embedding)
    name = "embedding padding_idx N4096 V32000 H256"
    inputs = partial(_embedded, 4096, 32000, 256, BF16, rows=1)
    yield case(name, inputs, partial(F.embedding, padding_idx=0))


def _embedded(
    count: int, vocabulary: int, width: int, dtype: torch.dtype, rows: int = 2
) -> tuple[Any, ...]:
    return integers(vocabulary, rows, count // rows), normal(vocabulary, width, dtype=dtype)


def layer_norm() -> Iterator[Task]:
    """Layer norm, RMS norm, a frozen layer norm, and RMS norm as transformers writes it."""
    for count, width, dtype in (
        (4096, 4096, BF16),
        (1000, 768, BF16),
        (16384, 2048, FP32),
        (100, 1024, BF16),
        (65536, 768, BF16),
        (3000, 1000, FP32),
    ):
        size = f"N{count} H{width} {dtype}"
        inputs = partial(_normed, count, width, dtype)
        yield case(f"layer_norm {size}", partial(inputs, scales=2), _layer_norm)
        yield case(f"rms_norm {size}", partial(inputs, scales=1), _rms_norm)
    frozen = partial(_normed, 4096, 4096, BF16, scales=2, train=False)
    yield case("layer_norm frozen N4096 H4096", frozen, _layer_norm)
    yield case("python rms norm", partial(_normed, 4096, 4096, BF16, scales=1), _python_rms_norm)


def _normed(
    count: int, width: int, dtype: torch.dtype, scales: int, train: bool = True
) -> tuple[Any, ...]:
    weights = [normal(width, dtype=dtype, grad=train) for _ in range(scales)]
    return normal(2, count // 2, width, dtype=dtype), *weights


def _layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    return F.layer_norm(x, x.shape[-1:], weight, bias)


def _rms_norm(x: Any, weight: Any) -> Any:
    return F.rms_norm(x, x.shape[-1:], weight, 1e-6)


def _python_rms_norm(x: Any, weight: Any) -> Any:
    h = x.float()
    h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)
    return weight * h.to(x.dtype)


def softmax() -> Iterator[Task]:
    """Softmax of scores as eager attention writes it, and losses over a vocabulary."""
    for shape in ((2, 8, 512, 512), (1, 8, 2048, 2048), (1, 2, 1000, 3000)):
        yield from _softmax(shape)
    for count, vocabulary in ((1024, 32000), (2048, 151936), (512, 50257)):
        yield from _losses(count, vocabulary)


def _softmax(shape: tuple[int, ...]) -> Iterator[Task]:
    def half() -> tuple[Any, ...]:
        return (normal(*shape),)

    def in_float(x: Any) -> Any:
        return F.softmax(x, -1, dtype=FP32).to(BF16)

    last = partial(F.softmax, dim=-1)
    yield case(f"softmax half_to_float {shape}", half, in_float)
    yield case(f"softmax bf16 {shape}", half, last)
    yield case(f"softmax fp32 {shape}", lambda: (normal(*shape, dtype=FP32),), last)


def _losses(count: int, vocabulary: int) -> Iterator[Task]:
    size = f"N{count} V{vocabulary}"
    loss = F.cross_entropy

    def half() -> tuple[Any, ...]:
        return (normal(count, vocabulary),)

    def labelled(dtype: torch.dtype = BF16) -> tuple[Any, ...]:
        return normal(count, vocabulary, dtype=dtype), integers(vocabulary, count)

    yield case(f"cross_entropy of float() {size}", labelled, lambda x, y: loss(x.float(), y))
    yield case(f"cross_entropy sum bf16 {size}", labelled, partial(loss, reduction="sum"))
    yield case(f"log_softmax dtype fp32 {size}", half, partial(F.log_softmax, dim=-1, dtype=FP32))
    inputs = partial(labelled, FP32)
    yield case(f"label smoothing {size}", inputs, partial(loss, label_smoothing=0.1))
    yield case(f"logsumexp {size}", half, partial(torch.logsumexp, dim=-1))


def index() -> Iterator[Task]:
    """Rows by mask and by number, scattered sums, and what mixtures of experts sort and count."""
    for count, width in ((4096, 4096), (20000, 1024)):
        yield from _masked(count, width)
        yield from _by_number(count, width)
        yield from _counted(count)


def _masked(count: int, width: int) -> Iterator[Task]:
    def hidden(share: float) -> tuple[Any, ...]:
        mask = torch.rand(2, count // 2, device=DEVICE) < share
        return normal(2, count // 2, width), mask

    def flat() -> tuple[Any, ...]:
        mask = torch.rand(count, device=DEVICE) < 0.7
        return normal(count, width, grad=False), mask

    def rows() -> tuple[Any, ...]:
        return normal(count, width), torch.rand(count, 1, device=DEVICE) < 0.5

    def put(x: Any, mask: Any) -> Any:
        return x.index_put_((mask,), torch.zeros((), device=DEVICE, dtype=BF16))

    size = f"N{count} H{width}"
    yield case(f"hidden[mask] {size}", partial(hidden, 0.7), lambda x, mask: x[mask])
    yield case(f"hidden[all true] {size}", partial(hidden, 2.0), lambda x, mask: x[mask])
    yield case(f"index_put mask N{count}", flat, put, backward=False)
    yield case(f"masked_fill N{count}", rows, lambda x, mask: x.masked_fill(mask, 0.0))
    yield case(f"masked_select N{count}", rows, lambda x, mask: x.masked_select(mask))
    yield case(f"where N{count}", rows, lambda x, mask: torch.where(mask, x, 0.0))


def _by_number(count: int, width: int) -> Iterator[Task]:
    def some() -> tuple[Any, ...]:
        return normal(count, width), integers(count, count // 2)

    def column() -> tuple[Any, ...]:
        return normal(count, width), integers(width, count, 1)

    def added() -> tuple[Any, ...]:
        return normal(count, width), integers(count, count), normal(count, width)

    def scattered() -> tuple[Any, ...]:
        return normal(count, 128), integers(128, count, 8), normal(count, 8)

    yield case(f"index_select N{count}", some, lambda x, i: x.index_select(0, i))
    yield case(f"x[idx] rows N{count}", some, lambda x, i: x[i])
    yield case(f"gather N{count} V{width}", column, lambda x, i: x.gather(-1, i))
    yield case(f"index_add N{count}", added, lambda x, i, source: x.index_add(0, i, source))
    yield case(f"scatter_add N{count}", scattered, lambda x, i, source: x.scatter_add(1, i, source))
    frozen = partial(normal, count, width, grad=False)
    yield case(f"argmax N{count}", lambda: (frozen(),), lambda x: x.argmax(-1), backward=False)


def _counted(count: int) -> Iterator[Task]:
    def mask() -> Any:
        return torch.rand(2, count // 2, device=DEVICE) < 0.7

    def ones(*shape: int) -> Any:
        return torch.ones(*shape, device=DEVICE, dtype=torch.long)

    def scores(*shape: int) -> Any:
        return torch.rand(*shape, device=DEVICE)

    experts = partial(integers, 64, count)
    for name, make, forward in (
        ("nonzero", mask, torch.nonzero),
        ("cumsum", partial(ones, 2, count // 2), partial(torch.cumsum, dim=-1)),
        ("cumsum bool", mask, partial(torch.cumsum, dim=-1)),
        ("cumsum 1d", partial(ones, count), partial(torch.cumsum, dim=0)),
        ("sort", experts, torch.sort),
        ("argsort 2d", partial(scores, 16, count), torch.argsort),
        ("topk", partial(scores, count, 128), partial(torch.topk, k=8)),
        ("topk big", partial(scores, 64, count), partial(torch.topk, k=50)),
        ("bincount", experts, partial(torch.bincount, minlength=64)),
        ("histc", lambda: experts().float(), partial(torch.histc, bins=64, min=0, max=63)),
        ("unique_consecutive", experts, torch.unique_consecutive),
        ("one_hot", experts, partial(F.one_hot, num_classes=64)),
    ):
        yield _of_one(f"{name} N{count}", make, forward, backward=False)


def _of_one(name: str, make: Thunk, forward: Any, backward: bool = True) -> Task:
    return case(name, lambda: (make(),), forward, backward=backward)


def chunked() -> Iterator[Task]:
    """The chunked loss of trl, with its head frozen or trained, and with its optional outputs."""
    from trl.kernels.chunked_logprob import OPTIONAL_OUTPUTS

    for count, vocabulary, width, train in (
        (2048, 32000, 1024, False),
        (6000, 151936, 1024, False),
        (6000, 151936, 1024, True),
        (2048, 50257, 768, True),
    ):
        for outputs in (("entropy",), OPTIONAL_OUTPUTS, ()):
            size = f"N{count} V{vocabulary} H{width}"
            name = f"chunked {size} head={train} outs={len(outputs)}"
            inputs = partial(_projected, count, vocabulary, width, train)
            yield case(name, inputs, partial(_chunked_loss, outputs))


def _projected(count: int, vocabulary: int, width: int, train: bool) -> tuple[Any, ...]:
    head = normal(vocabulary, width, grad=train)
    return normal(count, width), head, integers(vocabulary, count)


def _chunked_loss(outputs: tuple[str, ...], hidden: Any, head: Any, targets: Any) -> Any:
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    loss = ChunkedLogProbFunction.apply
    return loss(hidden, head, None, targets, 1.0, 32768, None, 1.0, outputs)[0]


def reductions() -> Iterator[Task]:
    """Sums, means, norms and extremes, which may be split over blocks of threads."""
    for shape in ((8192, 8192), (4, 2048, 4096), (1, 131072), (64, 1000)):
        for dtype in (BF16, FP32):
            size = f"{shape} {dtype}"
            make, frozen = (partial(normal, *shape, dtype=dtype, grad=g) for g in (True, False))
            leading = tuple(range(len(shape) - 1))
            yield _of_one(f"sum all {size}", make, torch.sum)
            yield _of_one(f"mean last {size}", make, partial(torch.mean, dim=-1, keepdim=True))
            for name, forward in (
                ("sum leading", partial(torch.sum, dim=leading)),
                ("sum dim1", partial(torch.sum, dim=1)),
                ("norm", torch.linalg.vector_norm),
                ("all any max", _extremes),
            ):
                yield _of_one(f"{name} {size}", frozen, forward, backward=False)


def _extremes(x: Any) -> tuple[Any, ...]:
    return (x > 0).all(), (x > 0).any(), x.amax(-1), x.max()
