"""Trace one set-up, as a child process: JSON in on stdin, JSON out on stdout.

In: {"config", "work", "capability", "tapes": folder or null}. Out: the fields of `Peaks`, and
`kinds`: of layers that the model has. Libraries say much on stdout; the answer is its last line.
"""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any


def main() -> int:
    """Answer one question."""
    warnings.filterwarnings("ignore")
    asked = json.load(sys.stdin)
    from ftspec.compiler.memory.trace import preload
    from ftspec.compiler.memory.trace.question import work_of
    from ftspec.compiler.memory.trace.subject import kinds_of_layers

    preload.libraries()
    work = work_of(asked["work"])
    capability = tuple(asked["capability"])
    answer = asdict(traced(asked["config"], work, capability, asked.get("tapes")))
    print("\n" + json.dumps({**answer, "kinds": kinds_of_layers(asked["config"])}))
    return 0


def traced(config: dict[str, Any], work: Any, capability: Any, folder: str | None) -> Any:
    """Return the peaks of a set-up, by the cheapest trace that is exact for it."""
    from ftspec.compiler.memory.peaks import of_trace, peaks
    from ftspec.compiler.memory.regime import windowed
    from ftspec.compiler.memory.trace.fold import LAYERS, NotFoldedError, fold
    from ftspec.compiler.memory.trace.run import trace
    from ftspec.compiler.memory.trace.subject import alike_blocks

    try:
        tape = taped(config, work, capability, folder)
    except Exception:  # noqa: BLE001
        tape = None  # a model that cannot be coded is traced as it is
    if tape is not None:
        return peaks(tape, work, capability)
    few = replace(work, accumulation=min(work.accumulation, 2))
    # A prefix's own tensors are as wide as all blocks together.
    alike = not work.shape.dense_layers and work.method != "prefix"
    alike = alike and alike_blocks(config, windows=windowed(config, work))
    if work.shape.layers > LAYERS and alike:
        try:
            seen = trace(shortened(config, LAYERS), few, capability)
            return of_trace(seen, fold(seen), work, capability)
        except NotFoldedError:
            pass  # blocks of several kinds: every one of them is traced
    return of_trace(trace(config, few, capability), None, work, capability)


def taped(config: dict[str, Any], work: Any, capability: Any, folder: str | None) -> Any:
    """Record what a set-up needs, its evaluation's tape too, and keep it; None: no tape covers it.

    Raises whatever the libraries raise.
    """
    from ftspec.compiler.memory import tapes
    from ftspec.compiler.memory.regime import attention_of, regime, structure
    from ftspec.compiler.memory.trace.record import record

    found = {}
    for one in (work, work.evaluated):
        name = regime(config, one, capability)
        if name is None:
            return None
        if name in found:
            continue
        found[name] = record(config, one, attention_of(one, capability).split()[0])
        if folder:
            with suppress(OSError):  # a full or read-only disk: the answer counts
                key = structure(config, work.shape)
                tapes.add(Path(folder), key, name, found[name], tapes.installed())
    tape, *others = found.values()
    return tape.evaluated_as(others[0]) if others else tape


def shortened(config: dict[str, Any], layers: int) -> dict[str, Any]:
    """Return a config of fewer blocks."""
    cut = dict(config)
    for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"):
        if key in cut:
            cut[key] = layers
    if cut.get("layer_types"):
        cut["layer_types"] = cut["layer_types"][:layers]
    return cut


if __name__ == "__main__":
    sys.exit(main())
