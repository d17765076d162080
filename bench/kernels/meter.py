"""Measure what operations hold on a GPU beyond what they were given and what they return.

All figures are bytes of torch's caching allocator, which hands out blocks of 512 bytes. What is
measured goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ftspec.compiler.memory.trace.workspaces import WORKSPACES

DEVICE = "cuda"
Thunk = Callable[[], Any]
Task = tuple[str, Callable[[], None]]  # what is measured, and the call that measures it

BLOCK = 512  # CUDACachingAllocator.cpp, kMinBlockSize
MARK = 27 * BLOCK  # a size no case asks for: where an operation's history begins
LONGEST_HISTORY = 40
MOST_ARGUMENTS = 14


def emit(**row: Any) -> None:
    """Write one line of the result."""
    print(json.dumps(row, default=str), flush=True)


def capability() -> tuple[int, int, int]:
    """Return the card's compute capability (major, minor) and its count of multiprocessors."""
    count = torch.cuda.get_device_properties(0).multi_processor_count
    return (*torch.cuda.get_device_capability(), count)


def normal(*shape: int, dtype: torch.dtype = torch.bfloat16, grad: bool = True) -> torch.Tensor:
    """Make a tensor of normal noise on the card."""
    return torch.randn(*shape, device=DEVICE, dtype=dtype).requires_grad_(grad)


def integers(high: int, *shape: int) -> torch.Tensor:
    """Make an int64 tensor of numbers below `high` on the card."""
    return torch.randint(0, high, shape, device=DEVICE)


def rounded(size: float) -> int:
    """Round bytes up to whole blocks of the allocator."""
    return (int(size) + BLOCK - 1) // BLOCK * BLOCK


def tensors(tree: Any) -> list[torch.Tensor]:
    """Return the tensors in a nest of tuples, lists and dicts."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def storages(tree: Any) -> dict[int, int]:
    """Return the storages on the card in a nest, each with its bytes."""
    found = [t.untyped_storage() for t in tensors(tree) if t.device.type == DEVICE]
    return {storage._cdata: storage.nbytes() for storage in found}


def brief(tree: Any) -> list[Any]:
    """Return a nest's leaves for people: dtype and shape of a tensor, plain values as they are."""
    told: list[Any] = []
    for leaf in tree_leaves(tree):
        if isinstance(leaf, torch.Tensor):
            told.append(f"{name_of(leaf.dtype)}{list(leaf.shape)}")
        elif leaf is None or isinstance(leaf, bool | int | float | str):
            told.append(leaf)
    return told[:MOST_ARGUMENTS]


def name_of(dtype: torch.dtype) -> str:
    """Return a dtype's name without its module."""
    return str(dtype).removeprefix("torch.")


def peak_of(thunk: Thunk) -> tuple[Any, int, int]:
    """Call; return the result, the peak and what stays, both over what was allocated before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = thunk()
    torch.cuda.synchronize()
    return out, torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before


def history_of(thunk: Thunk) -> str:
    """Call; return the bytes asked for (+) and given back (-) in order, or the error as text."""
    record = torch.cuda.memory._record_memory_history
    try:
        record(enabled="all", context=None, max_entries=10000)
        mark = torch.empty(MARK, dtype=torch.uint8, device=DEVICE)
        out = thunk()
        trace = torch.cuda.memory._snapshot()["device_traces"][0]
        del out, mark
    except Exception as error:  # the history is an extra: its failure ends no measurement
        return repr(error)
    finally:
        record(enabled=None)
    history: list[str] = []
    for event in trace:
        if event["action"] == "alloc":
            history = [] if event["size"] == MARK else [*history, f"+{event['size']}"]
        elif event["action"] == "free_requested":
            history.append(f"-{event['size']}")
    return " ".join(history[:LONGEST_HISTORY])


def kernels_of(thunk: Thunk) -> list[str]:
    """Call; return the names of the kernels that ran on the card."""
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        thunk()
        torch.cuda.synchronize()
    events = profiler.key_averages()
    return [e.key[:90] for e in events if "cuda" in str(e.device_type).lower()]


class Meter(TorchDispatchMode):
    """Write a line for each operation that holds something inside, or is predicted to."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.ops: Counter[str] = Counter()
        self.told: set[tuple[Any, ...]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the operation, and measure its peak over the larger of before and after."""
        kwargs = kwargs or {}
        known = storages((args, kwargs))
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        out = func(*args, **kwargs)
        peak = torch.cuda.max_memory_allocated()
        after = torch.cuda.memory_allocated()
        returned = sum(rounded(n) for key, n in storages(out).items() if key not in known)
        self.ops[func._schema.name] += 1
        self.tell(func, args, kwargs, out, peak - max(after, before), after - before - returned)
        return out

    def tell(
        self, func: Any, args: Any, kwargs: Any, out: Any, measured: int, persistent: int
    ) -> None:
        """Write an operation's line, once for the same figures and arguments."""
        name = func._schema.name
        predicted = predict(name, args, kwargs, out)
        key = (name, measured, predicted, *map(str, brief(args)))
        if not (measured or predicted or persistent) or key in self.told:
            return
        self.told.add(key)
        row: dict[str, Any] = {"op": name, "case": self.case}
        row |= {"measured": measured, "predicted": predicted, "equal": measured == predicted}
        row |= {"args": brief((args, kwargs)), "out": brief(out)}
        if persistent:
            row["persistent"] = persistent
        changes_arguments = name.endswith("_") or ".out" in str(func)
        if measured != predicted and not changes_arguments:  # it is called once more
            row["allocs"] = history_of(lambda: func(*args, **kwargs))
        emit(**row)


def predict(name: str, args: Any, kwargs: Any, out: Any) -> int | str:
    """Return the bytes that the table says an operation holds inside, or its error as text."""
    workspace = WORKSPACES.get(name)
    if workspace is None:
        return 0
    try:
        return sum(rounded(size) for size in workspace(args, kwargs, out, capability()))
    except Exception as error:  # a finding about the table, beside what was measured
        return repr(error)


def case(
    name: str,
    make: Callable[[], tuple[Any, ...]],
    forward: Callable[..., Any],
    *,
    backward: bool = True,
    kernels: bool = False,
) -> Task:
    """Make the task of measuring `forward(*make())` and, if wanted, its backward."""
    return name, lambda: measure(name, make(), forward, backward, kernels)


def measure(
    name: str, inputs: tuple[Any, ...], forward: Callable[..., Any], backward: bool, kernels: bool
) -> None:
    """Measure forward and backward as they are, then operation by operation."""

    def both() -> None:
        out = forward(*inputs)
        if backward:
            differentiate(out)

    both()  # loads libraries and makes the workspaces of cuBLAS in both threads
    forget_gradients(inputs)
    raw(name, inputs, forward, backward)
    forget_gradients(inputs)
    if backward:
        emit(op="saved", case=name, saved=saved_by(inputs, forward))
    if kernels:
        emit(op="kernels", case=name, kernels=kernels_of(lambda: forward(*inputs)))
    with Meter(name) as meter:
        both()
    emit(op="ops", case=name, ops=meter.ops)


def raw(name: str, inputs: tuple[Any, ...], forward: Callable[..., Any], backward: bool) -> None:
    """Write the peak of forward and of backward as wholes, with no mode in between."""
    out, peak, kept = peak_of(lambda: forward(*inputs))
    emit(op="raw:forward", case=name, measured=peak, kept=kept)
    if backward:
        _, peak, kept = peak_of(lambda: differentiate(out))
        emit(op="raw:backward", case=name, measured=peak, kept=kept)


def differentiate(out: Any) -> None:
    """Run the backward of all results, with gradients of ones."""
    outs = [tensor for tensor in tensors(out) if tensor.requires_grad]
    torch.autograd.backward(outs, [torch.ones_like(tensor) for tensor in outs])


def forget_gradients(inputs: tuple[Any, ...]) -> None:
    """Free the gradients of the inputs."""
    for tensor in tensors(inputs):
        tensor.grad = None


def saved_by(inputs: tuple[Any, ...], forward: Callable[..., Any]) -> list[tuple[Any, ...]]:
    """Return what autograd saves: dtype, shape, and whether it is an input's storage or new."""
    saved: list[tuple[Any, ...]] = []
    mine = storages(inputs)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        source = "input" if tensor.untyped_storage()._cdata in mine else "new"
        saved.append((name_of(tensor.dtype), list(tensor.shape), source))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward(*inputs)
    return saved
