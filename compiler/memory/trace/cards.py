"""What of a card decides how its kernels split their work."""

from __future__ import annotations

from collections.abc import Sequence

Capability = Sequence[int]  # (major, minor), or (major, minor, multiprocessors)

# Multiprocessors of a capability's usual card in NVIDIA's data sheets: T4, A100, A10, L4, H100
# and H200, B200, RTX 5090, GB10. Cards of one capability differ, so give the number if known.
MULTIPROCESSORS = {
    (7, 0): 80,
    (7, 5): 40,
    (8, 0): 108,
    (8, 6): 72,
    (8, 9): 58,
    (9, 0): 132,
    (10, 0): 148,
    (10, 3): 148,
    (12, 0): 170,
    (12, 1): 48,
}
# Threads that a multiprocessor holds (CUDA C++ programming guide, compute capabilities).
THREADS = {(7, 5): 1024, (8, 6): 1536, (8, 7): 1536, (8, 9): 1536, (12, 0): 1536, (12, 1): 1536}


def multiprocessors(capability: Capability) -> int:
    """Return how many multiprocessors a card has; 108 where nothing is known of it."""
    if len(capability) > 2:
        return capability[2]
    return MULTIPROCESSORS.get((capability[0], capability[1]), 108)


def threads(capability: Capability) -> int:
    """Return how many threads a multiprocessor holds."""
    return THREADS.get((capability[0], capability[1]), 2048)
