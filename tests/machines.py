"""Fixed hardware for tests: what is plugged into the machine that runs them never counts."""

from __future__ import annotations

from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.facts.hardware import Hardware, named

HOST_BYTES = 64 * 2**30


def gpu(name: str) -> Gpu:
    found = find_gpu(name)
    assert found is not None, name
    return found


def cards(name: str, count: int = 1) -> Hardware:
    return named(gpu(name), count, HOST_BYTES, 16)


CPU = Hardware((), HOST_BYTES, 8, detected=False)
RTX_4090 = cards("rtx-4090")
T4 = cards("t4")
H100 = cards("h100")
