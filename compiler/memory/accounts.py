"""What the memory at the peak is made of: each live allocation in an account by what it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ftspec.compiler.memory.replay import UNIT

# Accounts in the order in which they are shown, with what they hold and where that is from.
ACCOUNTS: Mapping[str, tuple[str, str]] = {
    "base_weights": ("the base's weights, quantized or not, and its buffers", "its modules"),
    "adapters": ("weights of the adapter or the soft prompt", "peft's modules"),
    "gradients": ("one for each trained weight, in its dtype", "autograd"),
    "optimizer": ("moments and counts of each trained weight", "memory/optimizers.py"),
    "activations": ("what the blocks keep for backward, and what is under way", "the blocks"),
    "dequantized": ("weights of one layer, in the compute dtype", "bitsandbytes"),
    "logits": ("the loss: tiles of logits, their gradients, copies of the last hidden", "trl"),
    "batch": ("token ids, labels and masks of the micro-batches", "the collator"),
    "workspace": ("cuBLAS's memory, one block for each thread that multiplies", "torch"),
}


def account(segment: str, tag: str) -> str:
    """Return the account of an allocation made in a tape's segment, by its tag."""
    if "bitsandbytes" in tag:
        return "dequantized"
    return "logits" if segment in ("head", "turn") else "activations"


def totals(
    events: Iterable[tuple[int, int | str]], kinds: Mapping[int, str], at: int
) -> dict[str, int]:
    """Return the bytes of each account that are alive after event number `at`."""
    alive: dict[int, int] = {}
    for number, (key, size) in enumerate(events):
        if key >= 0 and isinstance(size, int):
            if size >= 0:
                alive[key] = -(-size // UNIT) * UNIT
            else:
                alive.pop(key, None)
        if number == at:
            break
    found = dict.fromkeys(ACCOUNTS, 0)
    for key, size in alive.items():
        found[kinds[key]] += size
    return {name: size for name, size in found.items() if size}
