"""Have base and tuned model answer held-out prompts, for people to judge.

    python review.py                        20 prompts, the newest finished run
    python review.py --run 2 --rows 50

The answers are greedy, and written to runs/<n>/review.json, where each stands under the
name of its model. `ftspec evaluate DIR --review` makes a page of them that hides whose an
answer is; `--review --terminal` asks in the terminal.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import random
import sys
from functools import partial
from pathlib import Path

from base import wrong_base
from evaluate import (
    MAX_NEW_TOKENS,
    MODEL,
    SEED,
    answers,
    as_messages,
    held_out,
    load_base,
    load_tokenizer,
    load_tuned,
    questions,
    unusable,
)
from journal import Exit, ends, newest_final

HERE = Path(__file__).resolve().parent

ROWS = 20  # prompts; a person judges about one a minute


def turns(row):
    """Return what was said before the answer that is asked for, a turn each."""
    messages = as_messages(row)
    last = max(n for n, turn in enumerate(messages) if turn["role"] == "assistant")
    return messages[:last]


def answered(load, prompts, tokenizer, limit):
    """Load a model and return its answer to each prompt; the model is gone afterwards."""
    said = []
    for new, ended in answers(load().eval(), tokenizer, prompts, limit):
        text = tokenizer.decode(new, skip_special_tokens=True).strip()
        said.append({"text": text, "ended": ended})  # False: cut off at the limit
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=int, help="which run (default: the newest)")
    parser.add_argument("--rows", type=int, default=ROWS, help="how many prompts")
    parser.add_argument("--seed", type=int, default=SEED, help="of the choice")
    parser.add_argument("--max-new-tokens", type=int, default=MAX_NEW_TOKENS)
    options = parser.parse_args()
    runs = HERE / "runs"
    final = runs / str(options.run) / "final" if options.run else newest_final(runs)
    if final is None or not final.is_dir():
        which = f"run {options.run}" if options.run else "run"
        unusable(f"There is no finished {which} to review.")
    if why := wrong_base(final, MODEL):
        unusable(why)
    tokenizer = load_tokenizer()
    rows = held_out(tokenizer)
    asked = questions(rows, tokenizer, options.max_new_tokens)
    if not asked:
        unusable("No held-out row asks anything.")
    picked = random.Random(options.seed).sample(asked, min(options.rows, len(asked)))
    prompts = [ids for _, ids, _ in picked]
    said = {}
    for name, load in {"base": load_base, "tuned": partial(load_tuned, final)}.items():
        print(f"{name}: {len(picked)} prompts", file=sys.stderr, flush=True)
        said[name] = answered(load, prompts, tokenizer, options.max_new_tokens)
    items = [
        {
            "id": place + 1,
            "row": number + 1,  # among the held-out rows
            "turns": turns(rows[number]["row"]),
            "expected": expected,
            "base": said["base"][place],
            "tuned": said["tuned"][place],
        }
        for place, (number, _, expected) in enumerate(picked)
    ]
    facts = {"schema_version": 1, "seed": options.seed, "rows": options.rows}
    result = facts | {"max_new_tokens": options.max_new_tokens, "items": items}
    file = final.parent / "review.json"
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(items)} prompts answered by both: {file}")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
