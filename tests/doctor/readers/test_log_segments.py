"""Columns, and the pieces of logs that resume, restart or repeat themselves."""

from __future__ import annotations

import math

import pytest

from ftspec.doctor.curves.columns import Records
from ftspec.doctor.curves.series import Event, Record, Run


def run_of(*rows: tuple[float | None, float], events: tuple[Event, ...] = ()) -> Run:
    return Run("x", "x", tuple(Record(step=step, loss=loss) for step, loss in rows), events=events)


def kinds(run: Run) -> list[tuple[int, int, str]]:
    return [(part.start, part.end, part.kind) for part in run.segments]


def test_records_are_kept_in_columns_and_come_back_as_they_were() -> None:
    rows = [Record(1.0, loss=2.0, grad_norm=math.inf), Record(loss=math.nan), Record(3.0)]
    records = Records.of(rows)
    assert set(records.columns) == {"step", "loss", "grad_norm"}
    assert str(list(records)) == str(rows)
    assert records.values("step") == [1.0, None, 3.0]
    assert records[-1] == rows[-1]
    assert list(records[::2]) == [rows[0], rows[2]]
    assert len(records[1:]) == 2
    assert list(records.at([2, 0])) == [rows[2], rows[0]]


def test_a_logged_minus_infinity_is_not_finite_rather_than_not_logged() -> None:
    (loss,) = Records.of([Record(loss=-math.inf)]).values("loss")
    assert loss is not None
    assert math.isnan(loss)


def test_one_run_is_one_segment() -> None:
    run = run_of((1, 3.0), (2, 2.0), (3, 1.0))
    assert kinds(run) == [(0, 3, "first")]
    assert run.judged is run.curve is run.judged


def test_a_step_said_twice_parts_nothing_and_the_newest_counts() -> None:
    run = run_of((1, 3.0), (1, 3.1), (2, 2.0), (2, 2.1))
    assert kinds(run) == [(0, 4, "first")]
    assert run.losses == [3.1, 2.1]


def test_a_resume_goes_back_a_part_of_the_way() -> None:
    run = run_of((10, 3.0), (20, 2.0), (30, 9.0), (20, 2.5), (30, 1.5))
    assert kinds(run) == [(0, 3, "first"), (3, 5, "resumed")]
    assert run.losses == [3.0, 2.5, 1.5]


def test_a_restart_goes_back_to_the_beginning_and_the_longest_is_judged() -> None:
    run = run_of((1, 3.0), (2, 2.0), (3, 1.5), (1, 5.0), (2, 4.0))
    assert kinds(run) == [(0, 3, "first"), (3, 5, "restarted")]
    assert run.losses == [3.0, 2.0, 1.5]


def test_the_same_rows_again_are_told_from_a_new_run() -> None:
    rows = [(float(step), 4.0 - step / 4) for step in range(1, 7)]
    run = run_of(*rows, *rows)
    assert kinds(run) == [(0, 6, "first"), (6, 12, "repeated")]
    assert run.losses == [loss for _, loss in rows]


def test_logged_starts_decide() -> None:
    rows = ((1, 3.0), (2, 2.0), (3, 1.5), (4, 1.25))
    resumed = (Event("start", 0, text="fresh"), Event("start", 2, text="resumed"))
    assert kinds(run_of(*rows, events=resumed)) == [(0, 2, "first"), (2, 4, "resumed")]
    assert len(run_of(*rows, events=resumed).judged) == 4
    fresh = (Event("start", 0, text="fresh"), Event("start", 3, text="fresh"))
    assert kinds(run_of(*rows, events=fresh)) == [(0, 3, "first"), (3, 4, "restarted")]
    assert run_of(*rows, events=fresh).losses == [1.25]


def test_without_steps_the_epoch_tells_and_may_stand_still() -> None:
    epochs = (0.1, 0.1, 0.2, 0.3, 0.1, 0.2)
    run = Run("x", "x", tuple(Record(epoch=epoch, loss=1.0) for epoch in epochs))
    assert kinds(run) == [(0, 4, "first"), (4, 6, "restarted")]
    assert len(run.judged) == 4


def test_gaps_in_the_steps_part_nothing() -> None:
    run = run_of((1, 3.0), (None, 2.0), (3, 1.0))
    assert kinds(run) == [(0, 3, "first")]
    assert len(run.judged) == 3


def test_no_records_have_no_segments() -> None:
    run = Run("x", "x")
    assert (run.segments, len(run.judged), run.losses) == ((), 0, [])
    assert run.column("reward") == []


@pytest.mark.parametrize(("size", "limit", "left"), [(10, 20, 10), (100, 20, 20), (101, 20, 17)])
def test_a_thinned_curve_has_at_most_so_many_records(size: int, limit: int, left: int) -> None:
    run = run_of(*((float(step), 1.0 / step) for step in range(1, size + 1)))
    thinned = run.thinned(limit)
    assert len(thinned) == left
    steps = thinned.values("step")
    assert steps == sorted(steps)


def test_a_thinned_record_is_the_median_of_its_neighbours() -> None:
    run = run_of((1, 1.0), (2, 9.0), (3, 2.0), (4, 1.0), (5, 1.5), (6, 7.0))
    assert [(r.step, r.loss) for r in run.thinned(2)] == [(2, 2.0), (5, 1.5)]
