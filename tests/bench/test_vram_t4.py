"""bench/vram: the public T4 rows: read in place, predicted, and told role by role."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import peer_tables
import pytest
import t4
import t4_answers
from vram_case import t4_folder


def test_the_t4_rows_are_read_in_place(tmp_path: Path) -> None:
    (t4_folder(tmp_path) / t4.LICENCE).unlink()
    with pytest.raises(FileNotFoundError, match="LICENSE"):
        t4.load_t4(tmp_path)
    found, again = t4.load_t4(t4_folder(tmp_path))
    assert (found.method, found.attention, found.allocated) == ("lora", "sdpa", 100 * 2**20)
    assert found.set_up == again.set_up
    assert found.config is not None
    question = t4.fitcheck_t4(found, tmp_path)
    assert question is not None
    assert question["parameters"] == 134_515_008
    assert json.loads(Path(question["config"]).read_text()) == found.config


def test_t4_errors_are_told_role_by_role(tmp_path: Path) -> None:
    answers = {"r": {"allocated": 220 * 2**20, "process": 100 * 2**20}}
    about = {"claims": "c", "asked": "a", "source": "t4.py", "answers": answers}
    text = peer_tables.t4_table(t4_folder(tmp_path), {"them": about})
    assert "| holdout | them | allocated | 1 of 1 | 120.00% | 120.00% |" in text
    assert "| holdout | them | process | 1 of 1 | 50.00% | 50.00% | 50.00% | -50.00% |" in text
    assert "| all | them | allocated | 1 of 2 |" in text
    assert "| repeat |" not in text
    assert "| them | reserved |" not in text


def test_a_t4_set_up_is_asked_once_and_no_answer_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = t4.load_t4(t4_folder(tmp_path))
    asked = []

    def ask(found: t4.T4Row) -> t4.Taken:
        asked.append(found.id)
        return t4.Taken(10, 20)

    told = t4_answers.answers(rows, ask)
    assert asked == ["r"]
    assert told["q"] == {"allocated": 10, "reserved": 20, "process": 20 + 141 * 2**20}

    def fail(found: t4.T4Row) -> t4.Taken:
        raise IndexError("beyond the end")

    assert t4_answers.answers(rows, fail) == {}
    assert "IndexError: beyond the end" in capsys.readouterr().err


def test_the_closest_set_up_says_what_it_can(tmp_path: Path) -> None:
    found, _ = t4.load_t4(t4_folder(tmp_path, quantization="nf4"))
    work = t4.work_of(found)
    assert (work.method, work.quantization, work.optimizer) == ("qlora", "nf4", "adamw_torch")
    assert (work.dtype, work.autocast, work.full_logits) == ("float16", None, True)
    with pytest.raises(KeyError, match="not in the catalogue"):
        t4.work_of(replace(found, config=None))
