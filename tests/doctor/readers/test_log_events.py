"""What a text says besides numbers: how it ended, and where it went wrong."""

from __future__ import annotations

import pytest

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import read
from ftspec.doctor.curves.series import Event

RECORDS = ["{'loss': 2.0, 'epoch': 0.1}", "{'loss': 1.5, 'epoch': 0.2}"]
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


def events(*lines: str, records: bool = True) -> list[Event]:
    found = [*(RECORDS if records else []), *lines]
    return list(read(Log.of_bytes("x", "\n".join(found).encode())).events)


def traceback(*calls: str) -> list[str]:
    frames = [line for call in calls for line in ('  File "a.py", line 3, in f', f"    {call}")]
    return ["Traceback (most recent call last):", *frames]


@pytest.mark.parametrize(
    ("calls", "phase"),
    [
        (("trainer.train()", "self.training_step(model)", "loss.backward()"), "train"),
        (("trainer.train()", "self.evaluate()", "self.prediction_step(m)", "x = f(y)"), "evaluate"),
        (("trainer.train()", "losses = estimate_loss()", "model(X, Y)"), "evaluate"),
        (("model = AutoModel.from_pretrained(name)", "load(x)"), "load"),
        (("trainer.save_model(path)", "torch.save(state, f)"), "save"),
        (("model = model.merge_and_unload()", "x + y"), "merge"),
        (("out = model.generate(**inputs)", "self.forward()"), "generate"),
        (("logits, loss = model(X, Y)",), "train"),
    ],
)
def test_out_of_memory_has_its_phase(calls: tuple[str, ...], phase: str) -> None:
    (event,) = events(*traceback(*calls), OOM)
    assert (event.kind, event.phase, event.text) == ("out-of-memory", phase, OOM)
    assert (event.line, event.at) == (2 * len(calls) + 4, 2)


def test_before_any_record_an_unknown_phase_is_none() -> None:
    (event,) = events(*traceback("f(x)"), OOM, records=False)
    assert event.phase is None


def test_frames_without_a_heading_are_frames() -> None:
    lines = [
        "Unhandled error: ray::WorkerDict.update()",
        *traceback("m.update_actor(x)", "g()")[1:],
    ]
    (event,) = events(*lines, OOM, records=False)
    assert event.phase == "train"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
            "out-of-memory",
        ),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory"),
        (
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes",
            "out-of-memory",
        ),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=1.", "out-of-memory"),
        ("run.sh: line 3:  4242 Killed                  python train.py", "killed"),
        ("Killed", "killed"),
        ("worker 3 exitcode: -9 (pid: 42) of binary: python", "killed"),
        ("KeyboardInterrupt", "stop"),
        ("slurmstepd: error: *** JOB 1 CANCELLED DUE TO SIGTERM ***", "stop"),
        ("Resuming training from checkpoint-500", "resume"),
        ("Resumed from checkpoint out/ckpt-10.pt", "resume"),
        (
            "Training completed. Do not forget to share your model on huggingface.co/models =)",
            "end",
        ),
    ],
)
def test_lines_that_say_how_it_went(line: str, kind: str) -> None:
    (event,) = events(line)
    assert (event.kind, event.text, event.line) == (kind, line, 3)


@pytest.mark.parametrize(
    "line",
    [
        "killed processes are restarted: 0",
        "no out of memory so far",
        "ValueError is raised where the rows are empty",
        "training finished 50 %",
        "2024-06-01 an Error was expected here",
        "[WARNING] PYTORCH_CUDA_ALLOC_CONF may help against out of memory",
        "the model was Killedeer",
    ],
)
def test_lines_that_only_sound_like_it(line: str) -> None:
    assert events(line) == []


def test_a_tracebacks_last_line_is_the_error() -> None:
    (event,) = events(*traceback("x = d[k]"), "KeyError: 'labels'")
    assert (event.kind, event.text, event.phase) == ("error", "KeyError: 'labels'", "train")


def test_what_all_ranks_say_is_said_once() -> None:
    lines = [
        line
        for rank in range(8)
        for line in (
            f"[rank{rank}]: Traceback (most recent call last):",
            f'[rank{rank}]:   File "a.py", line 3, in f',
            f"[rank{rank}]:     loss.backward()",
            f"[rank{rank}]: {OOM}",
        )
    ]
    (event,) = events(*lines)
    assert (event.kind, event.phase) == ("out-of-memory", "train")


def test_checkpoints_carry_the_step() -> None:
    lines = [f"iter {step}: loss 2.0, time 5.0ms, mfu 1.00%" for step in (0, 10)]
    found = events(*lines, "saving checkpoint to out", records=False)
    assert [(event.kind, event.step) for event in found] == [("checkpoint", 10)]
