"""What a run writes beside its weights: events.jsonl, sealed checkpoints, its own folder.

A checkpoint is whole once manifest.json is in it: the size and SHA-256 of each other file,
written last of all. Whatever stopped a run, it goes on from the newest whole checkpoint;
older ones are removed only once a newer one is whole.
"""

import faulthandler
import hashlib
import json
import math
import os
import re
import shutil
import signal
import sys
import time
from enum import IntEnum
from pathlib import Path

import torch
from transformers import TrainerCallback

from base import commit_of, write_base

# How CUDA, its libraries and bitsandbytes say that the card's memory ran out, in lower case.
OUT_OF_MEMORY = (
    "out of memory",
    "_status_alloc_failed",
    "cublas_status_not_initialized when calling `cublascreate",
)
HOST_MEMORY = ("can't allocate memory", "cannot allocate memory")
DISK_FULL = (
    "no space left",
    "disk quota exceeded",
    "pytorchstreamwriter",
    "unexpected pos",
)
BEAT_SECONDS = 5  # between signs of life
ROOM = 16 * 2**20  # bytes of a checkpoint beside its tensors: tokenizer, states
SECRET_NAME = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)(_|$)")
SECRET_TEXT = re.compile(
    r"(?<=://)[^/\s@]+(?=@)|(?<=[?&])([\w-]*(?:token|secret|signature|key|password))=[^&\s]+|"
    r"\bhf_\w{16,}",
    re.IGNORECASE,
)


class Exit(IntEnum):
    """How a script ended; whoever started it reads its exit code."""

    FINISHED = 0
    STOPPED = 75
    OUT_OF_MEMORY = 76
    NOT_FINITE = 77
    UNUSABLE = 78
    CANNOT_WRITE = 79


def memory_gone(error):
    """Say whose memory ran out, "gpu" or "host"; None where it is another error."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(said in text for said in HOST_MEMORY):
        return "host"
    return "gpu" if any(said in text for said in OUT_OF_MEMORY) else None


def disk_full(error):
    """Say whether a disk could not be written."""
    text = str(error).lower()
    return isinstance(error, OSError) or any(said in text for said in DISK_FULL)


def ends(main):
    """Run a script's main; returns its exit code, 76 where memory ran out."""
    try:
        return main()
    except Exception as error:
        where = memory_gone(error)
        if where is None:
            raise
        print(f"out of {where} memory: {error!r}", file=sys.stderr)
        return Exit.OUT_OF_MEMORY


def deaf():
    """Pass requests to stop over: the script ends, and a second one would hide how."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def without_secrets(text):
    """Leave out of a text what grants access: tokens of the environment, and in addresses."""
    for name, value in os.environ.items():
        if SECRET_NAME.search(name) and len(value) >= 8 and not value.startswith("/"):
            text = text.replace(value, "***")
    return SECRET_TEXT.sub("***", text)


class Journal(TrainerCallback):
    """Writes events.jsonl, seals checkpoints, and stops the run where it has to stop.

    keep: how many whole checkpoints stay, beside the best one. go_on: whether a loss that is
    not finite is passed over. held: the run's lock.
    """

    def __init__(self, run, keep=2, go_on=False, held=None, **facts):
        self.run, self.path = run, run / "events.jsonl"
        self.keep, self.go_on, self.held = keep, go_on, held
        self.facts, self.phase, self.exit_code = facts, "load", Exit.FINISHED
        self.tokens, self.earlier = 0, 0
        self.beaten = -BEAT_SECONDS
        self.since = self.mark = time.time()  # a clock that stands in pauses
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("\n")  # its writer was stopped in the middle of a line

    def write(self, event, **facts):
        if "message" in facts:
            facts["message"] = without_secrets(facts["message"])
        line = json.dumps({"event": event, "time": time.time(), **facts})
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:  # a full disk is met where weights are written
            print(f"events.jsonl: {error}", file=sys.stderr)

    def beat(self):
        """Touch a file every few seconds: who watches the run sees that it goes on."""
        if time.monotonic() - self.beaten >= BEAT_SECONDS:
            self.beaten = time.monotonic()
            (self.run / "alive").touch()

    def tokens_until(self, step):
        """Return the tokens that earlier attempts saw up to a step."""
        found = 0
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line that was cut off when its writer was killed
            if event["event"] == "step" and event["step"] <= step:
                found = max(found, event["tokens"])
        return found

    def request_stop(self, *_):
        """Stop after the step that is running, with a checkpoint: the handler of signals."""
        self.exit_code = Exit.STOPPED

    def listen(self):
        """Have Ctrl-C and SIGTERM stop with a checkpoint, and SIGUSR1 print where the run is."""
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        if hasattr(signal, "SIGUSR1"):
            faulthandler.register(signal.SIGUSR1)

    def save_final(self, trainer):
        """Write final/ in one step: it is there as a whole, or not at all."""
        self.phase = "save"
        partial = self.run / "final.partial"
        if trainer.is_world_process_zero():
            shutil.rmtree(partial, ignore_errors=True)
        trainer.save_model(str(partial))
        if trainer.is_world_process_zero():
            lines = write_base(partial, trainer.model, self.facts.get("revision"))
            sync_all(partial)
            final = partial.replace(self.run / "final")
            self.write("end", step=trainer.state.global_step, final="final")
            print("It is trained. Plain peft and transformers load it so:\n")
            for line in lines:
                print(f"    {line.replace('FINAL', repr(str(final)))}")

    def failed(self, error):
        """Write down why a run cannot go on; returns the exit code, None for a crash."""
        deaf()
        facts = {"phase": self.phase, "error": type(error).__name__}
        facts["message"] = str(error)
        where = memory_gone(error)
        if where is not None:
            code = Exit.OUT_OF_MEMORY
            if torch.cuda.is_available():
                facts["memory_bytes"] = torch.cuda.max_memory_allocated()
                facts["reserved_bytes"] = torch.cuda.max_memory_reserved()
            self.write("out-of-memory", where=where, **facts)
        else:
            code = Exit.UNUSABLE if self.phase == "load" else Exit.CANNOT_WRITE
            self.write("failure", **facts)
            if self.phase != "load" and not disk_full(error):
                return None
        print(f"{self.phase}: {type(error).__name__}: {error}", file=sys.stderr)
        return code

    def on_train_begin(self, args, state, control, **kwargs):
        self.earlier = self.tokens_until(state.global_step)
        if stopped_early(state):  # and was killed before it had written final/
            control.should_training_stop = True
        rate, schedule = args.learning_rate, kwargs["lr_scheduler"]
        set_learning_rate(kwargs["optimizer"], schedule, rate)
        name = kwargs["model"].config._name_or_path
        if state.is_world_process_zero:
            self.write(
                "start",
                schema_version=1,
                step=state.global_step,
                total_steps=state.max_steps,
                epochs=state.num_train_epochs,
                micro_batch=args.per_device_train_batch_size,
                accumulation=args.gradient_accumulation_steps,
                effective_batch=args.train_batch_size
                * args.gradient_accumulation_steps
                * args.world_size,
                eval_batch=args.per_device_eval_batch_size,
                activation_checkpointing=args.gradient_checkpointing,
                max_length=getattr(args, "max_length", None),
                learning_rate=args.learning_rate,
                commit=commit_of(name, self.facts.get("revision")),
                **self.facts,
            )
        self.since = time.time()

    def on_train_end(self, args, state, control, **kwargs):
        deaf()

    def on_step_begin(self, args, state, control, **kwargs):
        self.phase = "train"
        self.beat()

    def on_substep_end(self, args, state, control, **kwargs):
        self.beat()

    def on_prediction_step(self, args, state, control, **kwargs):
        self.beat()

    def on_step_end(self, args, state, control, **kwargs):
        stop = self.exit_code == Exit.STOPPED
        full = (control.should_save or stop) and self.lacks_room(state, **kwargs)
        if args.world_size > 1:  # all ranks stop after the same step, or none can save
            asked = [None] * args.world_size
            torch.distributed.all_gather_object(asked, (stop, full))
            stop, full = any(one[0] for one in asked), any(one[1] for one in asked)
        if stop:
            self.exit_code = Exit.STOPPED
            control.should_save = control.should_training_stop = True
        if full:  # half a checkpoint is worth nothing
            self.exit_code = Exit.CANNOT_WRITE
            control.should_save, control.should_training_stop = False, True
        self.phase = "save" if control.should_save else "train"
        self.phase = "evaluate" if control.should_evaluate else self.phase
        self.mark = time.time()

    def lacks_room(self, state, model, optimizer, **kwargs):
        """Say whether the disk has no room for a checkpoint: weights and optimizer state."""
        held = [weight for weight in model.parameters() if weight.requires_grad]
        for moments in optimizer.state.values():
            held += [value for value in moments.values() if torch.is_tensor(value)]
        need = sum(tensor.numel() * tensor.element_size() for tensor in held) + ROOM
        free = shutil.disk_usage(self.run).free
        if free < need and state.is_world_process_zero:
            facts = {"need_bytes": need, "free_bytes": free}
            self.write("disk-full", step=state.global_step, **facts)
        return free < need

    def on_log(self, args, state, control, logs, **kwargs):
        if "loss" not in logs:
            return
        facts = {key: logs.get(key) for key in ("loss", "grad_norm", "learning_rate")}
        tokens, seconds = int(logs.get("num_tokens", 0)), time.time() - self.since
        rate = (tokens - self.tokens) / max(seconds, 1e-6)
        facts |= {"tokens": self.earlier + tokens, "tokens_per_second": round(rate, 1)}
        self.tokens, self.since = tokens, time.time()
        self.mark = self.since
        if torch.cuda.is_available():
            facts["memory_bytes"] = torch.cuda.max_memory_allocated()
        if state.is_world_process_zero:
            self.write("step", step=state.global_step, epoch=state.epoch, **facts)
        # Under fp16 an infinite norm is usual: the scaler leaves that step out.
        norm = 0.0 if args.fp16 else facts["grad_norm"] or 0.0
        finite = math.isfinite(facts["loss"]) and math.isfinite(norm)
        if not self.go_on and not finite:
            self.exit_code, control.should_training_stop = Exit.NOT_FINITE, True
            control.should_evaluate = control.should_save = False  # nothing to keep

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        self.phase = "save" if control.should_save else "train"
        if state.is_world_process_zero:
            loss = metrics.get("eval_loss")
            self.write("eval", step=state.global_step, epoch=state.epoch, loss=loss)
        self.pause()

    def on_save(self, args, state, control, model, **kwargs):
        learnt = (weight for weight in model.parameters() if weight.requires_grad)
        finite = all(torch.isfinite(weight).all() for weight in learnt)
        if not self.go_on and not finite:
            # It stays unsealed: nothing is to go on from it.
            self.exit_code, control.should_training_stop = Exit.NOT_FINITE, True
            return
        if args.world_size > 1:
            torch.distributed.barrier()  # each rank has written its random state
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            seal(folder)
            remove_older(folder.parent, self.keep, state.best_model_checkpoint)
            self.write("checkpoint", step=state.global_step, path=folder.name)
        self.pause()

    def pause(self):
        """Leave what passed since the last step, log or pause out of tokens a second."""
        now = time.time()
        self.since, self.mark = self.since + now - self.mark, now


def stopped_early(state):
    """Say whether early stopping had ended the run that a checkpoint is of."""
    kept = state.stateful_callbacks.get("EarlyStoppingCallback")
    if not isinstance(kept, dict) or not state.global_step:
        return False
    patience = kept["args"]["early_stopping_patience"]
    return kept["attributes"]["early_stopping_patience_counter"] >= patience


def set_learning_rate(optimizer, scheduler, rate):
    """Have a resumed schedule follow another learning rate than its checkpoint's."""
    scheduler = getattr(scheduler, "scheduler", scheduler)  # accelerate wraps it
    for place, was in enumerate(getattr(scheduler, "base_lrs", ())):
        if was and was != rate:
            group = optimizer.param_groups[place]
            group["lr"], group["initial_lr"] = group["lr"] * rate / was, rate
            scheduler.base_lrs[place] = rate
            scheduler._last_lr[place] = group["lr"]  # what the first step's log tells


def digests(folder):
    """Return the size and SHA-256 of each file of a checkpoint but its manifest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = [path.stat().st_size, digest]
    return found


def sync(path):
    """Have a file on the disk itself, so that a loss of power leaves it as it is."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_all(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)


def seal(folder):
    """Write a checkpoint's manifest; with it the checkpoint is whole."""
    sync_all(folder)
    partial = folder.with_name(f"{folder.name}.manifest")
    partial.write_text(json.dumps(digests(folder), indent=1), encoding="utf-8")
    sync(partial)
    partial.replace(folder / "manifest.json")


def fault(folder):
    """Say what is wrong with a checkpoint; None: it is whole."""
    try:
        manifest = dict(json.loads((folder / "manifest.json").read_text("utf-8")))
    except OSError:
        return "it has no manifest: it was cut off"
    except (ValueError, TypeError):
        return "its manifest is damaged"
    found = digests(folder)
    wrong = [name for name, was in manifest.items() if found.get(name) != was]
    if wrong or not manifest:
        return f"{', '.join(wrong) or 'its manifest'} is not as it was written"
    return None


def checkpoints(run):
    """Return the folders of a run's checkpoints, the newest first."""
    found = [path for path in run.glob("checkpoint-*") if path.is_dir()]
    found = [path for path in found if path.name[11:].isdigit()]
    return sorted(found, key=lambda path: -int(path.name[11:]))


def newest_checkpoint(run, journal):
    """Return the newest whole checkpoint of a run, or None.

    Those that are not whole are passed over and put aside: without a manifest they never were
    a checkpoint and are removed, damaged ones are kept under another name.
    """
    for folder in checkpoints(run):
        why = fault(folder)
        if why is None:
            return folder
        print(f"{folder.name} is not whole ({why}), and is passed over", flush=True)
        journal.write("passed-over", path=folder.name, message=why)
        aside = folder.with_name(f"damaged-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.replace(aside)
        if not (aside / "manifest.json").exists():
            shutil.rmtree(aside, ignore_errors=True)
    return None


def remove_older(run, keep, best):
    """Remove all checkpoints but the newest `keep`, which are whole, and the best one."""
    for folder in checkpoints(run)[max(1, keep) :]:
        if best is None or Path(best).name != folder.name:
            shutil.rmtree(folder, ignore_errors=True)


def open_run(runs, plan, new=False):
    """Return the folder of the newest unfinished run, or of the next; None: all is done.

    A run of another plan is not gone on with: the next one is opened.
    """
    numbers = [int(path.name) for path in runs.glob("*") if path.name.isdigit()]
    last = max(numbers, default=0)
    if last and not new and plan_of(runs / str(last)) in (plan, None):
        finished = (runs / str(last) / "final").exists()
        return None if finished else runs / str(last)
    folder = runs / str(last + 1)
    folder.mkdir(parents=True, exist_ok=True)  # the ranks of one run meet here
    return folder


def only_one(run):
    """Lock a run's folder as long as this process lives; ends it where another has it."""
    file = os.open(run / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another process trains {run}", file=sys.stderr)
        sys.exit(Exit.UNUSABLE)
    except (ImportError, OSError):
        pass  # a system, or a file system, without locks
    return file


def plan_of(run):
    """Return the plan that a run was started under, or None where it has not started."""
    try:
        with open(run / "events.jsonl", encoding="utf-8") as file:
            events = [json.loads(line) for line in file if '"plan_hash"' in line]
    except (OSError, ValueError):
        return None
    return events[0].get("plan_hash") if events else None


def newest_final(runs):
    """Return final/ of the newest finished run, or None."""
    found = [path for path in runs.glob("*/final") if path.parent.name.isdigit()]
    return max(found, key=lambda path: int(path.parent.name), default=None)
