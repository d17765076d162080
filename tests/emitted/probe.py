"""Ask emitted scripts what they make of rows: `python probe.py QUESTIONS ANSWERS`, both JSON.

A question names a project, rows, and a limit. The answer holds what its train.py and its
evaluate.py make of each row, and the batch that trl's collator makes of them.
"""

import importlib.util
import json
import sys
from pathlib import Path

from trl.trainer.sft_trainer import DataCollatorForLanguageModeling


def load(project: Path, script: str):
    """Import an emitted script as a module of its own."""
    sys.path.insert(0, str(project))
    spec = importlib.util.spec_from_file_location(
        f"{script}_{project.name}", project / f"{script}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(project))
    return module


def answer(question):
    project = Path(question["project"])
    train, evaluate = load(project, "train"), load(project, "evaluate")
    tokenizer = train.load_tokenizer()
    rows = [train.encode(row, tokenizer, question["limit"]) for row in question["rows"]]
    if hasattr(evaluate, "encode"):
        again = [evaluate.encode(row, tokenizer, question["limit"]) for row in question["rows"]]
        assert again == rows, "train.py and evaluate.py disagree"
    found = {
        "rows": rows,
        "pad": tokenizer.pad_token_id,
        "eos": tokenizer.eos_token_id,
        "text": [tokenizer.decode(row["input_ids"]) for row in rows],
        "learnt": [
            tokenizer.decode([token for token in row["labels"] if token != -100]) for row in rows
        ],
    }
    some = [row for row in rows if row["input_ids"]]
    if some:
        batch = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)(some)
        found["batch"] = {key: value.tolist() for key, value in batch.items()}
    if question.get("load"):
        parts = train.load_rows(tokenizer, question["limit"])
        found["parts"] = {name: part.to_list() for name, part in parts.items()}
        found["loaded"] = {
            name: [tokenizer.decode(row["input_ids"]) for row in part]
            for name, part in parts.items()
        }
    return found


questions = json.loads(Path(sys.argv[1]).read_text())
answers = {name: answer(question) for name, question in questions.items()}
Path(sys.argv[2]).write_text(json.dumps(answers))
