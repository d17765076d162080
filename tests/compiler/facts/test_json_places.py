"""Places of keys in the text of a JSON object, and what is said of a text that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.compiler.facts.config_keys import Fault, ModelUnreadableError
from ftspec.compiler.facts.json_places import parsed, place_in

TEXT = """ {"a": -1,
  "b": {"c": [1, {"a": 2}], "d": null},
  "a": "é",
  "text_config": {"a": 3}
}"""


@pytest.mark.parametrize(
    ("route", "missing", "at"),
    [
        (("a",), False, (3, 8, 3, 11)),  # the last one counts
        (("b",), False, (2, 8, 2, 39)),
        (("b", "d"), True, (2, 34, 2, 38)),  # null is there
        (("b", "e"), True, (2, 3, 2, 6)),  # the key of the object that lacks it
        (("text_config", "a"), False, (4, 24, 4, 25)),
        (("nowhere",), True, (1, 2, 1, 3)),
        (("a", "within"), False, (3, 3, 3, 6)),
    ],
)
def test_a_key_is_found(
    route: tuple[str, ...], missing: bool, at: tuple[int, int, int, int]
) -> None:
    place = place_in(TEXT, "m/config.json", Fault("", route, missing=missing))
    assert place is not None and place.file == "m/config.json"
    assert (place.line, place.column, place.end_line, place.end_column) == at


def test_a_fault_of_the_whole_has_no_place() -> None:
    assert place_in(TEXT, "m", Fault("too large")) is None


def test_keys_that_stand_twice_are_told_where_they_contradict() -> None:
    doubled: list[Fault] = []
    text = (
        '{"x": 1, "x": 1, "y": {"z": 1, "z": 2}, "text_config": {"k": 1, "k": 2}, "v": 1,\n"v": 2}'
    )
    assert parsed(text, "m", doubled)["v"] == 2
    assert [(fault.route, fault.words) for fault in doubled] == [
        (("v",), "`v` is there twice, as 1 and 2"),
        (("text_config", "k"), "`k` is there twice, as 1 and 2"),
    ]
    assert doubled[0].place is not None and doubled[0].place.line == 2


@given(
    st.dictionaries(
        st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.none()), min_size=1
    ),
    st.sampled_from([None, 0, 3]),
    st.data(),
)
def test_any_value_is_found_where_it_stands(
    content: dict[str, object], indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=data.draw(st.booleans()))
    key = data.draw(st.sampled_from(sorted(content)))
    place = place_in(text, "m", Fault("", (key,)))
    assert place is not None
    lines = text.split("\n")
    rest = "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])
    assert json.JSONDecoder().raw_decode(rest)[0] == content[key]


@given(st.text() | st.text('{}[]":,1- \n'))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    try:
        assert isinstance(parsed(text, "m"), dict)
    except ModelUnreadableError as error:
        assert str(error).startswith("`m`: it ") and "\n" not in str(error)
