"""Record which storages live when, while real code runs on fake tensors."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ftspec.compiler.memory.trace.calls import Call, inside
from ftspec.compiler.memory.trace.workspaces import (
    SOMETIMES,
    WORKSPACES,
    cublas_workspace,
    cublaslt_workspace,
)

# Gradients that have one other owner than the autograd engine are still its own to add to.
OWNERS_OF_A_LONE_GRADIENT = 2
TORCH = (2, 11)  # the release whose workspaces are counted; later ones share one of cuBLAS's
# Operations of LLM.int8() whose results depend on which activations are outliers.
OUTLIERS = ("bitsandbytes::int8_vectorwise_quant", "bitsandbytes::int8_mixed_scaled_mm")
# Operations whose temporaries are made before their result (seen on an H200).
FIRST_INSIDE = (
    "bitsandbytes::gemm_4bit",
    "bitsandbytes::int8_mixed_scaled_mm",
    "bitsandbytes::int8_scaled_mm",
    "aten::_foreach_norm",
)
# Derivatives that write into fresh zeros (tools/autograd: index_backward and the like).
MADE_ANEW = ("aten::index_put", "aten::index_add", "aten::scatter_add", "aten::scatter")
DROPOUT = "aten::native_dropout"  # makes its mask first (ATen cuda/Dropout.cu, dropout_cuda)
MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


class Recorder(TorchDispatchMode):
    """Log every storage: (key, bytes, tag) when it is made, (key, -1, "") when it dies.

    Marks are (-1, 0, name). `tag` says where a storage was made: phase, layer and operation. The
    bytes are exact, not rounded as the allocator does. `scalars` answers what code asks of a
    tensor's content, which a fake tensor has not. `for_tape`: widths are coded, so what allocates
    nothing at them is logged with size 0, since at others it may.
    """

    def __init__(
        self,
        capability: tuple[int, int],
        scalars: Callable[[torch.Tensor], Any],
        valid_rows: Callable[[torch.Tensor], int],
        *,
        for_tape: bool = False,
    ) -> None:
        super().__init__()
        self.events: list[tuple[int, int, str]] = []
        self.capability = capability
        self.phase = "load"
        self.layer = ""
        self._scalars, self._valid_rows = scalars, valid_rows
        self._for_tape = for_tape
        self._count = 0
        self._keys: dict[int, int] = {}
        self._watched: dict[int, weakref.ref[Any]] = {}
        self._handles: set[str] = set()
        self.gradients: dict[int, str] = {}
        self.calls: list[Call] = []
        self._numbers: dict[Call, int] = {}

    def mark(self, name: str) -> None:
        """Put a mark into the log."""
        self.events.append((-1, 0, name))

    def watch(self, tensor: torch.Tensor, tag: str) -> int:
        """Log a tensor's storage unless it is known already; return its key."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._keys:
            return self._keys[address]
        self._count += 1
        key = self._count
        self._keys[address] = key
        self.events.append((key, storage.nbytes(), tag))

        def gone(_: object, address: int = address, key: int = key) -> None:
            if self._keys.get(address) == key:
                del self._keys[address]
            del self._watched[key]
            self.events.append((key, -1, ""))

        self._watched[key] = weakref.ref(storage, gone)
        return key

    def key_of(self, tensor: torch.Tensor) -> int | None:
        """Return the key of a tensor's storage, or None where it was never seen."""
        return self._keys.get(tensor.untyped_storage()._cdata)

    def alloc(self, size: int, tag: str) -> int:
        """Log memory that no tensor stands for; return its key."""
        self._count += 1
        self.events.append((self._count, size, tag))
        return self._count

    def free(self, key: int) -> None:
        """Log the end of what `alloc` logged."""
        self.events.append((key, -1, ""))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operation, and log what it made."""
        kwargs = kwargs or {}
        name = func._schema.name
        if name == "aten::_local_scalar_dense":
            return self._scalars(args[0])
        if name == "aten::index" and _boolean(args[1]):
            return self._index(args)
        lone = self._accumulated_in_place(func, args)
        if lone is not None:
            return lone
        if name in MADE_ANEW and _in_backward():
            # The engine writes into the fresh zeros; under fake tensors into a copy of them.
            for key in reversed(self._inside(name, args, kwargs, args[0])):
                self.free(key)
            return args[0]
        out = _without_outliers(name, args) if name in OUTLIERS else func(*args, **kwargs)
        tag = f"{self.phase}:{self.layer}:{name}"
        inside = self._inside(name, args, kwargs, out) if name in FIRST_INSIDE else []
        for tensor in reversed(out) if name == DROPOUT else tree_iter(out):
            if isinstance(tensor, torch.Tensor):
                self.watch(tensor, tag)
        if name not in FIRST_INSIDE:
            inside = self._inside(name, args, kwargs, out)
        self._cublas(name, args, dequantized=bool(inside))
        for key in reversed(inside):
            self.free(key)
        return out

    def _inside(self, name: str, args: Any, kwargs: Any, out: Any) -> list[int]:
        """Log what an operation allocates inside of itself; return the keys."""
        if name not in WORKSPACES:
            return []
        call = Call(name, *_described(args, kwargs, out))
        tag = f"{self.phase}:{self.layer}:{name}"
        sizes = inside(call, self.capability)
        if self._for_tape:
            sizes += [0] * (SOMETIMES.get(name, 0) - len(sizes))
        elif not any(sizes):
            return []
        number = self._numbers.setdefault(call, len(self.calls))
        if number == len(self.calls):
            self.calls.append(call)
        return [
            self.alloc(size, f"{tag}:inside#{number}.{place}") for place, size in enumerate(sizes)
        ]

    def _index(self, args: tuple[Any, ...]) -> torch.Tensor:
        """Select rows by a boolean mask as CUDA does: through the rows' positions."""
        source, mask = args[0], args[1][0]
        rows = self._valid_rows(mask)
        tag = f"{self.phase}:{self.layer}"
        positions = self.alloc(8 * rows * mask.dim(), f"{tag}:nonzero")
        out = source.new_empty((rows, *source.shape[mask.dim() :]))
        self.watch(out, f"{tag}:aten::index")
        self.free(positions)
        return out

    def _cublas(self, name: str, args: tuple[Any, ...], *, dequantized: bool) -> None:
        """Log the workspaces of cuBLAS: one for each thread, and another for biased products.

        A thread's first product asks for them when its result is made (CublasHandlePool.cpp,
        getCurrentCUDABlasHandle); one with a 4-bit weight if that is dequantized for it.
        """
        thread = "backward" if _in_backward() else "forward"
        four_bit = name == "bitsandbytes::gemm_4bit" and dequantized
        if name in MATRIX_PRODUCTS or four_bit:
            self._once(f"workspace::{thread}", cublas_workspace(self.capability))
        biased = name == "aten::addmm" and args[0].dim() == 1
        if biased or (four_bit and len(args) > 6 and args[6] is not None):
            self._once(f"workspace::{thread} biased", cublaslt_workspace(TORCH))

    def _once(self, tag: str, size: int) -> None:
        if tag not in self._handles:
            self._handles.add(tag)
            self.alloc(size, tag)

    def _accumulated_in_place(self, func: Any, args: tuple[Any, ...]) -> torch.Tensor | None:
        """Add a gradient into another as the autograd engine does with ordinary tensors.

        The engine adds in place where it alone owns one of the two (InputBuffer::accumulate in
        torch/csrc/autograd/input_buffer.cpp). Fake tensors are a subclass, for which it does not.
        """
        if func is not torch.ops.aten.add.Tensor or len(args) != 2 or torch.is_grad_enabled():
            return None
        if not _in_backward():
            return None
        left, right = args
        if not (isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor)):
            return None
        if left.shape != right.shape or left.dtype != right.dtype:
            return None
        for one, other in ((left, right), (right, left)):
            owners = torch._C._storage_Use_Count(one.untyped_storage()._cdata)
            if owners <= OWNERS_OF_A_LONE_GRADIENT and _dense(one):
                return one.add_(other)
        return None


def _without_outliers(name: str, args: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    """Return what the operation gives where no activation is an outlier."""
    a = args[0]
    if name == OUTLIERS[0]:
        rows = torch.empty(a.numel() // a.shape[-1], dtype=torch.float32)
        return a.new_empty(a.shape, dtype=torch.int8), rows, torch.empty(0, dtype=torch.int64)
    return a.new_empty((*a.shape[:-1], args[2].shape[0])), a.new_empty(0)


def _described(
    args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> tuple[tuple[Any, ...], tuple[tuple[str, Any], ...], tuple[Any, ...]]:
    outs = out if isinstance(out, (tuple, list)) else (out,)
    return (
        tuple(_describe(one) for one in args),
        tuple((name, _describe(one)) for name, one in sorted(kwargs.items())),
        tuple(_describe(one) for one in outs),
    )


def _describe(one: Any) -> Any:
    if isinstance(one, torch.Tensor):
        dtype = str(one.dtype).removeprefix("torch.")
        shape = tuple(int(n) for n in one.shape)
        return ("tensor", shape, one.element_size(), dtype, one.is_contiguous())
    if isinstance(one, (list, tuple)):
        return tuple(_describe(item) for item in one)
    return one if isinstance(one, (int, float, str, bool)) else None


def _in_backward() -> bool:
    """Whether autograd's engine is at work."""
    return bool(torch._C._current_graph_task_id() != -1)


def _boolean(indices: Any) -> bool:
    return len(indices) == 1 and indices[0] is not None and indices[0].dtype == torch.bool


def _dense(tensor: torch.Tensor) -> bool:
    # torch.ops.aten.is_non_overlapping_and_dense of a fake tensor
    return bool(torch._prims_common.is_non_overlapping_and_dense_or_false(tensor))


def tensors_of(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) of all that a module holds: parameters, quantization state, buffers."""
    for name, parameter in module.named_parameters():
        yield name, parameter
        yield from _quantization_state(name, parameter)
    for name, part in module.named_modules():
        scales = getattr(getattr(part, "state", None), "SCB", None)  # of LLM.int8()
        if isinstance(scales, torch.Tensor):
            yield f"{name}.SCB", scales
    for name, buffer in module.named_buffers():
        yield name, buffer


def _quantization_state(name: str, parameter: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    state = getattr(parameter, "quant_state", None)
    parts = [("absmax", state), ("code", state), ("offset", state)] if state is not None else []
    nested = getattr(state, "state2", None)
    parts += [("absmax", nested), ("code", nested)] if nested is not None else []
    for attribute, owner in parts:
        tensor = getattr(owner, attribute, None)
        if isinstance(tensor, torch.Tensor):
            yield f"{name}.{attribute}", tensor
