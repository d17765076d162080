"""The language of a text: by its script, and for the Latin script by its smallest words."""

from __future__ import annotations

import re

LOOKED = (250, 600)  # characters of a text that are looked at, and where they do not tell
WORDS = 6  # words without which nothing is told
LEAST, SHARE = 3, 0.12  # different small words of a language, and their share of all
SURE = 5  # English ones that settle it at once: they are looked for first

# Small words that are frequent in one language and rare or absent in the others.
SMALL: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "English": "the of and to is in that it for was with are this be as on you by not have from"
        " or an which at they we his her can if how what will each she he there their",
        "French": "le la les des est et une dans pour que qui sur pas avec ce il elle vous nous du"
        " au aux sont cette ses mais ou être plus leur",
        "German": "der die das und ist nicht ein eine zu den mit von auf für sich dem des im auch"
        " als werden wird sind oder ich wir sie bei einer kann nach",
        "Spanish": "el los las y es una para que con del por se en como más pero sus su lo al está"
        " son muy este esta ser hay",
        "Portuguese": "os um uma é não para com do da em que se mais como dos das ao você são mas"
        " por seu sua ele muito isso foi",
        "Italian": "il di è che un una per con non sono della del gli le nel più come anche si"
        " questo alla dei delle ma lo",
        "Dutch": "het een van en is niet dat op te zijn met voor aan die ook er maar wordt naar bij"
        " deze hij worden kunnen uit",
        "Swedish": "och att det som är en på för med av till den inte om ett har jag vi kan från"
        " eller så var men",
        "Polish": "nie jest się na że do to jak co dla są tym od przez oraz może być tego ale czy",
        "Turkish": "bir ve bu için ile da de çok olarak gibi daha olan ne mi sonra kadar değil var",
        "Indonesian": "yang dan di untuk dengan ini itu dari pada tidak adalah dalam akan ke atau"
        " juga saya anda bisa oleh",
    }.items()
}
_LANGUAGES: dict[str, list[str]] = {}
for _name, _words in SMALL.items():
    for _word in _words:
        _LANGUAGES.setdefault(_word, []).append(_name)
_SCRIPTS = (
    ("Japanese", re.compile("[\u3040-\u30ff]")),
    ("Korean", re.compile("[\uac00-\ud7a3]")),
    ("Chinese", re.compile("[\u4e00-\u9fff]")),
    ("Cyrillic", re.compile("[\u0400-\u04ff]")),
    ("Arabic", re.compile("[\u0600-\u06ff]")),
    ("Greek", re.compile("[\u0370-\u03ff]")),
    ("Hebrew", re.compile("[\u0590-\u05ff]")),
    ("Thai", re.compile("[\u0e00-\u0e7f]")),
    ("Devanagari", re.compile("[\u0900-\u097f]")),
)
_NAMED = re.compile(
    r"translat|langu|traduc|tradu[iz]|übersetz|vertaal|翻译|翻訳|перевед"
    r"|\b(?:english|french|german|spanish|portuguese|italian|dutch|swedish|polish|turkish|indonesian"
    r"|japanese|korean|chinese|mandarin|russian|arabic|greek|hebrew|thai|hindi|latin|ukrainian"
    r"|français|deutsch|español|português|italiano|anglais|englisch|inglés|inglês|inglese)\b",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_]")


def language_of(text: str) -> str:
    """Return the language of a text; empty where it cannot be told (short, mixed, or code)."""
    for looked in LOOKED:
        language = _language_of(text[:looked])
        if language or len(text) <= looked:
            return language
    return ""


def _language_of(text: str) -> str:
    if not text.isascii():
        script = _script(text)
        if script:
            return script
    words = text.lower().split()
    if len(words) < WORDS:
        return ""
    different = set(words)
    english = len(SMALL["English"] & different)
    if english >= SURE and english >= 2 * SHARE * len(different):
        return "English"  # most texts of most files end here
    counts: dict[str, int] = {}
    for word in _LANGUAGES.keys() & different:
        for name in _LANGUAGES[word]:
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return ""
    first = max(counts, key=lambda name: counts[name])
    second = max((count for name, count in counts.items() if name != first), default=0)
    clear = counts[first] >= LEAST and counts[first] >= 1.5 * second
    return first if clear and counts[first] >= SHARE * len(different) else ""


def _script(text: str) -> str:
    """Return the language of a script that half of the letters and more are of."""
    letters = len(_LETTERS.findall(text))
    if not letters:
        return ""
    for name, pattern in _SCRIPTS:
        found = len(pattern.findall(text))
        if found * 2 >= letters or (name == "Japanese" and found * 4 >= letters):
            return name
    return ""


def names_language(text: str) -> bool:
    """Say whether a prompt names a language, or asks for a translation."""
    return _NAMED.search(text) is not None
