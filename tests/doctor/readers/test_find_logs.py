"""From folders to logs: what each kind of trainer leaves behind."""

from __future__ import annotations

import gzip
import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from reader_samples import SAMPLES, rows, tf_events

from ftspec.doctor.curves import log as log_module
from ftspec.doctor.curves.find import find_logs
from ftspec.doctor.curves.log import Log, UnreadableLogError
from ftspec.doctor.curves.readers import read
from ftspec.doctor.examine import examine


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def state(step: int, evals: bool = True) -> bytes:
    history = [{"loss": 2.0, "step": at, "epoch": at / 10} for at in range(1, step + 1)]
    history += [{"eval_loss": 2.0, "step": step}] if evals else []
    return json.dumps({"global_step": step, "log_history": history}).encode()


def test_the_newest_checkpoint_wins(tmp_path: Path) -> None:
    put(tmp_path / "checkpoint-9" / "trainer_state.json", state(9))
    newest = put(tmp_path / "checkpoint-10" / "trainer_state.json", state(10))
    assert find_logs(tmp_path) == (newest,)


def test_of_logs_of_one_run_the_richest_is_taken(tmp_path: Path) -> None:
    put(tmp_path / "checkpoint-2" / "trainer_state.json", state(2))
    events = put(
        tmp_path / "runs" / "Jun29_host" / "events.out.tfevents.1",
        tf_events(*((step, {"train/loss": 2.0}) for step in (1, 2, 3)), (3, {"eval/loss": 2.0})),
    )
    assert find_logs(tmp_path) == (events,)
    own = put(tmp_path / "trainer_state.json", state(3))
    assert find_logs(tmp_path) == (own,)


def test_evaluations_count_more_than_records(tmp_path: Path) -> None:
    own = put(tmp_path / "trainer_state.json", state(5))
    put(tmp_path / "trainer_log.jsonl", SAMPLES["ms_swift"].data.replace(b"eval_loss", b"x"))
    assert find_logs(tmp_path) == (own,)


@pytest.mark.parametrize("inside", [False, True])
def test_the_newest_run_of_wandb(tmp_path: Path, inside: bool) -> None:
    wandb = tmp_path / "wandb"
    put(wandb / "run-20240102_101112-old" / "run-old.wandb", SAMPLES["wandb"].data)
    newest = put(wandb / "offline-run-20240203_101112-new" / "run-new.wandb", SAMPLES["wandb"].data)
    put(newest.parent / "files" / "output.log", b"nothing to see\n")
    assert find_logs(wandb if inside else tmp_path) == (newest,)
    assert find_logs(newest.parent) == (newest,)


def test_wandbs_output_is_taken_where_it_tells_more(tmp_path: Path) -> None:
    run = tmp_path / "wandb" / "run-20240102_101112-a"
    put(run / "run-a.wandb", b":W&B" + b"\0" * 3)
    output = put(run / "files" / "output.log", SAMPLES["nanogpt"].data)
    assert find_logs(tmp_path) == (output,)


def test_the_newest_run_of_mlflow_is_a_folder(tmp_path: Path) -> None:
    for name, started in (("b" * 4, 5), ("a" * 4, 7)):
        run = tmp_path / "mlruns" / "0" / name
        put(run / "meta.yaml", f"run_id: {name}\nstart_time: {started}\n".encode())
        put(run / "metrics" / "train" / "loss", b"1700 2.5 1\n1701 2.0 2\nodd\n")
        put(run / "metrics" / "eval_loss", b"1701 2.25 2\n")
    (log,) = find_logs(tmp_path)
    assert log.name == "a" * 4
    found = read(Log.of_path(log))
    assert [(r.step, r.loss) for r in found.train] == [(1, 2.5), (2, 2.0)]
    assert [(e.step, e.loss) for e in found.evals] == [(2, 2.25)]
    assert [p.line for p in found.problems] == [3]


def test_a_database_of_mlflow_is_not_touched(tmp_path: Path) -> None:
    database = put(tmp_path / "mlflow.db", SAMPLES["mlflow"].data)
    assert find_logs(tmp_path) == (database,)
    assert len(read(Log.of_path(database)).train) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_kerass_two_folders_of_events_are_one_run(tmp_path: Path) -> None:
    for name, loss in (("train", 2.0), ("validation", 2.5)):
        put(
            tmp_path / name / "events.out.tfevents.1",
            tf_events((0, {"epoch_loss": loss}), (1, {"epoch_loss": loss / 2})),
        )
    (log,) = find_logs(tmp_path)
    found = read(Log.of_path(log))
    assert [(r.step, r.loss) for r in found.train] == [(0, 2.0), (1, 1.0)]
    assert [(e.step, e.loss) for e in found.evals] == [(0, 2.5), (1, 1.25)]


def test_event_files_of_a_resumed_run_are_read_in_order(tmp_path: Path) -> None:
    for name, steps in (("1", (1, 2, 3)), ("2", (3, 4))):
        events = ((step, {"train/loss": 4.0 - step / 2}) for step in steps)
        put(tmp_path / f"events.out.tfevents.{name}", tf_events(*events))
    (log,) = find_logs(tmp_path)
    assert [r.step for r in read(Log.of_path(log)).judged] == [1, 2, 3, 4]


def test_the_newest_version_of_lightning(tmp_path: Path) -> None:
    for version in (2, 10):
        put(tmp_path / "lightning_logs" / f"version_{version}" / "metrics.csv", b"step,loss\n1,2\n")
    (log,) = find_logs(tmp_path)
    assert log.parent.name == "version_10"


@pytest.mark.parametrize("depth", ["", "a", "a/b"])
def test_files_of_any_name_are_found_up_to_two_folders_down(tmp_path: Path, depth: str) -> None:
    folder = tmp_path / depth
    table = put(folder / "losses.csv", b"step,loss\n" + b"1,2.0\n2,1.5\n3,1.0\n")
    printed = put(folder / "train.out", SAMPLES["mlx_lm"].data)
    put(folder / "requirements.txt", b"loss==1.0\nloss==2.0\nloss==3.0\n" * 9)
    put(folder / "notes.txt", b"the loss was 2.0 at first\n")
    put(folder / "model.safetensors", b"\0" * 99)
    assert find_logs(tmp_path) == (table, printed)


def test_a_folder_without_a_log_says_what_was_looked_for(tmp_path: Path) -> None:
    put(tmp_path / "a" / "b" / "c" / "losses.csv", b"step,loss\n1,2.0\n2,1.5\n3,1.0\n")
    with pytest.raises(UnreadableLogError) as caught:
        find_logs(tmp_path)
    assert "TensorBoard" in caught.value.help
    with pytest.raises(UnreadableLogError):
        find_logs(tmp_path / "none")


def test_packed_files_are_found_and_read(tmp_path: Path) -> None:
    packed = put(tmp_path / "train.log.gz", gzip.compress(SAMPLES["nanogpt"].data))
    assert find_logs(tmp_path) == (packed,)
    assert len(read(Log.of_path(packed)).train) == 3


def test_several_paths_and_standard_input(tmp_path: Path, monkeypatch) -> None:
    one = put(tmp_path / "a.jsonl", rows(*({"step": n, "loss": 2.0} for n in range(9))))
    stream = TextIOWrapper(BytesIO(SAMPLES["csv"].data))
    monkeypatch.setattr(sys, "stdin", stream)
    found = examine([one, Path("-")]).runs
    assert [(item.run.source, len(item.run.train)) for item in found] == [
        (str(one), 9),
        ("standard input", 2),
    ]


def test_a_long_standard_input_goes_to_disk(monkeypatch) -> None:
    monkeypatch.setattr(log_module, "IN_MEMORY", 64)
    data = rows(*({"step": n, "loss": 2.0} for n in range(500)))
    log = Log.of_stream("standard input", BytesIO(data))
    found = read(log)
    assert (found.source, len(found.train)) == ("standard input", 500)
    assert log.text() == data.decode()


def test_tables_of_several_runs_in_one_folder_are_all_found(tmp_path: Path) -> None:
    table = b"step,loss\n" + b"1,2.0\n2,1.5\n3,1.0\n"
    files = tuple(put(tmp_path / "logs" / name, table) for name in ("a.csv", "metrics.csv"))
    assert find_logs(tmp_path) == files
