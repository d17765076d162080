"""A Python for `ftspec run --python`: runs a project's script as it is, under a cap.

    OOM_CAP_BYTES=2000000000 python bench/oom/oom_capped.py train.py --resume

OOM_CAP_BYTES    what the allocator may reserve of the card (set_per_process_memory_fraction);
                 beyond it CUDA's allocator raises its own error, as on a card of that size
OOM_AT_SAVE      a file; while it is not there, the second save gives the cache back and finds no
                 more memory than is held, as where a neighbour took the rest; then it is written
OOM_TOKENS       for trying this out without a card: a micro-batch (in evaluation: a batch) of more
                 tokens, padding included, raises the error instead
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

MARGIN = 2**21  # bytes above what is held: the allocator's smallest piece


def main() -> None:
    """Set the cap, and run the script that the command line names."""
    script = Path(sys.argv[1])
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(script.resolve().parent))
    # As train.py sets them, before torch is loaded.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    cap, at_save = os.environ.get("OOM_CAP_BYTES"), os.environ.get("OOM_AT_SAVE")
    tokens = os.environ.get("OOM_TOKENS")
    if cap:
        limit(int(cap))
    if at_save and not Path(at_save).exists():
        squeeze(Path(at_save))
    if tokens:
        pretend(int(tokens))
    runpy.run_path(str(script), run_name="__main__")


def limit(size: int) -> None:
    """Have the allocator reserve at most so many bytes."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total))


def squeeze(marker: Path) -> None:
    """Have the second save find no more memory than is held."""
    import torch
    import transformers

    trainer: Any = transformers.Trainer
    save = trainer._save_checkpoint

    def squeezed(self: Any, *arguments: Any, **options: Any) -> Any:
        done = save(self, *arguments, **options)  # what comes next is the callback's look at it
        if self.state.global_step >= 2 * self.args.save_steps and not marker.exists():
            marker.touch()
            if not torch.cuda.is_available():
                raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            limit(torch.cuda.memory_reserved() + MARGIN)
        return done

    trainer._save_checkpoint = squeezed


def pretend(tokens: int) -> None:
    """Raise the allocator's error for a batch of more tokens."""
    import torch
    import transformers
    import trl

    def short(owner: Any, name: str) -> None:
        step = vars(owner).get(name)
        if step is None:
            return

        def tried(self: Any, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
            if inputs["input_ids"].numel() > tokens:
                raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
            return step(self, model, inputs, *rest, **options)

        setattr(owner, name, tried)

    for owner in (transformers.Trainer, trl.SFTTrainer):
        for name in ("training_step", "prediction_step"):
            short(owner, name)


if __name__ == "__main__":
    main()
