"""What each rule on one row finds, and what comes near and is none: answers, prompts or rows.

Tokens and keys are put together here, so that no file of this repository holds one.
"""

from __future__ import annotations

import random
import string
from typing import Any

SOURCE = random.Random(7)


def letters(count: int, of: str = string.ascii_letters + string.digits) -> str:
    return "".join(SOURCE.choice(of) for _ in range(count))


def says(answer: str, prompt: str = "What does the note say about it?", **more: str) -> Any:
    return {"instruction": prompt, "input": "", "output": answer, **more}


def chat(*turns: tuple[str, str]) -> Any:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


USER, ANSWER = ("user", "Hello there, who are you?"), ("assistant", "I am a bot of this shop.")
GOOD = [
    says("It is about bees and their keepers."),
    chat(USER, ANSWER),
    {"prompt": "Name a fruit.", "completion": "An apple."},
    {"text": "A plain text of some words."},
    {"question": "2 + 2?", "answer": "4"},
]

# rule -> (rows in which it is found, rows that come near)
CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "invalid-json": (['{"instruction": "a", "output": }', '{"text": "a"} {"text": "b"}'], GOOD),
    "wrong-type": (
        [
            {"instruction": ["a"], "output": "b"},
            {"instruction": "a", "output": 3},
            {"messages": "no turns"},
            {"messages": [{"role": "user", "content": 7}]},
            {"messages": ["hello"]},
            "[1, 2]",
            '"a text"',
        ],
        [*GOOD, {"instruction": "a", "input": None, "output": "b c d"}],
    ),
    "missing-field": (
        [
            {"instruction": "Sum up.", "ouput": "It is about bees."},
            {"messages": [{"role": "user"}, {"role": "assistant", "content": "a"}]},
            {"messages": [{"content": "a"}]},
            {"instruction": None, "output": "b"},
            {},
        ],
        [*GOOD, {"instruction": "Name one.", "output": "An apple."}],
    ),
    "role-order": (
        [
            chat(USER, USER, ANSWER),
            chat(ANSWER, USER, ANSWER),
            chat(USER, ("system", "Be kind."), ANSWER),
            chat(USER, ANSWER, USER),
            chat(("users", "Hello"), ANSWER),
            chat(("tool", "3"), ANSWER),
        ],
        [
            *GOOD,
            chat(("system", "Be kind."), USER, ANSWER),
            chat(USER, ("assistant", '{"name": "f"}'), ("tool", "3"), ANSWER, USER, ANSWER),
        ],
    ),
    "empty-turn": (
        [chat(USER, ("assistant", "")), chat(("user", "  \n"), ANSWER)],
        [
            *GOOD,
            {
                "messages": [
                    {"role": "user", "content": "f?"},
                    {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]},
                ]
            },
        ],
    ),
    "no-answer-turn": ([chat(USER), chat(("system", "Be kind."), USER)], GOOD),
    "not-finite": (
        ['{"instruction": "a", "output": "b", "score": NaN}', '{"text": "a", "x": 1e999}'],
        [*GOOD, '{"text": "NaN", "x": 1e300}'],
    ),
    "lone-surrogate": (['{"text": "well done \\ud83d"}'], [*GOOD, '{"text": "ok \\ud83d\\ude00"}']),
    "chosen-is-rejected": (
        [{"prompt": "2 + 2?", "chosen": "It is 4", "rejected": "It is 4"}],
        [{"prompt": "2 + 2?", "chosen": "It is 4", "rejected": "It is 5"}],
    ),
    "mojibake": (
        [
            says("The integral of xÂ² from 0 to 4."),
            says("Her fiancÃ© Cal Hockley is there."),
            says("It isnâ€™t what they said, â€œno wayâ€\u009d."),
            says("what was lost \ufffd here"),
        ],
        [
            *GOOD,
            says("Das Café in München kostet 5 € für Ältere – «voilà»."),
            says("São Paulo, Ângela, NÃO, Şişli, Łódź, Đà Nẵng."),
            says("Ελληνικά, русский, 日本語, عربى, 🙂🎉"),
        ],
    ),
    "control-characters": (
        [
            says("Hello\u0000 world of bees"),
            says("zero\u200bwidth space in it"),
            says("a\x1b[0m b c"),
        ],
        [*GOOD, says("Tab\tand\r\nlines"), says("👨\u200d👩\u200d👧 and می\u200cخواهم")],
    ),
    "mixed-normalization": (
        [says("We met in the cafe\u0301 of the town.")],
        [*GOOD, says("We met in the café of the town."), says("हिन्दी में लिखा है। ก็ดี")],
    ),
    "html-entities": (
        [
            says("Tom &amp; Jerry said &quot;hello&quot; to all."),
            says("Caf&eacute; &#39;Central&#39;"),
        ],
        [
            *GOOD,
            says("AT&T; and R&D; are fine"),
            says("Write <b>Tom &amp; Jerry</b> to show an ampersand."),
            says("The entity &amp; stands for an ampersand in HTML."),
        ],
    ),
    "pii-email": (
        [says("Write to jane.roe@mail-company.co.uk soon."), says("ask bob+x@web.de")],
        [
            *GOOD,
            says("The decorator @app.route and git@v1.2.3 are no addresses."),
            says("She wrote @jane on it, at 5 @ 3 dollars."),
        ],
    ),
    "pii-phone": (
        [
            says("Call +44 7700 900123 or leave a note."),
            says("My number is (415) 555-2671."),
            says("Ring 415-555-2671 after six."),
            says("Appelez le 06 12 34 56 78 demain."),
            says("Call +4915112345678 at once."),
        ],
        [
            *GOOD,
            says("48+24 = 72 and 100 + 200 300 = 500 300"),
            says("The years 1990-1995-2000, pages 123-456."),
            says("order 4155552671 of 2024-10-12 14:30:00"),
            says("1,234,567,890 and 3.14159265358979 and 192.168.100.200"),
        ],
    ),
    "pii-card": (
        [
            says("My card is 4111 1111 1111 1111, thanks."),
            says("pay with 5555-5555-5555-4444"),
            says("amex 378282246310005 it is"),
        ],
        [
            *GOOD,
            says("My card is 4111 1111 1111 1112, thanks."),
            says("pi is 3.1415926535897932384626"),
            says("the id 1234567890123456 is no card"),
            says("0000 0000 0000 0000 is no card"),
        ],
    ),
    "pii-iban": (
        [
            says("Send it to DE89 3704 0044 0532 0130 00 today."),
            says("IBAN GB82WEST12345698765432"),
        ],
        [
            *GOOD,
            says("Send it to DE89 3704 0044 0532 0130 01 today."),
            says("AB12CDEF34567890123456"),
        ],
    ),
    "pii-national-id": (
        [
            says("Mi DNI es 12345678Z, gracias."),
            says("My SSN is 123-45-6789 in the file."),
            says("CPF 529.982.247-25 do cliente"),
            says("codice RSSMRA85T10A562S del cliente"),
            says("身份证 11010519491231002X 号码"),
            says("numer PESEL 44051401359 klienta"),
            says("hetu 131052-308T on"),
            says("NIR 2 55 08 14 168 025 38 de la patiente"),
        ],
        [
            *GOOD,
            says("Mi DNI es 12345678A, gracias."),
            says("The code is 000-45-6789 or 900-12-3456."),
            says("CPF 529.982.247-24 do cliente"),
            says("the number 44051401359 has no name near by"),
            says("born 131052 and 308 more"),
        ],
    ),
    "pii-ip": (
        [
            says("Connect to 93.184.216.34 by ssh."),
            says("host 2606:2800:220:1:248:1893:25c8:1946 is up"),
        ],
        [
            *GOOD,
            says("192.168.0.1, 10.1.2.3, 127.0.0.1 and 8.8.8.8 are no one's."),
            says("use version 4.15.23.7 of it, section 3.12.45.6"),
            says("at 12:30:45:10 it was 1.2.3.4.5 and 300.184.216.34"),
        ],
    ),
    "secret": (
        [
            says("key = 'sk-proj-" + letters(40) + "'"),
            says("export AWS=AK" + "IA" + letters(16, string.ascii_uppercase + "234567")),
            says("token gh" + "p_" + letters(36)),
            says("hf" + "_" + letters(34, string.ascii_letters)),
            says("-----BEGIN RSA PRIVATE" + " KEY-----\n" + letters(64) + "\n" + letters(64)),
            says("xox" + "b-123456789012-1234567890123-" + letters(24)),
        ],
        [
            *GOOD,
            says("key = 'sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'"),
            says("a risk-averse task-force asks sk-something"),
            says("AKIA" + "IOSFODNN7EXAMPLE is the documents' own"),
            says("use sk-your-api-key-goes-here-and-there-1234"),
        ],
    ),
    "empty-answer": (
        [says(""), says(" \n\t "), {"instruction": "a b c", "output": None}],
        [*GOOD, says("0"), {"text": ""}],
    ),
    "placeholder-answer": (
        [
            says("TODO"),
            says("N/A"),
            says("<no output>"),
            says("[Insert answer here]"),
            says("..."),
            says("null"),
            says("Hello, I am {{name}}, made by {{author}}."),
            says("Lorem ipsum dolor sit"),
        ],
        [
            *GOOD,
            says("None"),
            says("No"),
            says("42"),
            says("I have no answer to give today."),
            says("In Jinja, `{{ name }}` prints the variable."),
            says("\\frac{{x}}{{y}} in LaTeX"),
        ],
    ),
    "answer-repeats-prompt": (
        [
            says("What does the note say about it?"),
            says("what does the  note say about it?", input="Bees."),
            says(
                "Explain how bees find their way home at night. They use the sun.",
                "Explain how bees find their way home at night.",
            ),
        ],
        [
            *GOOD,
            says("What does the note say? It says hello."),
            says("He go home.", "Correct this: He go home."),
            says("Repeat after me: hello", "Repeat after me: hello"),
        ],
    ),
    "refusal": (
        [
            says("I'm sorry, but I can't assist with that request."),
            says("As an AI language model, I cannot browse the internet."),
            says("I cannot help with that."),
            says("I’m just an AI and don't have access to your files."),
            says("I do not feel comfortable sharing that with you."),
            says("This question is one that I am not able to answer."),
        ],
        [
            *GOOD,
            says("I'm sorry to hear that you lost your keys. Try the drawer."),
            says("The cat cannot swim, but it can climb."),
            says("AI is used in medicine; it cannot replace doctors."),
            says("Sorry, the shop is closed on Sundays."),
            says("I'm comfortable with this chair, and so is she."),
            says("The question is whether I can write it in time."),
        ],
    ),
    "merged-rows": (
        [
            says("It is about bees.\n###\n18. Instruction: Translate the sentence.\nOutput: Bien."),
            says(
                "Paris.\n\n### Instruction:\nName the capital of Spain.\n\n### Response:\nMadrid."
            ),
            says("Four.<|im_start|>user\nAnd five?"),
        ],
        [
            *GOOD,
            says("Steps:\n1. Instruction manuals help.\n2. Read them."),
            says("# Title\n\n## Input and output\n\nText of it."),
            says("Instruction sets:\n- RISC\n- CISC"),
        ],
    ),
    "no-input-text": (
        [
            says("A joke it is.", input=text)
            for text in ("<noinput>", "No input.", "N/A", "none", "nan")
        ],
        [
            *GOOD,
            says("A joke it is.", input=""),
            says("A joke.", input="No input devices work"),
            says("A joke.", input="Nonesuch"),
        ],
    ),
}
