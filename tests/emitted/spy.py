"""Run an emitted script, and watch from outside what training does to the weights.

    python spy.py REPORT SCRIPT [ARGUMENTS]     from the project folder

REPORT gets, as JSON, the names of all parameters, of those that changed, and the first batch.
SPY_OOM=train or evaluate makes the forward pass of that phase run out of memory.
"""

import hashlib
import json
import os
import runpy
import sys
from pathlib import Path

report, script = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(Path(script).resolve().parent))  # as `python SCRIPT` has it
sys.argv = sys.argv[2:]

import torch  # noqa: E402
from transformers import Trainer  # noqa: E402


def digests(model):
    """Return a hash of each parameter's bytes, by its name."""
    found = {}
    for name, weight in model.named_parameters():
        raw = weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
        found[name] = hashlib.sha256(raw).hexdigest()
    return found


def watch(train):
    def watched(self, *arguments, **options):
        batch = next(iter(self.get_train_dataloader()))
        shown = {key: value.tolist() for key, value in batch.items() if hasattr(value, "tolist")}
        before = digests(self.model)
        result = train(self, *arguments, **options)
        after = digests(self.model)
        facts = {
            "parameters": sorted(before),
            "changed": sorted(name for name in before if before[name] != after[name]),
            "trainable": sorted(n for n, w in self.model.named_parameters() if w.requires_grad),
            "dtypes": {name: str(weight.dtype) for name, weight in self.model.named_parameters()},
            "batch": shown,
        }
        report.write_text(json.dumps(facts))
        return result

    return watched


def starve(step, phase):
    def starved(self, model, *arguments, **options):
        if os.environ["SPY_OOM"] == phase and self.state.global_step >= 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return step(self, model, *arguments, **options)

    return starved


Trainer.train = watch(Trainer.train)
if "SPY_OOM" in os.environ:
    Trainer.training_step = starve(Trainer.training_step, "train")
    Trainer.prediction_step = starve(Trainer.prediction_step, "evaluate")
    import trl

    if "prediction_step" in vars(trl.SFTTrainer):
        trl.SFTTrainer.prediction_step = starve(trl.SFTTrainer.prediction_step, "evaluate")
    if "training_step" in vars(trl.SFTTrainer):
        trl.SFTTrainer.training_step = starve(trl.SFTTrainer.training_step, "train")
runpy.run_path(script, run_name="__main__")
