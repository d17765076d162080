"""`--allow`, `--yes` and `--write`: what may be changed to make it fit, and where it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import Ftspec
from fakes import write_alpaca

import ftspec.cli.question

SPEC = """\
# support answers
model: meta-llama/Llama-2-7b-hf   # the base
method: lora
data: {train: rows.jsonl, max_length: 1024}
train: {batch_size: 16, gradient_accumulation: 1, activation_checkpointing: false}  # fast
hardware: {gpu: rtx-4090, vram_limit: VRAM}
"""


@pytest.fixture
def spec(here: Path) -> Path:
    write_alpaca(here / "rows.jsonl")
    return here / "spec.yaml"


def write(spec: Path, vram: str) -> None:
    spec.write_bytes(SPEC.replace("VRAM", vram).replace("\n", "\r\n").encode())


def test_check_shows_what_was_asked_and_what_is_planned(ftspec_: Ftspec, spec: Path) -> None:
    write(spec, "23GiB")
    answer = ftspec_("check", spec)
    assert answer.code == 0
    assert "changed (asked -> planned):" in answer.out
    assert "false -> true" in answer.out
    changes = ftspec_("check", spec, "--json").json["changes"]
    assert {"path", "asked", "planned", "rule", "reason"} == changes[0].keys()
    assert "GiB" in changes[0]["reason"]


def test_write_keeps_every_other_byte(ftspec_: Ftspec, spec: Path) -> None:
    write(spec, "23GiB")
    os.chmod(spec, 0o640)
    before = spec.read_bytes()
    assert ftspec_("check", spec, "--write").code == 0
    after = spec.read_bytes()
    assert after != before
    old, new = before.split(b"\r\n"), after.split(b"\r\n")
    assert [line for line, other in zip(old, new, strict=True) if line != other] == [old[4]]
    assert new[4].endswith(b"# fast")
    assert spec.stat().st_mode & 0o777 == 0o640
    again = ftspec_("check", spec, "--write")
    assert "nothing to change" in again.err
    assert spec.read_bytes() == after


def test_without_leave_the_way_out_is_named(ftspec_: Ftspec, spec: Path) -> None:
    write(spec, "10GiB")
    answer = ftspec_("check", spec)
    assert answer.code == 1
    assert "--allow quantize" in answer.out


def test_allow_takes_it_and_the_project_says_so(ftspec_: Ftspec, spec: Path, here: Path) -> None:
    write(spec, "10GiB")
    assert ftspec_("build", spec).code == 1
    assert not (here / "spec-project").exists()
    answer = ftspec_("build", spec, "--allow", "quantize")
    assert answer.code == 0, answer.err
    assert "BitsAndBytesConfig" in (here / "spec-project" / "train.py").read_text()
    assert "allow: [quantize]" in (here / "spec-project" / "ftspec.yaml").read_text()


def test_yes_is_the_answer_to_the_question(ftspec_: Ftspec, spec: Path, here: Path) -> None:
    write(spec, "10GiB")
    assert ftspec_("build", spec, "--yes").code == 0
    assert (here / "spec-project" / "train.py").is_file()


@pytest.mark.parametrize(("said", "code"), [(True, 0), (False, 1)])
def test_at_a_terminal_it_asks(
    ftspec_: Ftspec, spec: Path, monkeypatch: pytest.MonkeyPatch, said: bool, code: int
) -> None:
    write(spec, "10GiB")
    asked = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return said

    monkeypatch.setattr(ftspec.cli.question, "at_a_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    assert ftspec_("build", spec).code == code
    assert asked == ["Take `method: qlora`?"] or "`method: qlora`" in asked[0]


def test_a_word_that_is_nothing_to_allow(ftspec_: Ftspec, spec: Path) -> None:
    write(spec, "10GiB")
    answer = ftspec_("check", spec, "--allow", "quantise")
    assert answer.code == 2
    assert "`quantize`" in answer.err


def test_the_flat_form_is_allowed_on_the_command_line(ftspec_: Ftspec, flat: Path) -> None:
    text = flat.read_text().replace("use_4bit: true", "use_4bit: false")
    flat.write_text(text)
    answer = ftspec_("check", flat, "--gpu", "rtx-4090", "--vram", "9GiB", "--allow", "quantize")
    assert "lora -> qlora" in answer.out
    rewritten = ftspec_(
        "check", flat, "--gpu", "rtx-4090", "--vram", "9GiB", "--allow", "quantize", "--write"
    )
    assert rewritten.code == 0
    assert "use_4bit: true" in flat.read_text()


def test_standard_input_is_not_written_to(ftspec_: Ftspec) -> None:
    assert ftspec_("check", "-", "--write").code == 2
