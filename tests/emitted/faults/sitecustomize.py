"""Faults for the scripts of a project, which know nothing of them: FAULT holds them as JSON.

This folder goes into PYTHONPATH of the test's child. What is counted is each file that the script
opens for writing, renames or removes below its runs/, and each call of torch.save.

    {"kill_at_file": 7}      SIGKILL at the seventh such operation
    {"kill_in_save": 2}      SIGKILL in the second torch.save, half of the file written
    {"kill_final": true}     SIGKILL when final/ is about to be put in its place
    {"term_in_save": 2}      SIGTERM to itself in the second torch.save
    {"full_in_save": 2}      from then on no space is left: half of a file, and an error
    {"free_bytes": 1000}     what the disk is said to have free
    {"nan_at": 5}            a trained weight becomes NaN before that step's forward pass
    {"oom": "train", "at": 3, "above": 1, "says": "…"}   memory runs out in a phase from a step on,
                             while a micro-batch (in evaluation: its batch) has more rows
    {"clock": 5}             at that step the clock goes back by a day
    {"only": 1}              all of this in the first start alone (FAULT_STARTS counts)
"""

import json
import os
import signal
import sys
from pathlib import Path

FAULT = json.loads(os.environ.get("FAULT", "{}"))
counts = {"files": 0, "saves": 0}
ready = False


def below_runs(path):
    try:
        return f"{os.sep}runs{os.sep}" in os.fsdecode(path)
    except TypeError:
        return False


def hook(event, arguments):
    global ready
    if event not in ("open", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        return
    if not arguments or not isinstance(arguments[0], str | bytes) or not below_runs(arguments[0]):
        return
    if not ready:
        ready = True  # the script locks its run's folder before it loads anything
        arrange()
    if event == "os.rename" and "final.partial" in str(arguments[0]) and FAULT.get("kill_final"):
        os.kill(os.getpid(), signal.SIGKILL)
    writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    if writes:
        counts["files"] += 1
        if counts["files"] == FAULT.get("kill_at_file"):
            os.kill(os.getpid(), signal.SIGKILL)


def arrange():
    import shutil
    import time

    torch = sys.modules["torch"]
    save, usage, now = torch.save, shutil.disk_usage, time.time

    def faulty_save(value, target, *rest, **options):
        counts["saves"] += 1
        save(value, target, *rest, **options)
        if counts["saves"] == FAULT.get("kill_in_save"):
            os.truncate(target, Path(target).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        if counts["saves"] == FAULT.get("term_in_save"):
            os.kill(os.getpid(), signal.SIGTERM)
        if counts["saves"] >= FAULT.get("full_in_save", 10**9):
            os.truncate(target, Path(target).stat().st_size // 2)
            raise OSError(28, "No space left on device", str(target))

    torch.save = faulty_save
    if "free_bytes" in FAULT:
        shutil.disk_usage = lambda path: usage(path)._replace(free=FAULT["free_bytes"])
    trainers(torch)
    if "clock" in FAULT:
        time.time = lambda: now() - (86400 if FAULT.get("back") else 0)


def trainers(torch):
    import transformers
    import trl

    def forget(name, phase):
        for owner in (transformers.Trainer, trl.SFTTrainer):
            if name in vars(owner):
                setattr(owner, name, troubled(torch, vars(owner)[name], phase))

    forget("training_step", "train")
    forget("prediction_step", "evaluate")
    forget("_save_optimizer_and_scheduler", "save")
    forget("create_optimizer", "load")


def troubled(torch, step, phase):
    def run(self, *arguments, **options):
        at = self.state.global_step + 1
        if phase == "train" and at == FAULT.get("nan_at"):
            learnt = [weight for weight in self.model.parameters() if weight.requires_grad]
            learnt[0].data.view(-1)[0] = float("nan")
        if phase == "train" and at == FAULT.get("clock"):
            FAULT["back"] = True
        rows = self.args.per_device_train_batch_size
        rows = self.args.per_device_eval_batch_size if phase == "evaluate" else rows
        short = phase == FAULT.get("oom") and rows > FAULT.get("above", 0)
        if short and at >= FAULT.get("at", 0):
            if FAULT.get("says") == "MemoryError":
                raise MemoryError
            raise torch.OutOfMemoryError(FAULT.get("says", "CUDA out of memory. Tried 1 GiB."))
        return step(self, *arguments, **options)

    return run


if FAULT and Path(sys.argv[0] if sys.argv else "").name in ("", "train.py"):
    starts = os.environ.get("FAULT_STARTS")
    number = 1
    if starts:
        with open(starts, "a") as file:
            file.write("x")
        number = Path(starts).stat().st_size
    if number <= FAULT.get("only", 10**9):
        sys.addaudithook(hook)
