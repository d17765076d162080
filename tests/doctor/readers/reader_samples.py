"""A small log in each format, made here after what the trainers write, with what it holds."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A log, its format, and what is read of it."""

    format: str
    data: bytes
    steps: Sequence[float | None]
    losses: Sequence[float | None]
    evals: Sequence[tuple[float | None, float]] = ()  # step, loss
    columns: Mapping[str, float] | None = None  # of the first record
    max_steps: int | None = None


def text(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def rows(*found: Mapping[str, Any]) -> bytes:
    return text(*(json.dumps(row) for row in found))


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tf_event(step: int, scalars: Mapping[str, float]) -> bytes:
    """Frame one event with its scalars, checksums left at zero."""
    values = b"".join(
        field(1, field(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", value))
        for tag, value in scalars.items()
    )
    message = varint(1 << 3 | 1) + struct.pack("<d", 1.7e9) + field(2, step)
    message += field(5, values) if scalars else field(3, b"brain.Event:2")
    return struct.pack("<Q", len(message)) + b"\0" * 4 + message + b"\0" * 4


def tf_events(*events: tuple[int, Mapping[str, float]]) -> bytes:
    return tf_event(0, {}) + b"".join(tf_event(step, scalars) for step, scalars in events)


def wandb_file(*history: Mapping[str, Any]) -> bytes:
    """Write records as LevelDB's log does, in blocks of 32 KiB that cut them apart."""
    out = bytearray(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
    for row in history:
        items = b"".join(
            field(1, field(1, key.encode()) + field(16, json.dumps(value).encode()))
            for key, value in row.items()
        )
        _chunks(out, field(1, 7) + field(2, items))
    return bytes(out)


def _chunks(out: bytearray, data: bytes) -> None:
    first = True
    while True:
        room = 32768 - len(out) % 32768
        if room < 7:
            out += b"\0" * room
            continue
        part, data = data[: room - 7], data[room - 7 :]
        kind = (1 if not data else 2) if first else (4 if not data else 3)
        out += b"\0" * 4 + struct.pack("<HB", len(part), kind) + part
        first = False
        if not data:
            return


def mlflow_database(runs: Mapping[str, Sequence[tuple[str, int, float]]]) -> bytes:
    """Make a database with the tables of MLflow that are read; later runs began later."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table runs (run_uuid, start_time)")
        database.execute("create table metrics (key, value, timestamp, run_uuid, step, is_nan)")
        database.execute("create table params (key, value, run_uuid)")
        for place, (run, metrics) in enumerate(runs.items()):
            database.execute("insert into runs values (?, ?)", (run, place))
            database.executemany(
                "insert into metrics values (?, ?, 0, ?, ?, 0)",
                [(key, value, run, step) for key, step, value in metrics],
            )
        database.commit()
        return database.serialize()


TRAINER_ROWS = (
    {"epoch": 0.1, "grad_norm": 1.5, "learning_rate": 2e-5, "loss": 2.07, "step": 5},
    {"epoch": 0.2, "grad_norm": 1.2, "learning_rate": 1e-5, "loss": 1.91, "step": 10},
    {"epoch": 0.2, "eval_loss": 1.62, "eval_runtime": 8.1, "step": 10},
    {"epoch": 0.2, "train_loss": 1.99, "train_runtime": 90.5, "step": 10},
)

SAMPLES = {
    sample.format + (f"-{number}" if number else ""): sample
    for number, sample in [
        (
            0,
            Sample(
                "ftspec_events",
                rows(
                    {"event": "start", "resumed_from": None, "total_steps": 20},
                    {"event": "step", "step": 10, "loss": 2.5, "learning_rate": 1e-4},
                    {"event": "eval", "step": 10, "loss": 2.25},
                    {"event": "step", "step": 20, "loss": 2.0, "learning_rate": 1e-5},
                ),
                [10, 20],
                [2.5, 2.0],
                [(10, 2.25)],
                {"learning_rate": 1e-4},
                20,
            ),
        ),
        (
            0,
            Sample(
                "hf_trainer_state",
                json.dumps({"max_steps": 40, "log_history": TRAINER_ROWS}, indent=2).encode(),
                [5, 10],
                [2.07, 1.91],
                [(10, 1.62)],
                {"grad_norm": 1.5, "epoch": 0.1},
                40,
            ),
        ),
        (
            1,
            Sample(
                "hf_trainer_state",
                b'STATE = """\n{"global_step": 10, "log_history": '
                + json.dumps(TRAINER_ROWS).encode()
                + b', "max_steps": 40}\n"""\nprint("done")\n',
                [5, 10],
                [2.07, 1.91],
                [(10, 1.62)],
                max_steps=40,
            ),
        ),
        (
            0,
            Sample(
                "hf_stdout",
                text(
                    "[INFO|trainer.py:2128] 2025-01-02 22:09:01 >> ***** Running training *****",
                    "[INFO|trainer.py:2134] >>   Total optimization steps = 300",
                    "  3%|3         | 10/300 [00:10<04:50,  1.0s/it]",
                    "{'loss': 2.2818, 'grad_norm': nan, 'learning_rate': 2.5e-06, 'epoch': 0.29}",
                    "  3%|3         | 10/300 [00:10<04:50,  1.0s/it]\r  7%|6         | 20/300 [00:2"
                    "0<04:40,  1.0s/it]{'loss': 2.1, 'grad_norm': 1.2, 'learning_rate': 5e-06, "
                    "'epoch': 0.58}\r  7%|6         | 20/300 [00:20<04:40]",
                    "100%|##########| 4/4 [00:01<00:00]",
                    "{'eval_loss': 2.05, 'eval_runtime': 1.9, 'epoch': 0.58}",
                    "{'train_runtime': 30.1, 'train_loss': 2.19, 'epoch': 0.58}",
                ),
                [10, 20],
                [2.2818, 2.1],
                [(None, 2.05)],
                {"learning_rate": 2.5e-6},
                300,
            ),
        ),
        (
            1,
            Sample(
                "hf_stdout",
                text(
                    "{'loss': '0.91', 'grad_norm': '0.8618', 'epoch': '0.6623'}",
                    "{'loss': '0.9154', 'grad_norm': '0.7672', 'epoch': '0.6645'}",
                    "{'eval_loss': '0.88', 'epoch': '0.6645'}",
                ),
                [None, None],
                [0.91, 0.9154],
                [(None, 0.88)],
                {"grad_norm": 0.8618},
            ),
        ),
        (
            0,
            Sample(
                "llamafactory_trainer_log",
                rows(
                    {"current_steps": 5, "total_steps": 90, "loss": 1.7, "eval_loss": None}
                    | {"reward": None, "learning_rate": 5e-5, "epoch": 0.1, "percentage": 5.6},
                    {"current_steps": 10, "total_steps": 90, "loss": 1.6, "lr": 4e-5},
                    {"current_steps": 10, "total_steps": 90, "eval_loss": 1.5, "epoch": 0.2},
                    {"current_steps": 90, "total_steps": 90, "loss": None, "eval_loss": None}
                    | {"reward": None, "learning_rate": None, "epoch": 1.0, "percentage": 100},
                ),
                [5, 10],
                [1.7, 1.6],
                [(10, 1.5)],
                {"learning_rate": 5e-5},
                90,
            ),
        ),
        (
            0,
            Sample(
                "ms_swift",
                rows(
                    {"loss": 0.66, "grad_norm": 0.2, "global_step/max_steps": "601/2161"}
                    | {"memory(GiB)": 2.0, "percentage": "27.81%"},
                    {"loss": 0.67, "grad_norm": 0.3, "global_step/max_steps": "602/2161"}
                    | {"memory(GiB)": 2.0, "percentage": "27.86%"},
                    {"eval_loss": 0.7, "global_step/max_steps": "602/2161"},
                ),
                [601, 602],
                [0.66, 0.67],
                [(602, 0.7)],
                {"memory_bytes": 2.0 * 2**30},
                2161,
            ),
        ),
        (
            0,
            Sample(
                "jsonl",
                b'{"step":0,"epoch":0,"loss":NaN,"grad_norm":NaN,"lr":1.9e-06,"tps":11.7}\n'
                + rows(
                    {"step": 1, "epoch": 0, "loss": 2.5, "grad_norm": 1.0, "lr": 2e-06, "tps": 9},
                    {"step": 1, "val_loss": 2.4},
                ),
                [0, 1],
                [float("nan"), 2.5],
                [(1, 2.4)],
                {"tokens_per_second": 11.7},
            ),
        ),
        (
            1,
            Sample(
                "jsonl",
                rows(
                    {"_step": 3, "train/loss": 1.5, "train/global_step": 30, "_runtime": 2},
                    {"_step": 4, "train/loss": 1.4, "train/global_step": 40, "_runtime": 3},
                    {"_step": 5, "eval/loss": 1.3, "train/global_step": 40},
                ),
                [30, 40],
                [1.5, 1.4],
                [(40, 1.3)],
            ),
        ),
        (
            2,
            Sample(
                "jsonl",
                rows(
                    {"type": "books", "names": ["a", "b"]},
                    {"type": "iteration", "metrics": {"train": {"loss": 1.5}, "step": 3}},
                    {"type": "iteration", "metrics": {"train": {"loss": 1.25}, "step": 4}},
                ),
                [3, 4],
                [1.5, 1.25],
            ),
        ),
        (
            0,
            Sample(
                "csv",
                text("epoch,accuracy,loss,val_accuracy,val_loss", "0,0.5,0.9,0.4,1.0")
                + text("1,0.6,0.8,0.5,0.95"),
                [None, None],
                [0.9, 0.8],
                [(None, 1.0), (None, 0.95)],
                {"epoch": 0.0},
            ),
        ),
        (
            1,
            Sample(
                "csv",  # Lightning: a group of quantities a row
                text(
                    "epoch,lr-AdamW,step,train_loss_epoch,train_loss_step,val_loss",
                    ",0.001,9,,,",
                    "0,,9,,2.5,",
                    "0,,19,,2.25,",
                    "0,,19,,,2.0",
                    "0,,19,2.375,,",
                ),
                [9, 19],
                [2.5, 2.25],
                [(19, 2.0)],
                {"learning_rate": 0.001},
            ),
        ),
        (
            2,
            Sample(
                "csv",  # an export of W&B's page
                text(
                    '"Step","calm-frog-3 - train/loss","calm-frog-3 - train/loss__MIN"',
                    '"10","1.5","1.5"',
                    '"20","1.25","1.25"',
                ),
                [10, 20],
                [1.5, 1.25],
            ),
        ),
        (
            3,
            Sample(
                "csv",  # a notebook's table
                text(
                    "Step\tTraining Loss\tValidation Loss",
                    "500\tNo log\t1.75",
                    "1000\t1.5\t1.625",
                    "1500\t1.25\tNo log",
                ),
                [1000, 1500],
                [1.5, 1.25],
                [(500, 1.75), (1000, 1.625)],
            ),
        ),
        (
            0,
            Sample(
                "torchtune",
                text(
                    "Step 1 | loss:2.0853 lr:2e-05 tokens_per_second_per_gpu:57.8 ",
                    "Step 2 | loss:1.9953 lr:4e-05 tokens_per_second_per_gpu:58.1 ",
                ),
                [1, 2],
                [2.0853, 1.9953],
                columns={"learning_rate": 2e-5, "tokens_per_second": 57.8},
            ),
        ),
        (
            0,
            Sample(
                "tensorboard",
                tf_events(
                    (10, {"train/loss": 2.5}),
                    (10, {"train/grad_norm": 0.5}),
                    (10, {"eval/loss": 2.25}),
                    (20, {"train/loss": 2.0, "train/grad_norm": 0.25}),
                ),
                [10, 20],
                [2.5, 2.0],
                [(10, 2.25)],
                {"grad_norm": 0.5},
            ),
        ),
        (
            0,
            Sample(
                "wandb",
                wandb_file(
                    {"train/loss": 2.5, "train/global_step": 10, "_step": 0, "note": "x" * 40_000},
                    {"eval/loss": 2.25, "train/global_step": 10, "_step": 1},
                    {"train/loss": 2.0, "train/global_step": 20, "_step": 2},
                    {"train/train_runtime": 9.5, "train/train_loss": 2.25, "_step": 3},
                ),
                [10, 20],
                [2.5, 2.0],
                [(10, 2.25)],
            ),
        ),
        (
            0,
            Sample(
                "mlflow",
                mlflow_database(
                    {
                        "old": [("loss", 1, 9.0)],
                        "new": [("loss", 1, 2.5), ("loss", 2, 2.0), ("eval_loss", 2, 2.25)],
                        "system": [("system/cpu", 1, 0.5)],
                    }
                ),
                [1, 2],
                [2.5, 2.0],
                [(2, 2.25)],
            ),
        ),
        (
            0,
            Sample(
                "nanogpt",
                text(
                    "step 0: train loss 4.2874, val loss 4.2823",
                    "iter 0: loss 6.1551, time 63478.93ms, mfu -100.00%",
                    "iter 10: loss 4.6810, time 50.00ms, mfu 7.56%",
                    "iter 20: loss 4.0271, time 50.00ms, mfu 7.56%",
                ),
                [0, 10, 20],
                [6.1551, 4.681, 4.0271],
                [(0, 4.2823)],
                {"step_seconds": 63.47893},
            ),
        ),
        (
            1,
            Sample(
                "nanogpt",
                text(
                    "step 0: train loss 4.2221, val loss 4.2306",
                    "step 500: train loss 1.7600, val loss 1.9146",
                ),
                [0, 500],
                [4.2221, 1.76],
                [(0, 4.2306), (500, 1.9146)],
            ),
        ),
        (
            0,
            Sample(
                "llm.c",
                text(
                    "s:0 tel:10.98",
                    "s:0 trl:10.97 lr:0.000001 norm:15.50",
                    "s:1 trl:9.50 lr:0.000002 norm:2.25",
                    "s:1 eval:0.2500",
                ),
                [0, 1],
                [10.97, 9.5],
                [(0, 10.98)],
                {"grad_norm": 15.5},
            ),
        ),
        (
            0,
            Sample(
                "nanochat",
                text(
                    "Step 00000 | Validation bpb: 3.2",
                    "step 00010/21400 (0.05%) | loss: 9.812 | lrm: 1.00 | dt: 400.00ms | tok/sec: "
                    "1,310,720 | mfu: 47.5 | total time: 0.07m",
                    "step 00011/21400 (0.05%) | loss: 9.7 | lrm: 1.00 | dt: 400.00ms | tok/sec: "
                    "1,310,720 | mfu: 47.5 | total time: 0.08m",
                ),
                [10, 11],
                [9.812, 9.7],
                [(0, 3.2)],
                {"step_seconds": 0.4, "tokens_per_second": 1_310_720.0},
                21400,
            ),
        ),
        (
            0,
            Sample(
                "modded_nanogpt",
                text(
                    "import torch  # the script itself stands before the log",
                    "step:0/6200 val_loss:10.8258 train_time:0ms step_avg:nanms",
                    "step:1/6200 train_loss:10.8100 train_time:250ms step_avg:250.00ms",
                    "step:2/6200 train_loss:10.5000 train_time:500ms step_avg:250.00ms",
                ),
                [1, 2],
                [10.81, 10.5],
                [(0, 10.8258)],
                max_steps=6200,
            ),
        ),
        (
            0,
            Sample(
                "litgpt",
                text(
                    "iter 1151 step 144: loss 1.7019, iter time: 1106.53ms (optimizer.step)",
                    "iter 1152 step 144: loss 1.6900, iter time: 1260.82ms",
                ),
                [1151, 1152],
                [1.7019, 1.69],
                columns={"step_seconds": 1.10653},
            ),
        ),
        (
            1,
            Sample(
                "litgpt",
                text(
                    "Epoch 1 | iter 46 step 1 | loss train: 3.724, val: n/a | iter time: 45.70 ms",
                    "Epoch 1 | iter 47 step 1 | loss train: 3.5, val: 3.25 | iter time: 45.70 ms",
                ),
                [46, 47],
                [3.724, 3.5],
                [(47, 3.25)],
            ),
        ),
        (
            0,
            Sample(
                "olmo",
                text(
                    "[step=1/15000,epoch=0]",
                    "    optim/total_grad_norm=5.5",
                    "    train/CrossEntropyLoss=11.25",
                    "    train/Perplexity=76,880",
                    "    throughput/total_tokens=4,194,304",
                    "2024-06-01 INFO [step=2/15000,epoch=0]",
                    "    train/CrossEntropyLoss=11.0",
                    "saving...",
                ),
                [1, 2],
                [11.25, 11.0],
                columns={"grad_norm": 5.5, "tokens": 4_194_304.0, "perplexity": 76_880.0},
                max_steps=15000,
            ),
        ),
        (
            0,
            Sample(
                "verl",
                text(
                    "step:1 - actor/entropy:0.25 - actor/pg_loss:np.float64(-0.0038) - "
                    "actor/grad_norm:0.5 - critic/rewards/mean:0.125 - timing_s/step:12.5",
                    "step:2 - actor/entropy:0.25 - actor/pg_loss:np.float64(0.0040) - "
                    "actor/grad_norm:0.25 - critic/rewards/mean:0.25 - timing_s/step:12.5",
                ),
                [1, 2],
                [-0.0038, 0.004],
                columns={"reward": 0.125, "entropy": 0.25, "step_seconds": 12.5},
            ),
        ),
        (
            0,
            Sample(
                "mlx_lm",
                text(
                    "Starting training..., iters: 100",
                    "Iter 1: Val loss 2.086, Val took 17.177s",
                    "Iter 25: Train loss 1.593, Learning Rate 7.000e-05, It/sec 0.999, Tokens/sec "
                    "387.5, Trained Tokens 9699, Peak mem 8.000 GB",
                    "Iter 50: Train loss 1.406, Learning Rate 7.000e-05, It/sec 0.942, Tokens/sec "
                    "369.5, Trained Tokens 19515, Peak mem 8.000 GB",
                    "Iter 50: Saved adapter weights to adapters.safetensors.",
                ),
                [25, 50],
                [1.593, 1.406],
                [(1, 2.086)],
                {"learning_rate": 7e-5, "tokens": 9699.0, "memory_bytes": 8e9},
            ),
        ),
        (
            0,
            Sample(
                "mmengine",
                text(
                    "10/30 22:18:02 - mmengine - INFO - Epoch(train) [1][730/735]  lr: 1.9e-04  "
                    "eta: 2:46:39  time: 2.8906  memory: 10762  loss: 2.7522  grad_norm: 3.0608",
                    "10/30 22:18:30 - mmengine - INFO - Epoch(train) [2][ 10/735]  lr: 1.8e-04  "
                    "eta: 2:46:12  time: 2.8865  memory: 10762  loss: 2.6150  grad_norm: nan",
                ),
                [730, 745],
                [2.7522, 2.615],
                columns={"grad_norm": 3.0608, "learning_rate": 1.9e-4},
            ),
        ),
        (
            0,
            Sample(
                "megatron",
                text(
                    " iteration       10/  500 | consumed samples:     80 | elapsed time per iterat"
                    "ion (ms): 250.0 | learning rate: 1.5E-04 | lm loss: 2.5E+00 | loss scale: 4096"
                    ".0 | grad norm: 1.500 | number of nan iterations:   0 |",
                    " validation loss at iteration 10 | lm loss value: 2.25E+00 | lm loss PPL: 9.48"
                    "E+00 |",
                    " iteration       20/  500 | consumed samples:    160 | elapsed time per iterat"
                    "ion (ms): 250.0 | learning rate: 1.5E-04 | lm loss: 2.0E+00 | loss scale: 4096"
                    ".0 | grad norm: nan | number of nan iterations:   0 |",
                ),
                [10, 20],
                [2.5, 2.0],
                [(10, 2.25)],
                {"loss_scale": 4096.0, "step_seconds": 0.25, "grad_norm": 1.5},
                500,
            ),
        ),
        (
            0,
            Sample(
                "word_lm",
                text(
                    "| epoch   1 |   200/  400 batches | lr 20.00 | ms/batch 12.50 | loss  6.50 | "
                    "ppl   665.14",
                    "| epoch   1 |   400/  400 batches | lr 20.00 | ms/batch 12.50 | loss  6.00 | "
                    "ppl   403.43",
                    "| end of epoch   1 | time: 36.2s | valid loss  5.50 | valid ppl   244.69",
                    "| epoch   2 |   200/  400 batches | lr 20.00 | ms/batch 12.50 | loss  5.75 | "
                    "ppl   314.19",
                ),
                [200, 400, 600],
                [6.5, 6.0, 5.75],
                [(None, 5.5)],
                {"step_seconds": 0.0125, "learning_rate": 20.0},
            ),
        ),
        (
            0,
            Sample(
                "text",
                text(
                    "loading the data",
                    "2024-06-17 22:30:31,153 - INFO - Epoch: 1 | Step: 5,000 | Train loss: 0.755 | "
                    "Eval loss: 0.849",
                    "2024-06-17 22:30:39,406 - INFO - Epoch: 1 | Step: 10,000 | Train loss: 0.7 | "
                    "Eval loss: 0.8",
                ),
                [5000, 10000],
                [0.755, 0.7],
                [(5000, 0.849), (10000, 0.8)],
            ),
        ),
        (
            1,
            Sample(
                "text",  # bars of Lightning and Keras
                text(
                    "Epoch 0:  50%|#####     | 50/100 [00:05<00:05, 10.0it/s, loss=2.5, v_num=0]\r"
                    "Epoch 0: 100%|##########| 100/100 [00:10<00:00, 10.0it/s, loss=2.25, v_num=0]",
                    "Epoch 1:  50%|#####     | 50/100 [00:05<00:05, 10.0it/s, loss=2.0, v_num=0]",
                ),
                [50, 100, 150],
                [2.5, 2.25, 2.0],
            ),
        ),
        (
            0,
            Sample(
                "json_lists",
                json.dumps({"loss": [2.5, 2.0, 1.5], "val_loss": [2.25, 2.0]}, indent=1).encode(),
                [None] * 3,
                [2.5, 2.0, 1.5],
                [(None, 2.25), (None, 2.0)],
                {"epoch": 1.0},
            ),
        ),
    ]
}
