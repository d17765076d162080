"""The labelled logs of strangers in ../shared/logs: no traceback, hardly a false alarm.

Scored as bench/doctor scores them; bench/doctor/README.md says which half was seen when. The
bounds are looser than what is reached: they keep a change from undoing it in silence.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ftspec.doctor.diagnose import Diagnosis
from ftspec.doctor.examine import examine
from ftspec.doctor.report import as_json, as_text

ALARMS = 0.05  # of the healthy logs
RECALL = {"grave": 0.85, "mild": 0.70}


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    path = Path(__file__).parents[2] / "bench" / "doctor" / "bench.py"
    spec = importlib.util.spec_from_file_location("bench_doctor", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_log_is_read_and_shown(shared_logs: Path, bench: ModuleType) -> None:
    for row in bench.index(shared_logs):
        (found,) = examine([shared_logs / row["file"]]).runs
        if row["format"] == "hf_trainer_state":  # the other formats' counts are the judge's own
            counts = (str(len(found.run.train)), str(len(found.run.evals)))
            assert counts == (row["train_records"], row["eval_records"]), row["file"]
        assert as_text(Diagnosis((found,)))
        json.dumps(as_json(Diagnosis((found,))), allow_nan=False)


def test_false_alarms_and_recall(shared_logs: Path, bench: ModuleType) -> None:
    scored = list(bench.score(shared_logs, bench.index(shared_logs)))
    said = "\n".join([*bench.summary(scored), *bench.named(scored, "first")])
    healthy = [item for item in scored if item.label == "healthy"]
    assert sum(bool(item.loud) for item in healthy) <= ALARMS * len(healthy), said
    assert sum(item.read for item in scored) >= 0.98 * len(scored), said
    for labels, bound in ((bench.GRAVE, RECALL["grave"]), (bench.MILD, RECALL["mild"])):
        of = [item for item in scored if item.label in labels]
        assert sum(item.hit for item in of) >= bound * len(of), said
