"""Readers: what trainers really write, and what nobody should."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.doctor.chart import draw
from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import detect, read
from ftspec.doctor.diagnose import Diagnosis, diagnose_log
from ftspec.doctor.report import as_json, as_text


def run_of(text: str | bytes):
    return read(Log.of_bytes("log", text if isinstance(text, bytes) else text.encode()))


def state(*rows: object, **keys: object) -> str:
    return json.dumps({"global_step": 9, "max_steps": 90, **keys, "log_history": list(rows)})


def test_trainer_state_with_bare_nan_and_a_summary_row() -> None:
    run = run_of(
        state(
            {"loss": math.nan, "grad_norm": math.inf, "learning_rate": 1e-5, "step": 1},
            {"loss": 2.0, "step": 2},
            {"train_runtime": 9.0, "train_loss": 1.7, "step": 2},
        )
    )
    assert [record.loss for record in run.train][1:] == [2.0]
    assert math.isnan(run.train[0].loss)
    assert math.isinf(run.train[0].grad_norm)
    assert run.train[1].grad_norm is None
    assert (run.planned.learning_rate, run.planned.max_steps) == (1e-5, 90)


def test_numbers_in_quotes_are_read() -> None:
    row = {"loss": "0.91", "grad_norm": "nan", "learning_rate": "3.094e-07", "step": "5"}
    (record,) = run_of(state(row)).train
    assert (record.loss, record.learning_rate, record.step) == (0.91, 3.094e-07, 5.0)


def test_several_evaluation_sets_are_judged_by_their_mean() -> None:
    rows = []
    for step in (1, 2):
        rows += [{f"eval_g{n}_loss": float(n + step), "step": step} for n in range(3)]
        rows[-1]["eval_g2_accuracy"] = 0.5
    run = run_of(state(*rows))
    assert [(e.name, e.loss) for e in run.evals[:2]] == [("g0", 1.0), ("g1", 2.0)]
    assert run.evals[2].metrics == {"accuracy": 0.5}
    assert [e.loss for e in run.held_out] == [2.0, 3.0]


def test_what_cannot_be_read_is_said() -> None:
    run = run_of(state({"loss": "much", "step": 1}, "row", {"loss": 1.0, "step": 2}))
    assert [record.loss for record in run.train] == [None, 1.0]
    assert [problem.text for problem in run.problems] == [
        "row 1: the loss is not a number",
        "row 2 of the log is not an object",
    ]


def test_a_cut_off_state_gives_the_rows_before_the_fault() -> None:
    text = state({"loss": 2.0, "step": 1}, {"loss": 1.5, "step": 2}).replace("}, {", "},\n {")
    run = run_of(text[:-12])
    assert [record.loss for record in run.train] == [2.0]
    assert run.problems[0].line == 2
    assert "1 row before it" in run.problems[0].text


def test_a_saved_log_history_is_read() -> None:
    run = run_of(json.dumps([{"loss": 2.0, "step": 1}, {"eval_loss": 1.0, "step": 1}]))
    assert (len(run.train), len(run.evals), run.format) == (1, 1, "hf_trainer_state")


def test_repeated_and_backward_steps_stay_in_order_and_the_newest_counts() -> None:
    rows = [(10, 3.0), (20, 2.0), (20, 2.1), (30, 9.0), (20, 2.2), (30, 1.5)]
    run = run_of(state(*({"loss": loss, "step": step} for step, loss in rows)))
    assert len(run.train) == 6
    assert [(r.step, r.loss) for r in run.judged] == [(10, 3.0), (20, 2.2), (30, 1.5)]


def test_of_two_runs_in_one_file_the_longest_is_judged() -> None:
    rows = [(1, 3.0), (2, 2.0), (1, 5.0), (2, 4.0), (3, 3.5)]
    run = run_of(state(*({"loss": loss, "step": step} for step, loss in rows)))
    assert [r.loss for r in run.judged] == [5.0, 4.0, 3.5]


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_after_a_resume_the_newest_record_counts() -> None:
    steps = [{"event": "step", "step": step, "loss": float(step)} for step in (1, 2, 3, 4)]
    again = [{"event": "step", "step": step, "loss": 10.0 + step} for step in (3,)]
    resumed = {"event": "start", "resumed_from": "checkpoint-2"}
    run = run_of(lines({"event": "start", "resumed_from": None}, *steps, resumed, *again))
    assert [r.loss for r in run.judged] == [1.0, 2.0, 13.0]
    assert len(run.train) == 5


def test_after_a_fresh_start_only_the_new_run_counts() -> None:
    steps = [{"event": "step", "step": step, "loss": float(step)} for step in (1, 2, 3)]
    fresh = {"event": "start", "resumed_from": None, "learning_rate": 1e-5}
    run = run_of(lines(fresh, *steps, fresh, *steps[:1]))
    assert [r.loss for r in run.judged] == [1.0]


def test_a_broken_last_line_is_tolerated_and_reported() -> None:
    run = run_of(lines({"event": "step", "step": 1, "loss": 2.0}) + '{"event": "st')
    assert len(run.train) == 1
    assert run.problems[0].line == 2
    assert "cut off" in run.problems[0].text


def test_broken_lines_are_said_with_their_numbers() -> None:
    good = {"event": "step", "step": 1, "loss": 2.0}
    run = run_of(lines(good) + "Traceback\n" + lines({**good, "step": 2}, {"a": 1}))
    assert [(p.line, p.text) for p in run.problems] == [
        (2, "not a JSON object: Traceback"),
        (4, "a JSON object without `event`"),
    ]


def test_many_problems_are_counted() -> None:
    run = run_of(lines({"event": "step", "step": 1, "loss": 2.0}) + "x\n" * 100)
    assert len(run.problems) == 21
    assert "80 more" in run.problems[-1].text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_read(encoding: str) -> None:
    text = lines({"event": "step", "step": 1, "loss": 2.0})
    assert len(run_of(text.encode(encoding)).train) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff\xfe",
        b"hello\n",
        b"{}",
        b"[]",
        b"null",
        b'{"log_history": 3}',
        b'{"log_history": [[], null, 3, {"loss": {}}, {"loss": true}]}',
        b'{"log_history": [{"loss": 1e999, "step": -1e999}]}',
        b'{"log_history": [{"loss": ' + b"9" * 400 + b', "step": 1}]}',
        b'{"log_history": [{"loss": ' + b"9" * 5000 + b', "step": 1}]}',
        b'{"log_history": ' + b"[" * 100_000,
        b'{"event": "step", "step": "x", "loss": []}',
        b'{"event": "step", "step": NaN, "loss": -Infinity}\n' * 30,
        b'{"event": "start", "learning_rate": "a", "effective_batch": 1e400}',
        b'{"event": "step", "step": 1, "loss": 0}\n' * 40,
        b'{"event": "eval", "step": null, "loss": 1}\n' * 9,
    ],
)
def test_what_is_no_log_or_an_odd_one_gives_findings(data: bytes) -> None:
    _judge(data)


def _judge(data: bytes) -> None:
    diagnosed = diagnose_log(Log.of_bytes("x", data))
    diagnosis = Diagnosis((diagnosed,))
    assert as_text(diagnosis)
    json.dumps(as_json(diagnosis), allow_nan=False)
    draw(diagnosed.run, diagnosed.findings, unicode=False)
    if not diagnosed.run.train and not diagnosed.run.evals:
        assert {"no-loss", "oom"} & {item.name for item in diagnosed.findings}


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    _judge(data)


numbers = st.one_of(
    st.none(), st.floats(), st.integers(), st.text(max_size=4), st.just("nan"), st.booleans()
)
rows = st.dictionaries(
    st.sampled_from(
        ["loss", "step", "epoch", "grad_norm", "learning_rate", "eval_loss", "eval_a_loss"]
        + ["reward", "train_runtime", "eval_accuracy"]
    ),
    numbers,
)


@given(st.lists(rows, max_size=40), st.dictionaries(st.just("max_steps"), numbers))
def test_arbitrary_states_never_raise(history, keys) -> None:
    _judge(json.dumps({**keys, "log_history": history}).encode())


kinds = st.sampled_from(["start", "step", "eval", "stop", "checkpoint", "out-of-memory", "odd"])
event_rows = st.builds(
    lambda kind, row: {"event": kind, **row},
    kinds,
    st.dictionaries(
        st.sampled_from(
            ["loss", "step", "epoch", "learning_rate", "total_steps", "effective_batch"]
            + ["resumed_from", "accumulation", "message", "epochs"]
        ),
        numbers,
    ),
)


@given(st.lists(event_rows, max_size=40))
def test_arbitrary_events_never_raise(history) -> None:
    _judge("".join(json.dumps(row) + "\n" for row in history).encode())


def test_formats_are_detected() -> None:
    assert detect(Log.of_bytes("x", b'{"event": "start"}')).format == "ftspec_events"
    assert detect(Log.of_bytes("x", state().encode())).format == "hf_trainer_state"
    assert detect(Log.of_bytes("x", b"step,loss\n1,2\n")).format == "csv"
    assert detect(Log.of_bytes("x", b"name,colour\n1,2\n")) is None
