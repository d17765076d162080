"""`ftspec data`: reports, JSON, exit codes, cleaning; what is found is tested with the rules."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import SCRIPT, Ftspec, shell
from fakes import alpaca_rows, make_model, write_alpaca

from ftspec.cli import data_check, data_glance
from ftspec.spec.parse import parse

FINDING_KEYS = {"code", "name", "severity", "file", "line", "row", "rows", "count", "help"}


def write(name: str, rows: list) -> Path:
    path = Path(name)
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def sick(here: Path) -> Path:
    rows = alpaca_rows(120)
    rows[4]["output"] = "ask bob@corp-mail.de for xÂ²"
    return write("rows.jsonl", [*rows, rows[3], '{"instruction": "cut'])


def test_good_data(here: Path, ftspec_: Ftspec) -> None:
    write_alpaca(here / "rows.jsonl", 120)
    answer = ftspec_("data", "check", "rows.jsonl")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("rows.jsonl  120 rows, alpaca\n")
    assert answer.last == "nothing wrong was found"


def test_findings_are_told_worst_first_with_samples_and_a_remedy(sick, ftspec_: Ftspec) -> None:
    answer = ftspec_("data", "check", "rows.jsonl")
    assert answer.code == 1
    places = [answer.out.index(f"[{code}]") for code in ("FT501", "FT511", "FT521", "FT531")]
    assert places == sorted(places)
    assert "--> rows.jsonl:122:" in answer.out
    assert "becomes: ask bo************ for x²" in answer.out
    assert "corp-mail" not in answer.out
    assert "clean: only with --fix pii-email" in answer.out
    assert answer.last == "next: ftspec data clean rows.jsonl -o clean.jsonl"


def test_fail_on(sick: Path, ftspec_: Ftspec) -> None:
    assert ftspec_("data", "check", "rows.jsonl", "--fail-on", "never").code == 0
    write("few.jsonl", alpaca_rows(3))
    assert ftspec_("data", "check", "few.jsonl").code == 0
    assert ftspec_("data", "check", "few.jsonl", "--fail-on", "info").code == 1


def test_json_has_the_shape_that_programs_rely_on(sick: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("data", "check", "rows.jsonl", "--json")
    document = answer.json
    assert answer.code == 1
    assert (document["schema_version"], document["rows"], document["format"]) == (1, 122, "alpaca")
    by_name = {finding["name"]: finding for finding in document["findings"]}
    assert set(by_name) == {"invalid-json", "duplicate", "mojibake", "pii-email"}
    assert all(set(finding) >= FINDING_KEYS for finding in by_name.values())
    duplicate = by_name["duplicate"]
    assert (duplicate["row"], duplicate["rows"], duplicate["file"]) == (121, [121], "rows.jsonl")
    assert by_name["invalid-json"]["line"] == 122
    assert document["counts"]["pii-email"] == 1 and document["indicators"] == {}
    assert "corp-mail" not in answer.out


def test_a_file_without_a_row_is_an_error(here: Path, ftspec_: Ftspec) -> None:
    for content in ("", "\n\n", "[]", "{}"):
        Path("rows.json").write_text(content)
        answer = ftspec_("data", "check", "rows.json", "--fail-on", "error")
        assert answer.code == 1 and "no row can be used" in answer.out


def test_leakage_and_globs(here: Path, ftspec_: Ftspec) -> None:
    write("a1.jsonl", alpaca_rows(60))
    write("a2.jsonl", alpaca_rows(130)[60:])
    write("held.csv", ["question,answer", "what is w99,other"])
    document = ftspec_("data", "check", "a*.jsonl", "--eval", "held.csv", "--json").json
    (finding,) = [f for f in document["findings"] if f["name"] == "leakage"]
    assert (finding["file"], finding["rows"]) == ("a2.jsonl", [40])
    assert document["files"] == ["a1.jsonl", "a2.jsonl"] and document["held_out_rows"] == 1


def test_a_spec_names_files_columns_and_the_model(here: Path, ftspec_: Ftspec) -> None:
    make_model(here / "tiny")
    write("ours.jsonl", [{"ask": f"w{n} w{n % 7}", "say": f"w{n % 31} w1"} for n in range(120)])
    Path("spec.yaml").write_text(
        "model: tiny\nmethod: lora\ndata:\n  train: ours.jsonl\n  format: alpaca\n"
        "  columns: {instruction: ask, output: say}\n  max_length: 8\n"
    )
    document = ftspec_("data", "check", "--spec", "spec.yaml", "--json").json
    assert document["rows"] == 120 and document["format"] == "alpaca"
    measured = document["indicators"]["ours.jsonl"]
    assert measured["rows_measured"] == 120 and measured["max_length"] == 8
    assert measured["longest"] <= 8 and 0 < measured["supervised_share"] < 1
    assert ftspec_("data", "check", "ours.jsonl", "--json").json["format"] == "unknown"


def test_rows_that_are_cut_and_rows_of_which_nothing_is_learnt(here: Path, ftspec_) -> None:
    make_model(here / "tiny")
    rows = [*alpaca_rows(1), {"instruction": "w1 " * 30, "output": "w2"}]
    write("rows.jsonl", [*rows, {"instruction": "w3", "output": "w4 " * 30}])
    words = ("data", "check", "rows.jsonl", "--model", "tiny", "--max-length", "12", "--json")
    found = {f["name"]: f["rows"] for f in ftspec_(*words).json["findings"]}
    assert found["too-long"] == [2, 3] and found["all-masked"] == [2]


def test_an_answer_without_an_end_token(here: Path, ftspec_: Ftspec) -> None:
    make_model(here / "tiny")
    settings = json.loads(Path("tiny/tokenizer_config.json").read_text())
    settings["eos_token"] = "w30"
    Path("tiny/tokenizer_config.json").write_text(json.dumps(settings))
    write("rows.jsonl", [{"instruction": "w1", "output": "w2 w3"}])
    words = ("data", "check", "rows.jsonl", "--model", "tiny", "--json")
    assert "no-end-token" in ftspec_(*words).json["counts"]
    settings["chat_template"] += "{{ eos_token }}"
    Path("tiny/tokenizer_config.json").write_text(json.dumps(settings))
    assert "no-end-token" not in ftspec_(*words).json["counts"]


def test_without_a_tokenizer_it_says_so(here: Path, ftspec_: Ftspec) -> None:
    make_model(here / "tiny")
    Path("tiny/tokenizer.json").unlink()
    write_alpaca(here / "rows.jsonl", 120)
    answer = ftspec_("data", "check", "rows.jsonl", "--model", "tiny")
    assert "not looked for: tokens were not counted: no tokenizer of `tiny`" in answer.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "nope.jsonl"),
        ("check", "."),
        ("check", "*.parquet"),
        ("check", "rows.jsonl", "--spec", "nope.yaml"),
        ("check", "rows.jsonl", "--model", "./nope"),
        ("clean", "rows.jsonl"),
        ("clean", "rows.jsonl", "-o", "out.txt"),
        ("clean", "rows.jsonl", "-o", "no/folder/out.jsonl"),
        ("clean", "rows.jsonl", "-o", "out.jsonl", "--fix", "everything"),
        ("preview", "rows.jsonl"),
        ("nothing",),
    ],
)
def test_usage_and_what_cannot_be_read(arguments, sick: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("data", *arguments)
    assert answer.code == 2, answer
    assert answer.err and "Traceback" not in answer.err


def test_clean_then_check(sick: Path, ftspec_: Ftspec) -> None:
    before = sick.read_bytes()
    dry = ftspec_("data", "clean", "rows.jsonl", "-o", "out.jsonl", "--dry-run")
    assert dry.code == 0 and not Path("out.jsonl").exists()
    assert "122 rows = 119 as they are + 1 would be repaired + 2 would be set aside" in dry.out
    answer = ftspec_("data", "clean", "rows.jsonl", "-o", "out.jsonl", "--fix", "safe,FT531")
    assert answer.code == 0
    assert "122 rows = 119 as they are + 1 repaired + 2 set aside" in answer.out
    assert answer.last == "next: ftspec data check out.jsonl"
    aside = [json.loads(line) for line in Path("out.quarantine.jsonl").read_text().splitlines()]
    assert [(item["row"], item["name"]) for item in aside] == [
        (121, "duplicate"),
        (122, "invalid-json"),
    ]
    assert aside[1]["text"] == '{"instruction": "cut'
    assert ftspec_("data", "check", "out.jsonl").code == 0
    assert sick.read_bytes() == before


def test_clean_writes_over_no_input_and_no_output(sick: Path, ftspec_: Ftspec) -> None:
    Path("link.jsonl").hardlink_to(sick)
    for out in ("rows.jsonl", "./rows.jsonl", "link.jsonl"):
        answer = ftspec_("data", "clean", "rows.jsonl", "-o", out, "--force")
        assert answer.code == 2 and "is an input" in answer.err
    assert ftspec_("data", "clean", "rows.jsonl", "-o", "out.jsonl").code == 0
    again = ftspec_("data", "clean", "rows.jsonl", "-o", "out.jsonl")
    assert again.code == 2 and "--force" in again.err
    assert ftspec_("data", "clean", "rows.jsonl", "-o", "out.jsonl", "--force").code == 0


def test_the_ledger_as_json(sick: Path, ftspec_: Ftspec) -> None:
    ledger = ftspec_("data", "clean", "rows.jsonl", "--dry-run", "--json").json
    assert (ledger["rows"], ledger["written"]) == (122, 120)
    assert ledger["counts"] == {"duplicate": 1, "invalid-json": 1, "mojibake": 1}


def test_a_near_name_of_a_fix(sick: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("data", "clean", "rows.jsonl", "--dry-run", "--fix", "duplicates")
    assert "Did you mean `duplicate`?" in answer.err


def test_preview_marks_what_is_learnt_masked_and_cut(here: Path, ftspec_: Ftspec) -> None:
    make_model(here / "tiny")
    write("rows.jsonl", [{"instruction": "w1 w2", "output": "w3 w4 w5"}])
    words = ("data", "preview", "rows.jsonl", "--model", "tiny")
    answer = ftspec_(*words, "--max-length", "8")
    assert answer.code == 0
    assert answer.out.startswith("rows.jsonl row 1  ") and " cut\n" in answer.out
    assert "[+" in answer.out and "w1 w2" in answer.out.split("[+")[0]
    page = ftspec_(*words, "--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    assert page.code == 0 and '<span class="learnt"><span class="token">' in text
    assert "http" not in text


def test_preview_of_hostile_text_runs_nothing(here: Path, ftspec_: Ftspec) -> None:
    make_model(here / "tiny")
    write("rows.jsonl", [{"instruction": "<script>x</script>", "output": "\x1b[31m {{ 7*7 }}"}])
    assert "\x1b[31m" not in ftspec_("data", "preview", "rows.jsonl", "--model", "tiny").out
    ftspec_("data", "preview", "rows.jsonl", "--model", "tiny", "--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<script>" not in text and "49" not in text.split("</style>")[1]


def test_interrupted_by_a_signal_it_leaves_no_half_file(here: Path) -> None:
    write(
        "rows.jsonl",
        [f'{{"instruction": "say {n}", "output": "I say {n}"}}' for n in range(60_000)],
    )
    command = [SCRIPT, "data", "clean", "rows.jsonl", "-o", "out.jsonl"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if any(name.endswith(".part") for name in os.listdir(".")) or child.poll() is not None:
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) in (0, 130)
    if child.returncode == 130:
        assert os.listdir(".") == ["rows.jsonl"]


def test_processes_find_what_one_finds_and_say_how_far_they_are(sick, ftspec_, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(data_check, "said_progress", lambda: told.append)
    alone = ftspec_("data", "check", "rows.jsonl", "--json")
    assert ftspec_("data", "check", "rows.jsonl", "--json", "--processes", "2").out == alone.out
    assert told == ["rows.jsonl: 122 rows, 100 %", "rows are held against one another"] * 2


def test_a_full_disk_is_told(sick: Path, ftspec_: Ftspec, monkeypatch) -> None:
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data_check, "check_data", full)
    answer = ftspec_("data", "check", "rows.jsonl")
    assert answer.code == 2
    assert "is full" in answer.err and "TMPDIR" in answer.err


def test_what_lacks_for_an_extra_is_told(sick: Path, ftspec_: Ftspec, monkeypatch) -> None:
    for name, option in (("ray", "--ray"), ("presidio_analyzer", "--presidio")):
        monkeypatch.setitem(sys.modules, name, None)
        answer = ftspec_("data", "check", "rows.jsonl", option)
        assert answer.code == 2 and "pip install 'ftspec[" in answer.err


def glanced(root: Path) -> list[tuple[str, str]]:
    parsed = parse((root / "spec.yaml").read_bytes(), "spec.yaml")
    assert parsed.spec is not None
    return [(f.name, f.title) for f in data_glance.glance(parsed.spec, root, "spec.yaml")]


def test_a_glance_tells_the_first_rows_and_keeps_it(here: Path, monkeypatch) -> None:
    monkeypatch.setenv("FTSPEC_CACHE", str(here / "cache"))
    monkeypatch.setattr(data_glance, "WORTH", 1)
    rows = alpaca_rows(1200)
    rows[4]["output"] = "ask bob@corp-mail.de for it"
    rows[1100]["output"] = "TODO"
    write("rows.jsonl", rows)
    write("spec.yaml", ["model: tiny", "method: lora", "data: rows.jsonl"])
    seen = [("pii-email", "1 row holds e-mail addresses (of the first 1,000)")]
    assert glanced(here) == seen
    kept = here / "cache" / "data.json"
    with monkeypatch.context() as context:
        context.setattr("ftspec.doctor.data.check.check", None)
        assert glanced(here) == seen  # nothing was looked at again
    assert "corp-mail" not in kept.read_text()
    kept.write_text('{"not": "ours"')
    assert glanced(here) == seen
    write("rows.jsonl", rows[5:])
    assert glanced(here) == []


def test_a_glance_is_silent_where_nothing_can_be_read(here: Path) -> None:
    for data in ("nope.jsonl", "owner/set"):
        write("spec.yaml", ["model: tiny", "method: lora", f"data: {data}"])
        assert glanced(here) == []


def test_findings_of_a_glance_are_warnings_with_the_next_command(here: Path) -> None:
    rows = alpaca_rows(120)
    rows[3]["output"] = "the key is gh" + "p_" + "a1B2c3D4e5F6" * 3
    write("rows.jsonl", rows)
    write("spec.yaml", ["model: tiny", "method: lora", "data: rows.jsonl"])
    parsed = parse(Path("spec.yaml").read_bytes(), "spec.yaml")
    (finding,) = data_glance.glance(parsed.spec, here, "spec.yaml")
    assert (finding.name, finding.severity, finding.place.line) == ("secret", "warning", 4)
    assert "`ftspec data check --spec spec.yaml` tells every row" in finding.help


def test_the_group_s_help() -> None:
    answer = shell("data", "--help")
    assert answer.returncode == 0
    assert "check" in answer.stdout and "preview" in answer.stdout


def test_checking_imports_no_heavy_library(here: Path) -> None:
    write_alpaca(here / "rows.jsonl", 120)
    code = (
        "import sys; from ftspec.cli.boundary import run;"
        "assert run(['data', 'check', 'rows.jsonl']) == 0;"
        "print(sorted({n.partition('.')[0] for n in sys.modules}"
        " & {'torch', 'transformers', 'numpy', 'pyarrow', 'tokenizers', 'datasets'}))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert child.stdout.splitlines()[-1:] == ["[]"], child.stderr
