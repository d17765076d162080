"""Checks that Ray runs find what one process finds. Skipped where Ray is not installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from data_cases import CASES, says

from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.check import Wanted, check
from ftspec.doctor.data.on_ray import parts_of
from ftspec.doctor.data.processes import Job
from ftspec.doctor.data.readers.source import Source, find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.report import as_json

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None,
    reason="ray is not installed: pip install 'ftspec[ray]'",
)


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Source, ...]:
    rows = [row for found, near in CASES.values() for row in (*found, *near)]
    rows += [says(f"It is {number % 3000}.", f"What of {number}?") for number in range(6_000)]
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "b.json").write_text(f"[{','.join(texts[::2])}]", encoding="utf-8")
    return find_sources([str(tmp_path / "a.jsonl"), str(tmp_path / "b.json")], Path())


@with_ray
@pytest.mark.filterwarnings("ignore")
def test_ray_finds_what_one_process_finds(sources, tmp_path: Path) -> None:
    alone = check(sources, Wanted(near=True))
    spread = check(sources, Wanted(near=True), lambda job: parts_of(job, 2))
    assert as_json(alone) == as_json(spread)
    path = tmp_path / "c.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UnreadableDataError, match="no whole Parquet file"):
        check(find_sources([str(path)], Path()), None, lambda job: parts_of(job, 2))


def test_without_ray_it_says_what_to_install(sources, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    job = Job(sources, None, tuple(item.rule.name for item in RULES), False, {}, None)
    with pytest.raises(UnreadableDataError, match="Ray cannot be used") as error:
        list(parts_of(job))
    assert "ftspec[ray]" in error.value.help
