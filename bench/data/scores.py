"""Precision and recall of each rule on defects injected into clean rows."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inject import INJECTORS
from inject_files import FILES, refused
from inject_sets import COUNT, LIMIT, OF_TOKENS, SETS, TEMPLATE, tokenizer

from ftspec.compiler.facts.model import ModelFacts
from ftspec.doctor.data.check import Checked, Wanted, check
from ftspec.doctor.data.readers.source import find_sources
from ftspec.doctor.data.tokens import Counting, Tokens

TRAIN = "openai__grade-school-math/grade_school_math/data/train.jsonl"
DEMOS = "hiyouga__LLaMA-Factory/data"
ALPACA = f"{DEMOS}/alpaca_en_demo.json"
PER_RULE, BASE = 200, 1200
JUDGED = ("truncated-answer", "refusal", "wrong-language")
# Judgements may miss more; numbers of persons are known by form and check digit.
TARGETS = {**dict.fromkeys(JUDGED, (90, 70)), "answer-repeats-prompt": (90, 70)}
NOT_BLIND = """\
Prose: answers of 160 characters and more of a real demo set; the others: GSM8K.
What a rule finds in the rows before the injection is left out: precision tells of new findings
alone, and the table above of those on clean rows. Rules on truncated answers, cards, telephone
numbers, repeated prompts, refusals and missing negatives were bettered on these rows, and words of
placeholders, refusals and no-input texts were chosen by who wrote the rules: those figures are not
blind. Of 13 refusals in other words, written later, the rule found 39 % at first sight.
"""


def checked(paths: list[Path], held_out: list[Path] = [], near: bool = False) -> Checked:  # noqa: B006
    """Check files as one data set."""
    sources = find_sources([str(path) for path in paths], Path())
    kept = find_sources([str(path) for path in held_out], Path())
    return check(sources, Wanted(held_out=kept, near=near))


def rows_found(result: Checked, rule: str) -> set[int]:
    """Return the rows in which a rule found something."""
    return {row for f in result.findings if f.name == rule for row in f.evidence["rows"]}


def base_rows(data: Path, prose: bool) -> list[dict[str, Any]]:
    """Return clean alpaca rows: GSM8K's, or for judgements on prose those of a real demo set."""
    if prose:
        rows = json.loads((data / ALPACA).read_text())
        long = [r for r in rows if len(r["output"]) >= 160 and "```" not in r["output"]]
        return [r for r in long if r["output"].rstrip()[-1:] in ".!?"]
    lines = (data / TRAIN).read_text().splitlines()[: 2 * BASE]
    rows = [json.loads(line) for line in lines]
    return [{"instruction": r["question"], "input": "", "output": r["answer"]} for r in rows]


def injected(data: Path) -> Iterator[str]:
    """Yield precision and recall of each rule on injected defects."""
    yield f"\n## Injected defects: {PER_RULE} and more for each rule\n"
    yield NOT_BLIND
    yield "| rule | rows | injected | precision | recall | target |"
    yield "| --- | --- | --- | --- | --- | --- |"
    if not (data / TRAIN).is_file() or not (data / ALPACA).is_file():
        yield "| skipped: the clean sets are not at hand | | | | | |"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        for rule in INJECTORS:
            yield _line(rule, *of_rows(rule, base_rows(data, rule in JUDGED), path))
        unseen = of_rows("refusal", base_rows(data, True), path, refused)
        yield _line("refusal", *unseen).replace("(prose)", "(prose, other words)")
        rows = base_rows(data, False)
        for rule in SETS:
            yield _line(rule, *of_sets(rule, rows, path))
        for rule in OF_TOKENS:
            yield _line(rule, *of_tokens(rule, rows, path))
        for rule in FILES:
            yield _line(f"{rule} (files)", *of_files(rule, rows, path))


def _line(rule: str, rows: int, truth: int, told: int, right: int) -> str:
    name = f"{rule} (prose)" if rule in JUDGED else rule
    wanted = TARGETS.get(rule, (95, 95) if rule.startswith("pii") else (99, 97))
    precision, recall = 100 * right / max(1, told), 100 * right / truth
    met = "" if precision >= wanted[0] and recall >= wanted[1] else ", missed"
    figures = f"{truth} | {precision:.1f} % | {recall:.1f} % | {wanted[0]} / {wanted[1]}{met}"
    return f"| {name} | {rows:,} | {figures} |"


def of_rows(
    rule: str, rows: list[Any], path: Path, other: Callable[..., Any] | None = None
) -> tuple[int, int, int, int]:
    """Return rows, those at fault, those told of and those of them rightly, of a rule on rows."""
    # A file's habit is part of judgements: one row in ten, in several files.
    share = min(PER_RULE, len(rows) // 10) if rule in JUDGED else PER_RULE
    counts = [0, 0, 0]
    for number in range(-(-PER_RULE // share)):
        source = random.Random(f"{rule} {number}")
        chosen = set(source.sample(range(len(rows)), share))
        put(path, rows)
        before = rows_found(checked([path]), rule)
        inject = other or INJECTORS[rule]
        put(path, [inject(r, source) if at in chosen else r for at, r in enumerate(rows)])
        found = rows_found(checked([path]), rule) - before
        truth = {at + 1 for at in chosen} - before
        for at, more in enumerate((len(truth), len(found), len(found & truth))):
            counts[at] += more
    return len(rows), counts[0], counts[1], counts[2]


def of_sets(rule: str, rows: list[Any], path: Path) -> tuple[int, int, int, int]:
    """Return the same of a rule on several rows, or on conversations."""
    made = SETS[rule](rows, random.Random(rule))
    put(path, made.rows)
    held = path.with_name("held.jsonl")
    put(held, made.held_out)
    result = checked([path], [held] if made.held_out else [], near=rule == "near-duplicate")
    found = rows_found(result, rule)
    return len(made.rows), len(made.truth), len(found), len(found & made.truth)


def of_tokens(rule: str, rows: list[Any], path: Path) -> tuple[int, int, int, int]:
    """Return the same of a rule on tokens."""
    file = path.with_name("tokenizer.json")
    tokenizer(file)
    facts = ModelFacts("made", "folder", tokenizer_file=file, special_tokens={"eos_token": "</s>"})
    source = random.Random(rule)
    chosen = set(source.sample(range(len(rows)), COUNT))
    inject = OF_TOKENS[rule]
    put(path, [inject(row, source) if at in chosen else row for at, row in enumerate(rows)])
    tokens = Tokens(Counting(facts, LIMIT, template=TEMPLATE))
    result = check(find_sources([str(path)], Path()), Wanted(tokens=tokens))
    found, truth = rows_found(result, rule), {at + 1 for at in chosen}
    return len(rows), len(truth), len(found), len(found & truth)


def of_files(rule: str, rows: list[Any], path: Path) -> tuple[int, int, int, int]:
    """Return the same of a rule on files as a whole: half of them have the defect."""
    source = random.Random(rule)
    told = right = 0
    for at in range(2 * COUNT):
        put(path, FILES[rule](source.sample(rows, len(rows)), source, at % 2 == 0))
        found = any(finding.name == rule for finding in checked([path]).findings)
        told += found
        right += found and at % 2 == 0
    return 2 * COUNT, COUNT, told, right


def put(path: Path, rows: list[Any]) -> None:
    """Write rows as JSON lines; a string is a line as it stands."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
