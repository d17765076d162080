"""bench/vram: the grid and its split, and rows of exact length."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import capped
import cases
import grid
import prepare
import pytest
import rows
from vram_case import CASE, GIB, TINY

from ftspec.compiler.facts.lengths import measure as measure_lengths
from ftspec.compiler.facts.model import resolve_model

METHODS = {"full", "lora", "qlora", "prefix", "prompt"}


# The cases


def test_the_grid_is_large_and_broad() -> None:
    found = grid.grid()
    assert len(found) >= 250
    assert len({case.architecture for case in found}) >= 14
    assert {case.method for case in found} == METHODS
    assert min(case.length for case in found) == 256
    assert max(case.length for case in found) == 16384
    assert max(case.batch for case in found) == 32
    assert {case.targets for case in found} >= {"attention-min", "attention", "all-linear"}
    assert {case.checkpointing for case in found} == {True, False, "selective"}
    assert {case.rows for case in found} == {"uniform", "ragged", "packed"}
    assert {case.quantization for case in found} == {"none", "nf4", "fp4", "int8"}
    assert {case.optimizer for case in found} == set(grid.OPTIMIZERS)


def test_each_architecture_is_measured_with_each_method() -> None:
    methods = {(case.architecture, case.method) for case in grid.grid()}
    whole = [name for name in {**cases.TUNE, **cases.SCORE} if name not in cases.MIXTURES]
    assert not [
        (name, method) for name in whole for method in METHODS if (name, method) not in methods
    ]


def test_the_split_is_by_architecture() -> None:
    assert not set(cases.TUNE) & set(cases.SCORE)
    assert len(cases.SCORE) >= 8
    assert set(cases.LARGE) <= set(cases.TUNE) | set(cases.SCORE)
    splits = Counter(case.split for case in grid.grid())
    assert splits["score"] > splits["tune"] > 60
    names = {"tune": cases.TUNE, "score": cases.SCORE, "fresh": cases.FRESH}
    assert not set(cases.FRESH) & (set(cases.TUNE) | set(cases.SCORE))
    for case in grid.grid():
        assert case.architecture in names[case.split]


def test_models_have_the_architecture_that_they_are_listed_under() -> None:
    for model, architecture in cases.ARCHITECTURE_OF.items():
        assert cases.config_of(model)["model_type"] == architecture


def test_ids_are_unique_and_hold_all_numbers() -> None:
    found = [case.id for case in (*grid.grid(), *grid.pool())]
    assert len(set(grid.grid())) == len({case.id for case in grid.grid()})
    assert [case.id for case in (*grid.grid(), *grid.pool())] == found
    assert CASE.id != replace(CASE, r=8).id != replace(CASE, r=8, dropout=0.1).id


def test_an_id_stays_what_it_was() -> None:
    assert CASE.id == "smollm2-135m-lora-2x32-" + CASE.id[-6:]
    explicit = replace(CASE, dora=False, label_smoothing=0.0)
    assert explicit.id == CASE.id


def test_capped_cases_lie_near_their_caps() -> None:
    peaks = {case.id: (3 + number % 80) * GIB for number, case in enumerate(grid.pool())}
    found = capped.choose(peaks)
    shares = [peaks[replace(case, cap_gib=None).id] / ((case.cap_gib or 1) * GIB) for case in found]
    near = [share for share in shares if 0.85 <= share <= 1.10]
    assert len(found) >= 80
    assert len(near) >= len(found) / 3
    assert {case.cap_gib for case in found} == set(capped.CAPS)
    assert any(share > 1.1 for share in shares)
    assert any(share < 0.85 for share in shares)


def test_the_choice_of_caps_is_kept(tmp_path: Path) -> None:
    peaks = {case.id: (3 + number % 80) * GIB for number, case in enumerate(grid.pool())}
    found = capped.choose(peaks)
    capped.write(found, tmp_path / "capped.json")
    assert capped.read(tmp_path / "capped.json") == found
    assert capped.read(tmp_path / "none.json") == ()


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_cases_compile_without_findings(start: int, tmp_path: Path) -> None:
    hardware = prepare.hardware_of("h200")
    for case in (*grid.grid()[start::40], *grid.pool()[start::40]):
        plan = prepare.predict(case, tmp_path, hardware)
        assert plan.train.batch_size == case.batch
        assert plan.train.gradient_accumulation == case.accumulation
        assert plan.data.max_length == case.length
        packed = case.rows == "packed"
        assert plan.facts.longest_tokens == (case.length // 2 if packed else case.length)
        assert plan.data.packing == packed
        assert plan.train.activation_checkpointing == case.checkpointing
        assert plan.train.optimizer == case.optimizer
        assert plan.model.dtype == case.dtype
        assert plan.method.quantization == case.quantization
        assert plan.changes == ()


# Rows and tokens


@pytest.mark.parametrize("kind", ["uniform", "ragged", "packed"])
def test_rows_have_exact_lengths(kind: Any, tmp_path: Path) -> None:
    case = replace(CASE, rows=kind)
    rows.write_tokenizer(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(TINY))
    lengths = rows.train_lengths(case)
    texts = [{"text": rows.text(length)} for length in lengths]
    model = resolve_model("model", tmp_path)
    found = measure_lengths(texts, model, "text", {"text": "text"})
    assert found is not None
    assert found.tokens == lengths
    assert found.supervised == lengths


def test_every_ragged_micro_batch_has_a_longest_row() -> None:
    case = replace(CASE, rows="ragged", batch=4, accumulation=3, length=512)
    lengths = rows.train_lengths(case)
    assert len(lengths) == 12
    assert max(lengths) == 512
    assert 0 < sum(length < 512 for length in lengths) < case.batch


@pytest.mark.parametrize("sequences", [1, 2, 3, 8])
def test_packed_rows_fill_their_sequences(sequences: int) -> None:
    assert sum(rows.packed_lengths(512, sequences)) == 512 * sequences
