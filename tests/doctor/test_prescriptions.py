"""From findings to patches of the spec, and what a person and a program see of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.doctor.curves.log import UnreadableLogError
from ftspec.doctor.curves.series import Planned, Run
from ftspec.doctor.diagnose import Diagnosis, planned
from ftspec.doctor.examine import examine
from ftspec.doctor.prescribe import epochs_for
from ftspec.doctor.report import as_json, as_text
from ftspec.spec.finding import Severity
from ftspec.spec.parse import parse

SPEC = """\
model: meta-llama/Llama-2-7b-hf      # the base
method:
  type: qlora
  dropout: 0.05   # as the guide says
data:
  train: data/train.jsonl
train:
  learning_rate: 2e-4   # usual
  epochs: 3
"""
FLAT_SPEC = """\
model: meta-llama/Llama-2-7b-hf
batch_size: 4
gradient_accumulation: 4  # four times four
learning_rate: 2e-4
epochs: 3
use_4bit: true
data: data/train.jsonl
"""
EVALS = [2.10, 1.95, 1.93, 2.05, 2.31, 2.48]
SWINGING = [5.0 if place % 2 else 0.2 for place in range(48)]


def spiking() -> list[float]:
    losses = [2.4 - 0.01 * place for place in range(80)]
    losses[40:42] = [7.0, 5.0]
    losses[60:62] = [8.0, 5.0]
    return losses


def patches(diagnosed) -> dict[str, list[list[tuple[str, object, object]]]]:
    """Return the patches of each finding; information that asks for nothing is left out."""
    return {
        finding.name: [
            [(edit.path, edit.before, edit.after) for edit in remedy.patch]
            for remedy in finding.prescriptions
        ]
        for finding in diagnosed.findings
        if finding.prescriptions or finding.severity.at_least(Severity.WARNING)
    }


def test_spikes_divide_the_rate_by_five_as_a_diff_with_comments_kept(
    make_events, diagnosed
) -> None:
    found = diagnosed(make_events(spiking()), SPEC)
    assert patches(found) == {"spikes": [[("train.learning_rate", 2e-4, 4e-5)]]}
    text = as_text(Diagnosis((found,)))
    assert "\n-  learning_rate: 2e-4   # usual\n+  learning_rate: 4e-5   # usual\n" in text
    assert "--- ftspec.yaml\n+++ ftspec.yaml\n" in text


def test_without_a_spec_paths_and_values_are_shown(make_events, diagnosed) -> None:
    text = as_text(Diagnosis((diagnosed(make_events(spiking())),)))
    assert "\n    train.learning_rate: 2e-4 -> 4e-5\n" in text
    assert "\n--- " not in text


def test_flat_raises_the_rate_tenfold(make_events, diagnosed) -> None:
    log = make_events([1.5] * 40, learning_rate=1e-6)
    assert patches(diagnosed(log)) == {"flat": [[("train.learning_rate", 1e-6, 1e-5)]]}


def test_flat_at_a_high_rate_is_not_raised(make_events, diagnosed) -> None:
    log = make_events([1.5] * 40, learning_rate=2e-3).replace('"grad_norm": 1.0, ', "")
    found = diagnosed(log, SPEC)
    assert patches(found) == {"flat": [[]]}
    (flat,) = [item for item in found.findings if item.name == "flat"]
    assert "high already" in flat.prescriptions[0].reason


def test_a_flat_run_that_ended_in_its_warm_up_gets_a_shorter_one(make_events, diagnosed) -> None:
    rates = [1e-8 * (place + 1) for place in range(40)]
    log = make_events([1.5 + 0.001 * (place % 3) for place in range(40)], rates=rates)
    found = diagnosed(log + json.dumps({"event": "end", "step": 400}) + "\n", SPEC)
    asked = [edit for made in patches(found).values() for patch in made for edit in patch]
    assert asked == [("train.warmup", None, 0.03)]


def test_a_spec_says_what_a_silent_log_does_not() -> None:
    given = "  batch_size: 4\n  gradient_accumulation: 4\n  scheduler: cosine\n"
    spec = parse(SPEC + given, "spec").spec
    assert spec is not None
    silent = planned(Run("x", "made"), spec)
    assert (silent.micro_batch, silent.accumulation, silent.effective_batch) == (4, 4, 16)
    assert (silent.scheduler, silent.learning_rate) == ("cosine", None)
    said = planned(Run("x", "made", planned=Planned(accumulation=2, scheduler="linear")), spec)
    assert (said.accumulation, said.effective_batch, said.scheduler) == (2, 8, "linear")


def test_divergence_at_an_absurd_rate_goes_to_a_usual_one(make_events, diagnosed) -> None:
    losses = [1.6, 11.8, *[10.4] * 10]
    found = diagnosed(make_events(losses, learning_rate=0.5), SPEC)
    assert patches(found)["diverges"] == [[]]  # the spec's 2e-4 is not what this run had
    found = diagnosed(make_events(losses, learning_rate=5.0))
    assert patches(found)["diverges"] == [[("train.learning_rate", 5.0, 2e-4)]]


def test_a_spec_that_was_corrected_already_is_not_patched_again(make_events, diagnosed) -> None:
    found = diagnosed(make_events(spiking()), SPEC.replace("2e-4", "4e-5"))
    assert patches(found) == {"spikes": [[]]}
    assert "already" in found.findings[0].prescriptions[0].reason


def test_a_run_that_dies_in_warm_up_stays_below_what_it_had_reached(make_events, diagnosed) -> None:
    rates = [2e-5 * min(10, (place + 1) / 5) for place in range(10)]
    losses = [2.3, 2.2, *[float("nan")] * 8]
    found = diagnosed(make_events(losses, rates=rates), SPEC)
    (remedy,) = found.findings[0].prescriptions
    assert remedy.patch[0].after == 6e-6  # half of 1.2e-5, at the third record
    assert "in warm-up" in remedy.reason


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, [("train.effective_batch", 16, 64)]),
        (SPEC, [("train.effective_batch", 16, 64)]),
        (FLAT_SPEC, [("train.gradient_accumulation", 4, 16)]),
        (
            SPEC + "  gradient_accumulation: 4\n  effective_batch: 16\n",
            [("train.gradient_accumulation", 4, 16), ("train.effective_batch", 16, 64)],
        ),
    ],
)
def test_oscillation_takes_a_larger_batch(spec, expected, make_events, diagnosed) -> None:
    found = diagnosed(make_events(SWINGING), spec)
    assert patches(found)["oscillates"] == [expected]


def test_the_flat_form_is_patched_in_its_own_key(make_events, diagnosed) -> None:
    found = diagnosed(make_events(SWINGING), FLAT_SPEC)
    text = as_text(Diagnosis((found,)))
    assert "+gradient_accumulation: " in text
    assert "# four times four" in text


def overfitting(make_events, diagnosed, spec: str | None):
    losses = [2.6 * 0.93**place for place in range(36)]
    return diagnosed(make_events(losses, EVALS, epochs=6.0), spec)


def test_overfitting_is_answered_in_the_guides_order(make_events, diagnosed) -> None:
    found = overfitting(make_events, diagnosed, SPEC.replace("epochs: 3", "epochs: 6"))
    assert patches(found) == {
        "overfits": [
            [("train.epochs", 6, 3.0)],
            [("method.dropout", 0.05, 0.1)],
            [],
            [("train.learning_rate", 2e-4, 1e-4)],
            [("train.early_stopping", None, True)],
        ]
    }


def test_what_the_method_cannot_take_is_left_out(make_events, diagnosed) -> None:
    spec = SPEC.replace("epochs: 3", "max_steps: 360").replace("  dropout: 0.05", "  #")
    found = overfitting(make_events, diagnosed, spec.replace("qlora", "full"))
    paths = [edit[0] for remedy in patches(found)["overfits"] for edit in remedy]
    assert paths == ["train.max_steps", "train.learning_rate", "train.early_stopping"]


@pytest.mark.parametrize(
    ("best", "expected"),
    [(2.9, 3.0), (2.0, 2.0), (1.2, 1.5), (1.02, 1.0), (0.5, 0.5), (0.3, 0.3), (0.02, 0.1)],
)
def test_epochs_are_those_of_the_best_evaluation(best, expected) -> None:
    assert epochs_for(best) == pytest.approx(expected)


def test_contradictions_are_resolved_not_listed(make_events, diagnosed) -> None:
    losses = [2.0] * 30 + [9.0, 5.0] + [2.0] * 30  # flat, and spiking
    found = diagnosed(make_events(losses))
    assert patches(found) == {"spikes": [[("train.learning_rate", 2e-4, 4e-5)]], "flat": []}
    (flat,) = [item for item in found.findings if item.name == "flat"]
    assert flat.help.startswith("deal with `spikes` first")


def test_the_rate_is_prescribed_once(make_events, diagnosed) -> None:
    losses = [2.6 * 0.97**place for place in range(72)]
    losses[30:32] = [8.0, 6.0]
    found = diagnosed(make_events(losses, EVALS, epochs=6.0))
    edits = [e for remedies in patches(found).values() for patch in remedies for e in patch]
    assert [edit[0] for edit in edits].count("train.learning_rate") == 1
    assert {"spikes", "overfits"} <= set(patches(found))


def test_a_short_log_is_logged_more_often(make_events, diagnosed) -> None:
    found = diagnosed(make_events([2.3, 2.1, 1.9, 1.8, 1.7, 1.6]), SPEC)
    assert patches(found) == {"too-short": [[("train.logging_steps", 10, 1)]]}
    assert found.healthy


def test_a_broken_spec_is_said_and_not_patched(make_events, diagnosed) -> None:
    found = diagnosed(make_events(spiking()), "model: [\n")
    text = as_text(Diagnosis((found,)))
    assert "`ftspec.yaml` has errors and is not patched" in text


def test_json_has_the_contracts_shape(make_events, diagnosed) -> None:
    answer = as_json(Diagnosis((diagnosed(make_events(spiking()), SPEC),)))
    answer = json.loads(json.dumps(answer, allow_nan=False))
    assert answer["schema_version"] == 1
    (run,) = answer["runs"]
    assert {"source", "format", "records", "eval_records", "healthy", "findings"} <= set(run)
    assert (run["records"], run["eval_records"], run["healthy"]) == (80, 0, False)
    (finding,) = [item for item in run["findings"] if item["severity"] == "warning"]
    assert (finding["code"], finding["name"]) == ("FT404", "spikes")
    assert finding["prescriptions"][0]["patch"] == [
        {"path": "train.learning_rate", "from": 2e-4, "to": 4e-5}
    ]
    assert set(finding["prescriptions"][0]) == {"patch", "reason", "expect", "refuted_by"}


def test_the_report_is_ascii_where_asked(make_events, diagnosed) -> None:
    diagnosis = Diagnosis((diagnosed(make_events(spiking(), EVALS), SPEC),))
    assert as_text(diagnosis, unicode=False).isascii()
    assert "\u2588" in as_text(diagnosis)


def project(folder: Path, log: str, number: int = 1) -> Path:
    run = folder / "runs" / str(number)
    run.mkdir(parents=True)
    (run / "events.jsonl").write_text(log)
    (folder / "ftspec.yaml").write_text(SPEC)
    return run


def test_a_project_folder_means_its_newest_run_and_its_spec(tmp_path, make_events) -> None:
    project(tmp_path, make_events([2.0] * 9), 9)
    run = project(tmp_path, make_events(spiking()), 10)
    for path in (tmp_path, run, run / "events.jsonl", tmp_path / "runs"):
        (found,) = examine([path]).runs
        assert found.run.source == str(run / "events.jsonl")
        assert found.spec is not None
        assert found.spec.text == SPEC
        assert patches(found) == {"spikes": [[("train.learning_rate", 2e-4, 4e-5)]]}


def test_the_newest_checkpoint_wins(tmp_path) -> None:
    for step in (90, 100):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        rows = [{"loss": 2.0, "step": step}]
        state = {"global_step": step, "log_history": rows}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "runs" / "Nov24_host").mkdir(parents=True)  # TensorBoard's, not ours
    (found,) = examine([tmp_path]).runs
    assert found.run.train[0].step == 100
    assert len(examine([tmp_path.parent / tmp_path.name, tmp_path]).runs) == 2


def test_paths_without_a_log_say_so(tmp_path) -> None:
    with pytest.raises(UnreadableLogError, match="holds no log"):
        examine([tmp_path])
    with pytest.raises(UnreadableLogError, match="does not exist"):
        examine([tmp_path / "nothing"])


def test_the_doctor_imports_nothing_heavy() -> None:
    code = (
        "import sys, ftspec.doctor.report;"
        "print([m for m in ('torch', 'transformers', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
