"""Rules that look at all rows: duplicates, leakage, habits of a file, indicators."""

from __future__ import annotations

import random

import pytest
from data_cases import says

from ftspec.doctor.data.store import KeyStore

WORDS = "river stone bridge lamp garden winter letter market window road music paper".split()


def rows_of(source, name):
    return next((f.evidence["rows"] for f in source.findings if f.name == name), [])


def prose(seed: int, words: int = 30) -> str:
    source = random.Random(seed)
    return "The " + " ".join(source.choice(WORDS) for _ in range(words)) + " is what it was."


def different(count: int) -> list:
    return [says(prose(n), f"What is said of {prose(1000 + n, 6)}") for n in range(count)]


def test_duplicates_exact_and_but_for_case_and_spaces(checked) -> None:
    rows = different(4)
    again = {**rows[0], "id": 9, "output": rows[0]["output"].upper().replace(" ", "  ")}
    found = checked([*rows, {"id": 7, **rows[1]}, again])
    finding = next(f for f in found.findings if f.name == "duplicate")
    assert finding.evidence["rows"] == [5, 6]
    assert finding.evidence["kinds"] == {"exact": 1, "but for case and spaces": 1}
    assert "row 2" in finding.evidence["samples"][0]["words"]
    assert finding.evidence["samples"][0]["line"] == 5


def test_a_preference_with_other_answers_is_no_duplicate(checked) -> None:
    rows = [{"prompt": "a b c", "chosen": "one", "rejected": text} for text in ("two", "three")]
    found = checked(rows)
    assert rows_of(found, "duplicate") == [] and rows_of(found, "conflicting-answers") == []


def test_the_same_prompt_with_different_answers(checked) -> None:
    rows = different(3)
    other = {**rows[1], "instruction": rows[1]["instruction"].upper(), "output": "Something else."}
    assert rows_of(checked([*rows, other]), "conflicting-answers") == [2, 4]
    assert rows_of(checked([*rows, rows[1]]), "conflicting-answers") == []


def test_leakage_across_formats(checked) -> None:
    train = different(5)
    asked = [row["instruction"] for row in train]
    held_out = [
        {
            "messages": [
                {"role": "user", "content": asked[3] + " "},
                {"role": "assistant", "content": "Other words."},
            ]
        },
        {"question": "never seen", "answer": "no"},
    ]
    found = checked(train, held_out)
    assert rows_of(found, "leakage") == [4]
    assert found.held_out_rows == 2
    assert rows_of(checked(train, held_out[1:]), "leakage") == []


def test_the_input_is_part_of_an_alpaca_prompt(checked) -> None:
    train = [
        says("It is good.", "Sentiment?", input="Fine day."),
        says("It is bad.", "Sentiment?", input="Foul day."),
    ]
    held_out = [{"prompt": "Sentiment?\n\nFine day.", "completion": "good"}]
    assert rows_of(checked(train, held_out), "leakage") == [1]


def test_near_duplicates(checked) -> None:
    rows = different(30)
    words = rows[4]["output"].split()
    near = {**rows[4], "output": " ".join([*words[:-2], "it", "is."])}
    far = {**rows[5], "instruction": "Quite another thing?", "output": prose(99)}
    found = checked([*rows, near, far, rows[6]], near=True)
    assert rows_of(found, "near-duplicate") == [31]
    assert rows_of(found, "duplicate") == [33]
    assert rows_of(checked([*rows, near]), "near-duplicate") == []


def test_truncated_answers_unless_the_file_is_so(checked) -> None:
    whole = [says(prose(n, 40) + " " + prose(n + 50, 20)) for n in range(20)]
    sure = says("The wall was built over many centuries to protect the northern borders of the")
    maybe = says(
        whole[0]["output"] + " Then we walked along the old garden wall until the evening cam"
    )
    code = says("Use this function:\n```python\ndef f(x):\n    return x")
    listed = says("Fruits of the season that are sold here:\n- apples\n- pears and some of the")
    rows = [*whole, sure, maybe, code, listed]
    assert rows_of(checked(rows), "truncated-answer") == [21, 22, 23]
    habit = [{**row, "output": row["output"].rstrip(".")} for row in whole]
    assert rows_of(checked([*habit, sure]), "truncated-answer") == [21]


def test_an_answer_in_another_language(checked) -> None:
    english = "The garden is on the other side of the river, and it was there for a long time."
    rows = [
        says(f"{english} {n}", f"Where is the garden that you told me of, number {n}?")
        for n in range(25)
    ]
    spanish = "El jardín está en el otro lado del río, y es muy grande para los niños de la casa."
    rows[3] = says(spanish, "Where is the garden that they told us of in the letter?")
    rows[7] = says(spanish, "Translate into Spanish: where is the garden that you told me of?")
    rows[9] = says(spanish, "¿Dónde está el jardín que se ve desde la casa de los padres?")
    rows[11] = says(
        "庭は川の向こう側にあります。", "Where is the garden that they told us of in the letter?"
    )
    assert rows_of(checked(rows), "wrong-language") == [4, 12]


def test_mixed_formats_are_told(checked) -> None:
    rows = [*different(5), {"text": prose(3)}, {"prompt": "a b c", "completion": "d e f"}]
    found = checked(rows)
    assert rows_of(found, "mixed-formats") == [6, 7]
    assert found.format == "alpaca" and dict(found.formats)["text"] == 1


@pytest.mark.parametrize(("rare", "told"), [(1, True), (30, False)])
def test_imbalance(rare, told, checked) -> None:
    rows = [says("positive", f"Say {n}") for n in range(60)]
    rows += [says("negative", f"Tell {n}") for n in range(rare)]
    finding = next((f for f in checked(rows).findings if f.name == "imbalance"), None)
    assert (finding is not None) is told
    if finding:
        assert finding.evidence["categories"] == {"positive": 60, "negative": 1}


def test_indicators(checked) -> None:
    alike = [says(prose(n), f"Tell me all about the {n}") for n in range(600)]
    names = {f.name for f in checked(alike).findings}
    assert {"low-diversity", "uniform-length", "no-negatives"} <= names
    mixed = [says(prose(n, 5 + n % 60), f"{prose(n, 4)} {n}?") for n in range(600)]
    mixed[5] = says("I don't know: the letter does not say.", "Who was it?")
    assert {f.name for f in checked(mixed).findings} == set()


@pytest.mark.parametrize("held", [10, 10_000])
def test_a_store_gives_what_came_twice_from_memory_and_from_disk(held) -> None:
    source = random.Random(3)
    store, truth = KeyStore(held=held), {}
    for value in range(5000):
        key = source.randrange(2**64) if value % 3 else value % 300
        store.add(key, value)
        truth.setdefault(key, []).append(value)
    wanted = sorted(values for values in truth.values() if len(values) > 1)
    assert sorted([value for (value,) in group] for group in store.groups()) == wanted
    store.close()
