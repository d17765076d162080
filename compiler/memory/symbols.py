"""Sizes as products of symbols: told from bytes by giving each symbol a prime of its own.

A trace of a model whose widths are products of distinct primes has sizes that name their factors:
23 x 1823 x 16384 x 101 x 2 bytes can only be batch x length x hidden x 2. What a tape needs of a
model or a batch is thus a number for each symbol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

TOKEN_CHUNK, VOCAB_CHUNK = 4096, 32768  # trl 1.16 kernels/chunked_logprob.py, trainer/utils.py


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol: the value it has in a coded trace, and the prime that betrays it."""

    name: str
    value: int
    prime: int


Monomial = tuple[Fraction, tuple[tuple[str, int], ...]]


class NotDecodedError(Exception):
    """A size is no product of the symbols; the message gives its factors."""


def decode(number: int, symbols: tuple[Symbol, ...]) -> Monomial:
    """Write a number as coefficient x product of symbols' powers.

    Raises NotDecodedError where the coefficient is not a plain one.
    """
    powers = []
    rest = Fraction(number)
    for symbol in symbols:
        power = 0
        while number and number % symbol.prime == 0:
            number //= symbol.prime
            power += 1
        if power:
            powers.append((symbol.name, power))
            rest /= symbol.value**power
    if not _plain(rest):
        raise NotDecodedError(f"{number} is left of it; {rest} x {powers}")
    return rest, tuple(powers)


def _plain(number: Fraction) -> bool:
    """A coefficient of bytes an element, heads of a group and the like: 2, 3 and 5 alone."""
    for part in (number.numerator, number.denominator):
        for prime in (2, 3, 5):
            while part and part % prime == 0:
                part //= prime
        if part not in (0, 1):
            return False
    return True


def evaluate(monomial: Monomial, values: Mapping[str, int]) -> int:
    """Return a product's value, rounded up to whole bytes."""
    coefficient, powers = monomial
    numerator, denominator = coefficient.numerator, coefficient.denominator
    for name, power in powers:
        numerator *= values[name] ** power
    return -(-numerator // denominator)
