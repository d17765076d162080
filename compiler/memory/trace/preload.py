"""Import what every trace needs, so that processes made by fork start at once."""

from __future__ import annotations


def libraries() -> None:
    """Import the training libraries and the modules of the tracer."""
    import bitsandbytes  # noqa: F401
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers
    import trl.trainer.sft_trainer  # noqa: F401

    import ftspec.compiler.memory.trace.record  # noqa: F401

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
