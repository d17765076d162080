"""Readers of logs: one file a format. Each scores a log, and the best reads it."""

from dataclasses import replace

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import (
    events,
    hf_stdout,
    history,
    jsonl,
    litgpt,
    llamafactory,
    llmc,
    megatron,
    mlflow,
    mlx_lm,
    mmengine,
    modded_nanogpt,
    ms_swift,
    nanochat,
    nanogpt,
    olmo,
    printed_step_loss,
    tables,
    tfevents,
    torchtune,
    trainer_state,
    verl,
    wandb_file,
    word_lm,
)
from ftspec.doctor.curves.readers.reader import SURE, Reader
from ftspec.doctor.curves.series import Problem, Run

READERS: tuple[Reader, ...] = (
    events.READER,
    tfevents.READER,
    wandb_file.READER,
    mlflow.READER,
    trainer_state.READER,
    llamafactory.READER,
    ms_swift.READER,
    jsonl.READER,
    history.READER,
    tables.READER,
    hf_stdout.READER,
    torchtune.READER,
    verl.READER,
    olmo.READER,
    megatron.READER,
    mmengine.READER,
    mlx_lm.READER,
    litgpt.READER,
    llmc.READER,
    modded_nanogpt.READER,
    nanochat.READER,
    nanogpt.READER,
    word_lm.READER,
    printed_step_loss.READER,
)


def detect(log: Log) -> Reader | None:
    """Return the reader that a log fits best, or None where it fits none."""
    best, most = None, 0.0
    for reader in READERS:
        score = reader.score(log)
        if score > most:
            best, most = reader, score
        if most >= SURE:
            break
    return best


def read(log: Log) -> Run:
    """Read a log; one of no known format becomes a run without records, format `unknown`.

    A text without records may still say how it ended: its events are kept, format `text`.
    """
    reader = detect(log)
    run = (reader or printed_step_loss.READER).read(log)
    if reader is None and not run.train and not run.events:
        run = Run(log.name, "unknown")
    if log.faults:
        faults = tuple(Problem(fault) for fault in log.faults)
        run = replace(run, problems=(*run.problems, *faults))
    return run
