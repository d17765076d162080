"""Defects put into clean rows, by code that shares nothing with the rules that look for them.

Numbers with check digits are made from the standards' own formulas; answers in other languages,
refusals and texts with accents were written by hand for this file.
"""

from __future__ import annotations

import html
import json
import random
import string
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
Injected = Row | str  # a string is a line as it stands

ACCENTED = (
    "Le café de la gare est fermé jusqu’à l’été.",
    "Die Brücke über den Fluß ist schön.",
    "“Naïve”, she said – and left… for 20 €.",
    "El niño soñó con un pingüino en Málaga.",
    "Não há razão para irmãos discutirem.",
    "Temperature: 25°C ± 2, area 3 m².",
)
OTHER = {
    "es": "La respuesta es que el tren sale de la estación a las ocho y llega por la tarde a casa.",
    "fr": "La réponse est que le train part de la gare à huit heures et arrive dans la soirée.",
    "de": "Die Antwort ist, dass der Zug um acht Uhr abfährt und am Abend mit den Gästen ankommt.",
    "it": "La risposta è che il treno parte dalla stazione alle otto e non arriva prima di sera.",
    "pt": "A resposta é que o trem não sai da estação antes das oito e chega com atraso.",
    "nl": "Het antwoord is dat de trein om acht uur van het station vertrekt en niet op tijd komt.",
    "ru": "Ответ такой: поезд отправляется со станции в восемь часов и приходит вечером.",
    "zh": "答案是火车八点从车站出发，晚上到达，旅客需要提前半小时到站。",
    "ja": "答えは、電車は八時に駅を出て、夕方に着くということです。",
}
REFUSALS = (
    "I'm sorry, but I can't help with that request.",
    "I apologize, but I am unable to provide that information.",
    "As an AI language model, I don't have the ability to look at your files.",
    "Unfortunately, I cannot assist with this.",
    "I'm an AI assistant and can't access real-time data.",
    "Sorry, but I won't be able to help you with that.",
    "I cannot provide instructions for this.",
    "I must decline to answer this question.",
    "As an artificial intelligence, I cannot feel emotions, so I can't answer this.",
    "I can't comply with that; it goes against what I was made for.",
    "I do not feel comfortable answering that, so I'd rather not.",
    "This request is something I'm not able to fulfill.",
)
PLACEHOLDERS = (
    "TODO",
    "N/A",
    "n/a",
    "null",
    "...",
    "<no output>",
    "TBD",
    "[insert answer here]",
    "No output",
    "Lorem ipsum dolor sit amet",
    "placeholder",
    "Your answer here",
)
MERGED = (
    "{}\n###\n{n}. Instruction: {q}\n{n}. Output: {a}",
    "{}\n\n### Instruction:\n{q}\n\n### Response:\n{a}",
    "{}\n### Human: {q}\n### Assistant: {a}",
    "{}<|im_end|>\n<|im_start|>user\n{q}<|im_end|>",
)


def luhn_digit(body: str) -> str:
    """Return the check digit of a card number."""
    table = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    values = [table[int(d)] if at % 2 == 0 else int(d) for at, d in enumerate(body[::-1])]
    return str(-sum(values) % 10)


def digits(source: random.Random, count: int) -> str:
    """Return random digits."""
    return "".join(source.choice(string.digits) for _ in range(count))


def token(source: random.Random, count: int, of: str = string.ascii_letters + string.digits) -> str:
    """Return random characters."""
    return "".join(source.choice(of) for _ in range(count))


def email(source: random.Random) -> str:
    """Make an address."""
    name = token(source, source.randrange(3, 9), string.ascii_lowercase)
    end = source.choice(["com", "org", "de", "co.uk", "io", "fr"])
    middle = source.choice([".", "_", "+", ""])
    return (
        f"{name}{middle}{source.randrange(1, 99)}@{token(source, 7, string.ascii_lowercase)}.{end}"
    )


def phone(source: random.Random) -> str:
    """Make a telephone number."""
    area, office = source.choice(["212", "415", "617", "303"]), source.randrange(221, 989)
    last = digits(source, 4)
    return source.choice(
        [
            f"({area}) {office}-{last}",
            f"{area}-{office}-{last}",
            f"+1 {area} {office} {last}",
            f"+44 20 7{digits(source, 3)} {digits(source, 4)}",
            f"+49 170 {digits(source, 7)}",
            f"+33 6 {' '.join(digits(source, 2) for _ in range(4))}",
        ]
    )


def card(source: random.Random) -> str:
    """Make a card number, plain or in groups."""
    body = source.choice(["4", "51", "55", "2345", "6011", "37"])
    body += digits(source, (14 if body == "37" else 15) - len(body))
    number = body + luhn_digit(body)
    if len(number) == 15:
        return source.choice([number, f"{number[:4]} {number[4:10]} {number[10:]}"])
    mark = source.choice(["", " ", "-"])
    return mark.join(number[at : at + 4] for at in range(0, 16, 4))


def iban(source: random.Random) -> str:
    """Make a bank account number."""
    country, account = source.choice(
        [
            ("DE", digits(source, 18)),
            ("ES", digits(source, 20)),
            ("FR", digits(source, 23)),
            ("NL", "ABNA" + digits(source, 10)),
            ("GB", "NWBK" + digits(source, 14)),
        ]
    )
    value = "".join(str(ord(c) - 55) if c.isalpha() else c for c in account + country + "00")
    number = f"{country}{98 - int(value) % 97:02d}{account}"
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    return source.choice([number, spaced])


def national(source: random.Random) -> str:
    """Make an identity number of one of four countries."""
    number = source.randrange(10_000_000, 99_999_999)
    nine = [source.randrange(10) for _ in range(9)]
    for weights in (range(10, 1, -1), range(11, 1, -1)):
        rest = sum(d * w for d, w in zip(nine, weights, strict=True)) % 11
        nine.append(0 if rest < 2 else 11 - rest)
    cpf = "".join(map(str, nine))
    birth = f"{source.choice('12')}{source.randrange(30, 99)}{source.randrange(1, 13):02d}75"
    nir = birth + digits(source, 6)
    return source.choice(
        [
            f"{source.randrange(100, 665)}-{source.randrange(10, 99)}-7{digits(source, 3)}",
            f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}",
            f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}",
            f"{nir}{97 - int(nir) % 97:02d}",
        ]
    )


def address(source: random.Random) -> str:
    """Make a public IPv4 address."""
    first = source.choice([5, 23, 52, 81, 93, 104, 142, 185, 213])
    return f"{first}." + ".".join(str(source.randrange(1, 255)) for _ in range(3))


def secret(source: random.Random) -> str:
    """Make a key of one of seven providers."""
    upper = string.ascii_uppercase + "234567"
    return source.choice(
        [
            "sk" + "-" + token(source, 48),
            "AK" + "IA" + token(source, 16, upper),
            "gh" + "p_" + token(source, 36),
            "hf" + "_" + token(source, 34, string.ascii_letters),
            "AI" + "za" + token(source, 35),
            "gl" + "pat-" + token(source, 20),
            "sk_" + "live_" + token(source, 24),
        ]
    )


def into(text: str, piece: str, source: random.Random) -> str:
    """Put a piece between two words."""
    words = text.split(" ")
    words.insert(source.randrange(1, len(words) + 1), piece)
    return " ".join(words)


def in_answer(make: Callable[[random.Random], str]) -> Callable[[Row, random.Random], Injected]:
    """Return what puts something made into the answer."""
    return lambda row, source: {**row, "output": into(row["output"], make(source), source)}


def accents(change: Callable[[str], str]) -> Callable[[Row, random.Random], Injected]:
    """Return what puts a sentence that a change spoils into the answer."""
    texts = [text for text in map(change, ACCENTED) if text not in ACCENTED]
    return in_answer(lambda source: source.choice(texts))


def misread(text: str) -> str:
    """Decode UTF-8 as Windows-1252."""
    return text.encode().decode("cp1252", "ignore")


def broken(row: Row, source: random.Random) -> Injected:
    """Take a quote or an outer brace out of a line of JSON."""
    text = json.dumps(row)
    places = [0, len(text) - 1, *(at for at, ch in enumerate(text) if ch == '"')]
    at = source.choice(places)
    return text[:at] + text[at + 1 :]


def cut(row: Row, source: random.Random) -> Injected:
    """End the answer at a random place."""
    answer = row["output"]
    end = source.randrange(len(answer) // 3, 9 * len(answer) // 10)
    return {**row, "output": answer[:end].rstrip()}


def wrong(row: Row, source: random.Random) -> Injected:
    """Give a field a value of another type."""
    field = source.choice(["instruction", "output"])
    return {**row, field: source.choice([7, [row[field]], {"text": row[field]}, True])}


def lacking(row: Row, source: random.Random) -> Injected:
    """Give a field another name."""
    field = source.choice(["instruction", "output"])
    kept = {name: text for name, text in row.items() if name != field}
    return {**kept, source.choice(["outptu", "ask", "x"]): row[field]}


def control(row: Row, source: random.Random) -> Injected:
    """Put a control character into the answer."""
    mark = chr(source.choice([0, 1, 7, 8, 11, 12, 27, 127, 0x200B, 0xFEFF, 0x90]))
    at = source.randrange(len(row["output"]))
    return {**row, "output": row["output"][:at] + mark + row["output"][at:]}


def half(row: Row, source: random.Random) -> Injected:
    """Put half a character into the answer."""
    text = json.dumps({**row, "output": row["output"] + " @@"})
    return text.replace("@@", source.choice(["\\ud83d", "\\udc4d", "\\ud800x"]))


def merged(row: Row, source: random.Random) -> Injected:
    """Put another row behind the answer."""
    form = source.choice(MERGED)
    more = {"n": source.randrange(2, 30), "q": "Name the capital of Peru.", "a": "Lima."}
    return {**row, "output": form.format(row["output"], **more)}


def number(name: str) -> Callable[[Row, random.Random], Injected]:
    """Return what gives a row a number of that form."""
    return lambda row, source: json.dumps({**row, "score": 1}).replace(": 1}", f": {name}}}")


# rule -> how it is injected into an alpaca row
INJECTORS: Mapping[str, Callable[[Row, random.Random], Injected]] = {
    "invalid-json": broken,
    "wrong-type": wrong,
    "missing-field": lacking,
    "not-finite": number("NaN"),
    "lone-surrogate": half,
    "mojibake": accents(misread),
    "control-characters": control,
    "mixed-normalization": accents(lambda text: unicodedata.normalize("NFD", text)),
    "html-entities": accents(lambda text: html.escape(f'{text} "Tom" & co', quote=True)),
    "pii-email": in_answer(email),
    "pii-phone": in_answer(phone),
    "pii-card": in_answer(card),
    "pii-iban": in_answer(iban),
    "pii-national-id": in_answer(national),
    "pii-ip": in_answer(address),
    "secret": in_answer(secret),
    "empty-answer": lambda row, source: {**row, "output": source.choice(["", " ", "\n", None])},
    "placeholder-answer": lambda row, source: {**row, "output": source.choice(PLACEHOLDERS)},
    "truncated-answer": cut,
    "answer-repeats-prompt": lambda row, source: {
        **row,
        "output": source.choice(["", f" {row['output']}"]).join([row["instruction"], ""]),
    },
    "refusal": lambda row, source: {
        **row,
        "output": source.choice(REFUSALS) + source.choice(["", " Is there anything else?"]),
    },
    "wrong-language": lambda row, source: {**row, "output": source.choice(list(OTHER.values()))},
    "merged-rows": merged,
    "no-input-text": lambda row, source: {
        **row,
        "input": source.choice(["<noinput>", "No input", "noinput", "N/A", "None", "No input."]),
    },
}
