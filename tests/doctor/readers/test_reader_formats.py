"""Each format: a small log of it, whole, packed, behind a megabyte of noise, and cut off."""

from __future__ import annotations

import gzip
import math

import pytest
from reader_samples import SAMPLES, Sample

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import READERS, detect, read
from ftspec.doctor.curves.series import Run

CASES = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
BINARY = ("tensorboard", "wandb", "mlflow")
WHOLE = (*BINARY, "csv", "hf_trainer_state", "json_lists")  # nothing stands before such a log
PRINTED = [sample for sample in SAMPLES.values() if sample.format not in WHOLE]


def same(found: list[float | None], expected: list[float | None]) -> None:
    assert [value is None for value in found] == [value is None for value in expected]
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None]
    for a, b in pairs:
        assert a == pytest.approx(b, rel=1e-6, nan_ok=True)


def holds(run: Run, sample: Sample) -> None:
    same([record.step for record in run.train], list(sample.steps))
    same([record.loss for record in run.train], list(sample.losses))
    same([e.loss for e in run.evals], [loss for _, loss in sample.evals])
    same([e.step for e in run.evals], [step for step, _ in sample.evals])
    for name, value in (sample.columns or {}).items():
        assert run.train.values(name)[0] == pytest.approx(value, rel=1e-6), name
    if sample.max_steps:
        assert run.planned.max_steps == sample.max_steps


def test_every_format_has_a_sample() -> None:
    assert {reader.format for reader in READERS} == {s.format for s in SAMPLES.values()}


@CASES
def test_a_log_is_detected_and_read(sample: Sample) -> None:
    log = Log.of_bytes("x", sample.data)
    assert detect(log).format == sample.format
    run = read(log)
    holds(run, sample)
    if sample.format != "mlflow":
        assert run.problems == ()


@CASES
def test_a_packed_log_is_read(sample: Sample) -> None:
    holds(read(Log.of_bytes("x", gzip.compress(sample.data))), sample)


@pytest.mark.parametrize("sample", PRINTED, ids=lambda sample: sample.format)
def test_a_log_behind_megabytes_of_noise_is_read(sample: Sample) -> None:
    noise = b"".join(
        b"Map: %d%%|##  | %d/9999 [00:01<00:09, 99 examples/s]\r" % (i % 100, i)
        for i in range(30_000)
    )
    run = read(Log.of_bytes("x", noise + b"\n" + sample.data * 40))
    assert run.format == sample.format
    assert len(run.train) == 40 * len(sample.losses)


@CASES
def test_windows_line_ends_are_read(sample: Sample) -> None:
    if sample.format not in BINARY:
        holds(read(Log.of_bytes("x", sample.data.replace(b"\n", b"\r\n"))), sample)


@CASES
def test_of_a_log_that_is_cut_off_the_whole_records_are_read(sample: Sample) -> None:
    if sample.format == "mlflow":
        return
    whole = [record.loss for record in read(Log.of_bytes("x", sample.data)).train]
    for end in range(0, len(sample.data), max(1, len(sample.data) // 40)):
        run = read(Log.of_bytes("x", sample.data[:end]))
        losses = [record.loss for record in run.train]
        # the last line may have lost its last digits
        sound = losses[:-1] if sample.format not in BINARY else losses
        assert str(sound) == str(whole[: len(sound)]), end


def test_a_packed_log_that_is_cut_off_says_so() -> None:
    data = gzip.compress(SAMPLES["jsonl"].data * 500)
    run = read(Log.of_bytes("x", data[: len(data) * 2 // 3]))
    assert len(run.train) > 100
    assert any("cut off or broken" in problem.text for problem in run.problems)


def test_a_binary_format_is_known_by_its_bytes_not_its_name() -> None:
    assert detect(Log.of_bytes("events.out.tfevents.1", b"step,loss\n1,2\n2,1\n")).format == "csv"
    assert detect(Log.of_bytes("run.wandb", b"hello\n")) is None


def test_names_that_mean_the_same_are_one_quantity() -> None:
    line = '{"iteration": 3, "lm loss": 2.0, "grad norm": 0.5, "lr": 1e-4, "tok/sec": 5, "ppl": 7}'
    run = read(Log.of_bytes("x", f"{line}\n".encode()))
    (record,) = run.train
    assert (record.step, record.loss, record.grad_norm) == (3, 2.0, 0.5)
    assert (record.learning_rate, record.tokens_per_second) == (1e-4, 5)
    assert run.column("perplexity") == [7]
    assert run.column("reward") == [None]


def test_numbers_in_all_spellings() -> None:
    cells = [
        "1,234.5",
        "np.float64(0.5)",
        "tensor(0.25, device='cuda:0')",
        "NaN",
        "-inf",
        "Infinity",
    ]
    lines = [f'{{"step": {n}, "loss": "{cell}"}}\n' for n, cell in enumerate(cells, 1)]
    losses = [record.loss for record in read(Log.of_bytes("x", "".join(lines).encode())).train]
    assert losses[:3] == [1234.5, 0.5, 0.25]
    assert [math.isnan(loss) for loss in losses[3:]] == [True, True, False]
    assert math.isinf(losses[5])


def test_of_an_export_of_two_runs_each_is_read_and_the_longest_judged() -> None:
    lines = ["Step,a - train/loss,a - train/loss__MAX,b - train/loss,b - eval/loss"]
    lines += [
        f"{n},{3 - n / 8},9,{2 - n / 8 if n < 5 else ''},{1.5 if n == 4 else ''}" for n in range(9)
    ]
    run = read(Log.of_bytes("x", "\n".join(lines).encode()))
    assert [(part.start, part.end) for part in run.segments] == [(0, 9), (9, 14)]
    assert run.losses == [3 - n / 8 for n in range(9)]
    assert [(e.step, e.loss) for e in run.evals] == [(4, 1.5)]
    assert [problem.text for problem in run.problems] == [
        "a table of 2 runs: each is read, one is judged"
    ]


def test_lines_that_look_like_records_and_are_not_used_are_counted() -> None:
    lines = ["iter 1: loss 2.0, time 5.0ms, mfu 1.00%", "iter 2: loss 1.5, time 5.0ms, mfu 1.00%"]
    lines += ["[rank 1] step 1 had loss=2.5", "[rank 1] step 2 had loss=2.25", "no loss here"]
    (problem,) = read(Log.of_bytes("x", "\n".join(lines).encode())).problems
    assert problem.line == 3
    assert problem.text == "2 lines with a loss not used, the first: [rank 1] step 1 had loss=2.5"
