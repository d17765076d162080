"""What CUDA kernels allocate inside operations, beside what the table of workspaces says of it.

    python bench/kernels/probe.py > probe.jsonl
    python bench/kernels/probe.py quant4 quant8 --seconds 60 --table src > probe.jsonl

Needs a GPU, torch, and ftspec (installed, or its source by --table); bitsandbytes, transformers
and trl for the sections that use them. README.md beside this file says what the lines are.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Section -> the file that holds it. cuBLAS is first: a process makes its workspaces once.
SECTIONS = {
    "cublas": "cases",
    "attention_default": "attention",
    "embedding": "cases",
    "layer_norm": "cases",
    "quant4": "quantized",
    "quant8": "quantized",
    "softmax": "cases",
    "optimizers": "optimizers",
    "index": "cases",
    "chunked": "cases",
    "attention_forced": "attention",
    "reductions": "cases",
}
LIBRARIES = ("bitsandbytes", "transformers", "trl")
ROOM = 20 * 2**30  # bytes; the card may be shared


def main() -> None:
    """Parse the command line, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=300.0, help="then no case starts (300)")
    parser.add_argument(
        "--table", type=Path, metavar="SRC", help="folder of the package ftspec, if not installed"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if options.table:
        if not (options.table / "ftspec").is_dir():
            parser.error(f"{options.table} holds no package ftspec")
        sys.path.insert(0, str(options.table))
    # Read when torch is imported, so all that imports it is imported later.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    probe([name for name in SECTIONS if name in (options.sections or SECTIONS)], options.seconds)


def probe(names: list[str], seconds: float) -> None:
    """Measure sections until the time is up."""
    import torch
    from meter import emit

    if not torch.cuda.is_available():
        sys.exit("probe.py measures on a GPU, and torch sees none")
    start = time.monotonic()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, ROOM / total))
    torch.manual_seed(0)
    tell_facts()
    for name in names:
        began = time.monotonic()
        attempt(name, partial(measure_section, name, start + seconds))
        torch.cuda.empty_cache()
        now = time.monotonic()
        took, so_far = round(now - began, 2), round(now - start, 1)
        emit(op="section", case=name, seconds=took, total=so_far)
    emit(op="end", seconds=round(time.monotonic() - start, 1))


def tell_facts() -> None:
    """Write the versions and the card."""
    import torch
    from meter import capability, emit

    card = torch.cuda.get_device_properties(0)
    emit(
        op="facts",
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        capability=capability(),
        device=torch.cuda.get_device_name(),
        sms=card.multi_processor_count,
        threads_per_sm=card.max_threads_per_multi_processor,
        priority=[str(backend) for backend in torch._C._get_sdp_priority_order()],
        **{name: installed for name in LIBRARIES if (installed := installed_version(name))},
    )


def installed_version(name: str) -> str | None:
    """Return a library's version, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def measure_section(name: str, deadline: float) -> None:
    """Measure a section's cases until the deadline, a time of the monotonic clock."""
    from meter import emit

    for case, measure in getattr(import_module(SECTIONS[name]), name)():
        if time.monotonic() > deadline:
            emit(op="skipped", case=case)
        else:
            attempt(case, measure)


def attempt(case: str, measure: Callable[[], None]) -> None:
    """Measure; what fails is a line of the result, and the others go on."""
    import torch
    from meter import emit

    try:
        measure()
    except torch.cuda.OutOfMemoryError:
        emit(op="oom", case=case)
    except Exception as error:
        emit(op="error", case=case, error=f"{type(error).__name__}: {error}"[:300])
    gc.collect()


if __name__ == "__main__":
    main()
