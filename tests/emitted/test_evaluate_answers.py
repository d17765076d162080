"""evaluate.py's generated answers: batched, scored, by category, for several models at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emitted_modules import imported
from projects import Trained, run
from tiny import make_llama, rows_of, write_rows

Find = Callable[[str], Trained]
pytestmark = [
    # peft 0.21 asks transformers 5.23 by a name that is to go, and says that it ignores positions.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Position ids are not supported"),
]


def final(made: Trained) -> Path:
    return made.project / "runs" / "1" / "final"


@pytest.mark.parametrize("method", ["lora", "qlora", "prefix", "prompt"])
def test_answers_in_batches_are_those_of_one_prompt_at_a_time(method: str, trained: Find) -> None:
    import torch

    made = trained(method)
    with imported(made.project, "evaluate") as evaluate:
        tokenizer = evaluate.load_tokenizer()
        model = evaluate.load_tuned(final(made)).eval()
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.data *= 2.5  # so that what is said hangs on all that was said before
        dice = torch.Generator().manual_seed(0)
        sizes = (3, 9, 9, 17, 30)
        prompts = [torch.randint(5, 300, (n,), generator=dice).tolist() for n in sizes]
        evaluate.BATCH = 3
        batched = evaluate.answers(model, tokenizer, prompts, 10)
        evaluate.BATCH = 1
        alone = evaluate.answers(model, tokenizer, prompts, 10)
    assert batched == alone
    assert len({tuple(new) for new, _ in alone}) > 2


def test_an_answer_ends_where_the_template_ends_a_turn(trained: Find) -> None:
    """Also where the end of a turn is not the end of the sequence."""
    with imported(trained("lora").project, "evaluate") as evaluate:
        tokenizer = evaluate.load_tokenizer()
        model = evaluate.load_base()
        end = tokenizer.convert_tokens_to_ids("<|end|>")
        assert evaluate.end_ids(model, tokenizer) == [end]
        tokenizer.eos_token = "<|user|>"
        model.generation_config.eos_token_id = [7, 8]
        user = tokenizer.convert_tokens_to_ids("<|user|>")
        assert evaluate.end_ids(model, tokenizer) == sorted({end, user, 7, 8})


def test_questions_ask_for_the_last_answer(trained: Find) -> None:
    with imported(trained("qlora").project, "evaluate") as evaluate:
        tokenizer = evaluate.load_tokenizer()
        row = rows_of("sharegpt", 1)[0]
        ids, expected = evaluate.question(row, tokenizer)
        assert expected == "red is tree"
        said = "<|user|>what is red 0<|end|>\n<|assistant|>red is tree<|end|>\n<|user|>again<|end|>"
        assert tokenizer.decode(ids) == f"<|system|>Be kind.<|end|>\n{said}\n<|assistant|>"
        assert evaluate.question({"conversations": []}, tokenizer) is None
        assert evaluate.question({"conversations": row["conversations"][:1]}, tokenizer) is None


def test_prompts_without_room_for_an_answer_are_left_out(
    trained: Find, capsys: pytest.CaptureFixture[str]
) -> None:
    with imported(trained("lora").project, "evaluate") as evaluate:
        tokenizer = evaluate.load_tokenizer()
        rows = evaluate.held_out(tokenizer)
        rows[2]["row"]["instruction"] = "long " * 300  # the model has 256 positions
        assert [number for number, _, _ in evaluate.questions(rows, tokenizer, 20)] == [
            *range(2),
            *range(3, 7),
        ]
    assert "1 prompts have over 236 tokens: not answered" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(trained: Find, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LoRA project again, with categories in its held-out rows, evaluated with everything."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(trained("lora").project.parent, folder, dirs_exist_ok=True)
    rows = [{**row, "category": "ab"[n % 2]} for n, row in enumerate(rows_of("alpaca", 7))]
    write_rows(folder / "alpaca-eval.jsonl", rows)
    project = folder / "project"
    names = ["perplexity", "bleu", "chrf", "rouge", "exact-match"]
    options = ["--checkpoints", "--adapter", f"again={project}/runs/1/final"]
    options += ["--max-new-tokens", "12", "--metrics", *names]
    (folder / "shown.txt").write_text(run(project, "evaluate.py", *options).stdout)
    return folder


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "project/runs/1/evaluation.json").read_text())
    return found


def answers(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "project/runs/1/answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_models_stand_beside_each_other(whole: Path) -> None:
    found = result(whole)
    steps = [f"checkpoint-{step}" for step in (50, 60)]
    assert list(found["models"]) == ["base", "tuned", *steps, "again"]
    assert found["models"]["again"] == found["models"]["tuned"]
    assert found["models"]["checkpoint-60"] == found["models"]["tuned"], "the last step"
    assert found["models"]["checkpoint-50"] != found["models"]["tuned"]
    assert found["models"]["base"]["perplexity"]["difference"] == 0
    shown = (whole / "shown.txt").read_text()
    for name in found["models"]:
        assert shown.count(name) >= len(found["metrics"])
    assert f"{100 * found['metrics']['perplexity']['change']:+.1f} %" in shown


def test_scores_are_those_of_the_answers_kept(whole: Path) -> None:
    pytest.importorskip("sacrebleu")
    kept, found = answers(whole), result(whole)
    assert [line["row"] for line in kept] == list(range(1, 8))
    assert kept[0]["prompt"].endswith("<|assistant|>") and kept[0]["expected"] == "red is tree"
    for model in found["models"]:
        (whole / "said").write_text("".join(f"{line['answers'][model]}\n" for line in kept))
        (whole / "wanted").write_text("".join(f"{line['expected']}\n" for line in kept))
        for name in ("bleu", "chrf"):
            command = [sys.executable, "-m", "sacrebleu", "wanted", "-i", "said", "-b", "-w", "6"]
            command += ["-m", name]
            told = subprocess.run(command, cwd=whole, capture_output=True, text=True)
            assert found["models"][model][name]["value"] == pytest.approx(float(told.stdout))
    assert "tok:13a" in found["signature"]["bleu"] and "nc:6" in found["signature"]["chrf"]
    assert found["signature"]["bleu"] in (whole / "shown.txt").read_text()


def test_answers_have_statistics(whole: Path) -> None:
    found, kept = result(whole)["answers"], answers(whole)
    said = [line["answers"]["tuned"] for line in kept]
    assert found["tuned"]["mean_words"] == sum(len(text.split()) for text in said) / 7
    assert found["tuned"]["empty"] == said.count("")
    assert found["tuned"]["cut_off"] == 7 and found["tuned"]["mean_tokens"] == 12
    assert found["expected"] == {"mean_words": 3, "refusals": 0}


def test_results_are_given_by_category(whole: Path) -> None:
    found = result(whole)
    assert {name: part["rows"] for name, part in found["categories"].items()} == {"a": 4, "b": 3}
    whole_loss = [found["models"]["tuned"]["perplexity"]["value"]] * 2
    parts = [part["metrics"]["perplexity"]["tuned"] for part in found["categories"].values()]
    assert min(parts) < whole_loss[0] < max(parts)
    assert "a (4 rows)" in (whole / "shown.txt").read_text()


def test_an_adapter_of_another_base_is_refused(whole: Path, tmp_path: Path) -> None:
    project = whole / "project"
    other = tmp_path / "final"
    shutil.copytree(project / "runs" / "1" / "final", other)
    facts = json.loads((other / "base.json").read_text())
    (other / "base.json").write_text(json.dumps({**facts, "weights": "0" * 64}))
    told = run(project, "evaluate.py", "--adapter", f"other={other}", check=78).stderr
    assert "is the wrong base: its weights are not those it was trained on" in told
    assert "holds no model" in run(project, "evaluate.py", "--adapter", "x=/", check=78).stderr


def test_tasks_go_to_lm_eval(trained: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def simple_evaluate(model: Any, tasks: list[str]) -> dict[str, Any]:
        asked["tasks"], asked["model"] = tasks, model
        return {"results": {"arc": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1}}}

    package, models = ModuleType("lm_eval"), ModuleType("lm_eval.models.huggingface")
    package.simple_evaluate = simple_evaluate  # type: ignore[attr-defined]
    models.HFLM = lambda **told: told  # type: ignore[attr-defined]
    for name, module in (("lm_eval", package), ("lm_eval.models", ModuleType("lm_eval.models"))):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", models)
    with imported(trained("lora").project, "evaluate") as evaluate:
        tokenizer, model = evaluate.load_tokenizer(), evaluate.load_base()
        options = Namespace(metrics=[], tasks=["arc"], max_new_tokens=4)
        found = evaluate.measure(model, [], [], tokenizer, options)
        assert asked["tasks"] == ["arc"] and asked["model"]["pretrained"] is model
        assert evaluate.metrics.of_tasks({"base": found}) == {"arc acc": {"base": 0.5}}


def test_without_lm_eval_the_rest_is_given(trained: Find) -> None:
    made = trained("full")
    shown = run(made.project, "evaluate.py", "--tasks", "arc_easy")
    assert "tasks is left out: lm-eval is not installed: pip install lm-eval" in shown.stderr
    assert "perplexity" in shown.stdout


def test_a_model_that_lies_elsewhere_is_known_by_its_weights(trained: Find, tmp_path: Path) -> None:
    made = trained("lora")
    with imported(made.project, "base") as base:
        shutil.copytree(made.base, tmp_path / "moved")
        assert base.wrong_base(final(made), str(tmp_path / "moved")) is None
        make_llama(tmp_path / "other", pad=True)
        assert "the wrong base" in str(base.wrong_base(final(made), str(tmp_path / "other")))
        assert "cannot be read" in str(base.wrong_base(final(made), str(tmp_path / "none")))
