"""Sizes are read back as products of symbols, and what is no product is refused."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.compiler.memory.symbols import NotDecodedError, Symbol, decode, evaluate

SYMBOLS = (
    Symbol("B", 23, 23),
    Symbol("S", 971, 971),
    Symbol("S8", 976, 61),
    Symbol("H", 128 * 101, 101),
    Symbol("I", 128 * 103, 103),
    Symbol("D", 104, 13),
)
VALUES = {symbol.name: symbol.value for symbol in SYMBOLS}

plain = st.builds(lambda a, b, c: 2**a * 3**b * 5**c, *[st.integers(0, 4)] * 3)
powers = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(1, 2), max_size=4)


@given(plain, powers)
def test_a_product_is_read_back(coefficient: int, wanted: dict[str, int]) -> None:
    number = coefficient
    for name, power in wanted.items():
        number *= VALUES[name] ** power
    found, decoded = decode(number, SYMBOLS)
    assert (found, dict(decoded)) == (coefficient, wanted)


@given(plain, powers, st.integers(1, 10**6))
def test_a_decoded_size_has_its_value_at_other_widths(
    coefficient: int, wanted: dict[str, int], other: int
) -> None:
    number = coefficient
    for name, power in wanted.items():
        number *= VALUES[name] ** power
    monomial = decode(number, SYMBOLS)
    assert evaluate(monomial, VALUES) == number
    expected = coefficient * other ** sum(wanted.values())
    assert evaluate(monomial, dict.fromkeys(VALUES, other)) == expected


@given(powers.filter(bool), st.sampled_from([7, 11, 17, 2 * 7, 8 * 29]))
def test_a_factor_that_no_symbol_has_is_refused(wanted: dict[str, int], foreign: int) -> None:
    number = foreign
    for name, power in wanted.items():
        number *= VALUES[name] ** power
    with pytest.raises(NotDecodedError):
        decode(number, SYMBOLS)


@pytest.mark.parametrize(
    "number",
    [
        23 * 971 + 128 * 101,
        2 * 23 * 971 * (128 * 101 + 128 * 103),
        971 + 2,
        23 * 971 * (971 + 104),
    ],
)
def test_a_sum_is_refused(number: int) -> None:
    with pytest.raises(NotDecodedError, match="left of it"):
        decode(number, SYMBOLS)


def test_no_bytes_are_no_product_of_anything() -> None:
    assert decode(0, SYMBOLS) == (0, ())
    assert evaluate((Fraction(0), ()), VALUES) == 0


@given(st.integers(1, 64), st.integers(1, 1000), st.integers(1, 1000))
def test_a_share_of_a_byte_is_a_byte(part: int, hidden: int, ffn: int) -> None:
    """Absolute maxima of 4-bit weights: a block of 64 has one."""
    monomial = (Fraction(1, part), (("H", 1), ("I", 1)))
    assert evaluate(monomial, {"H": hidden, "I": ffn}) == ceil(Fraction(hidden * ffn, part))
