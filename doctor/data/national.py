"""Identity numbers of persons: how each country prints them, and how it checks them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of number: its printed form, its check, and a name that must stand near a bare one."""

    name: str
    pattern: re.Pattern[str]
    checks: Callable[[str], bool]
    near: str | None = None


def _digits(text: str) -> list[int]:
    return [int(ch) for ch in text if ch.isdigit()]


def _weighted(digits: list[int], weights: str) -> int:
    return sum(digit * int(weight, 36) for digit, weight in zip(digits, weights, strict=False))


def _cpf(text: str) -> bool:
    """Brazil: two digits of weights 10 to 2 and 11 to 2, modulo 11."""
    digits = _digits(text)
    if len(set(digits)) == 1:
        return False
    for count in (9, 10):
        rest = sum(d * (count + 1 - place) for place, d in enumerate(digits[:count])) * 10 % 11
        if rest % 10 != digits[count]:
            return False
    return True


def _luhn(text: str) -> bool:
    digits = _digits(text)
    total = sum(
        d if place % 2 == 0 else sum(divmod(2 * d, 10)) for place, d in enumerate(reversed(digits))
    )
    return total % 10 == 0 and len(set(digits)) > 1


def _china(text: str) -> bool:
    """China: ISO 7064, MOD 11-2, over 17 digits, the date of birth among them."""
    total = _weighted([int(ch) for ch in text[:17]], "79A584216379A5842")
    return text[17].upper() == "10X98765432"[total % 11] and _date(
        text[6:10], text[10:12], text[12:14]
    )


def _date(year: str, month: str, day: str) -> bool:
    try:
        return 1900 <= date(int(year), int(month), int(day)).year <= 2100
    except ValueError:
        return False


def _finland(text: str) -> bool:
    """Finland: the nine digits modulo 31 choose the last character."""
    century = {"+": "18", "-": "19"}.get(text[6], "20")
    born = date_or_none(century + text[4:6], text[2:4], text[:2])
    return born and text[10] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31]


def date_or_none(year: str, month: str, day: str) -> bool:
    """Say whether a date exists."""
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _france(text: str) -> bool:
    """France: 97 less the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    number = re.sub(r"\s", "", text)
    value = number[:13].replace("2A", "19").replace("2B", "18")
    return 97 - int(value) % 97 == int(number[13:])


# Verhoeff (1969): the dihedral group's multiplication, and the permutation of each place.
_TIMES = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_PLACES = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def _india(text: str) -> bool:
    """India: Verhoeff's check over twelve digits."""
    check = 0
    for place, digit in enumerate(reversed(_digits(text))):
        check = int(_TIMES[check][int(_PLACES[place % 8][digit])])
    return check == 0


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ),
        strict=True,
    )
)


def _italy(text: str) -> bool:
    """Italy: values of odd and even places modulo 26 choose the last letter."""
    total = sum(
        _ODD[ch] if place % 2 == 0 else int(ch, 36) - (10 if ch.isalpha() else 0)
        for place, ch in enumerate(text[:15])
    )
    return text[15] == chr(65 + total % 26)


def _pesel(text: str) -> bool:
    """Poland: weights 1379137913, and a month that tells the century."""
    digits = _digits(text)
    month = int(text[2:4]) % 20
    check = -_weighted(digits, "1379137913") % 10
    return 1 <= month <= 12 and 1 <= int(text[4:6]) <= 31 and check == digits[10]


def _spain(text: str) -> bool:
    """Spain: the number modulo 23 chooses the letter; X, Y, Z count as 0, 1, 2."""
    plain = text.replace("-", "").upper()
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return plain[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _sweden(text: str) -> bool:
    digits = re.sub(r"\D", "", text)[-10:]
    return date_or_none("20" + digits[:2], digits[2:4], digits[4:6]) and _luhn(digits)


def _germany(text: str) -> bool:
    """Germany, tax number: ISO 7064, MOD 11,10; of ten digits one comes two or three times."""
    digits = _digits(text)
    product = 10
    for digit in digits[:10]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    repeated = max(digits[:10].count(digit) for digit in digits[:10])
    return digits[0] != 0 and repeated in (2, 3) and (11 - product) % 10 == digits[10]


def _netherlands(text: str) -> bool:
    """Netherlands: the eleven test, weights 9 to 2 and -1."""
    digits = _digits(text)
    return (_weighted(digits[:8], "98765432") - digits[8]) % 11 == 0 and any(digits)


def _kind(name: str, form: str, checks: Callable[[str], bool], near: str | None = None) -> Kind:
    return Kind(name, re.compile(rf"(?<![\w.\-+]){form}(?![\w\-]|\.\d)"), checks, near)


KINDS = (
    _kind("China", r"[1-8]\d{5}(?:19|20)\d{9}[\dXx]", _china),
    _kind("Brazil (CPF)", r"\d{3}\.\d{3}\.\d{3}-\d{2}", _cpf),
    _kind(
        "France (NIR)",
        r"[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d",
        _france,
    ),
    _kind("India (Aadhaar)", r"[2-9]\d{3} \d{4} \d{4}", _india),
    _kind("Italy (codice fiscale)", r"[A-Z]{6}\d\d[ABCDEHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _italy),
    _kind("Finland", r"\d{6}[-+A-F]\d{3}[0-9A-Y]", _finland),
    _kind("Sweden", r"(?:\d\d)?\d\d[01]\d[0-3]\d-\d{4}", _sweden),
    _kind(
        "Canada (SIN)", r"[1-79]\d\d[- ]\d{3}[- ]\d{3}", _luhn, r"\bSIN\b|social insurance|\bNAS\b"
    ),
    _kind("Spain (DNI, NIE)", r"(?:\d{8}|[XYZ]\d{7})-?[A-HJ-NP-TV-Z]", _spain),
    _kind("United States (SSN)", r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}", lambda text: True),
    _kind("Poland (PESEL)", r"\d{11}", _pesel, "pesel"),
    _kind(
        "Germany (tax number)",
        r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
        _germany,
        r"steuer|identifikationsnummer|tax id|IdNr",
    ),
    _kind("Netherlands (BSN)", r"\d{9}", _netherlands, r"\bBSN\b|burgerservice"),
)
# What one of the kinds at least holds: a text without is not asked thirteen times.
ANY = re.compile(
    r"\d{3}[.\- ]\d{2,3}[.\- ]\d|\d{4} \d{4} \d|\d{6}|[12] \d\d [01]|\d\d \d{3} \d{3} "
    r"|[A-Z]\d\d[A-Z]\d|[XYZ]\d{7}"
)
# The same, told from a text in which each digit is a 0 and each capital an A.
FORMS = (
    *(b"000000", b"000 000 00", b"000-000-000", b"000 000-000", b"000-000 000"),
    *(b"000.000.000-00", b"000-00-0000", b"0000 0000 0000"),
)
ITALY = b"AAAAAA00A00A000A"  # the one that has letters among its digits
