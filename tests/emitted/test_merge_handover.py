"""handover.py: a Modelfile only where Ollama's template renders what the chat template does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emitted_modules import imported
from tiny import CHAT_TEMPLATE, make_tokenizer

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
OWN = "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|head|>{{ m.role }}<|/head|>\n\n{{ m.content | trim }}"
    "<|eot|>{% endfor %}{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
LAST = "{% for m in messages %}{{ m.content }}{{ '!' if loop.last }}{% endfor %}"
GOOD = {"tiny": CHAT_TEMPLATE, "chatml": TURNS + PROMPT, "own": OWN + TURNS + PROMPT}
GOOD |= {"llama-3": LLAMA_3}
BAD = {
    "refuses": NO_SYSTEM + TURNS + PROMPT,
    "last": LAST,
    "braces": TURNS.replace("<|im_start|>", "{{ '{{' }}") + PROMPT,
    "quotes": TURNS.replace("<|im_start|>", '"""') + PROMPT,
    "broken": "{{ messages | nothing }}",
}
TALK = [("system", "Be odd."), ("user", "what?"), ("assistant", "this"), ("user", "and?")]


@pytest.fixture(scope="module")
def handover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    import jinja2

    import ftspec.templates

    folder = tmp_path_factory.mktemp("handover")
    template = Path(next(iter(ftspec.templates.__path__))) / "handover.py.j2"
    text = jinja2.Template(template.read_text(encoding="utf-8")).render()
    (folder / "handover.py").write_text(text)
    with imported(folder, "handover") as module:
        yield module


def tokenizer(folder: Path, template: str) -> Any:
    from transformers import AutoTokenizer

    make_tokenizer(folder, template=template)
    return AutoTokenizer.from_pretrained(str(folder))


def as_ollama(modelfile: str, talk: list[tuple[str, str]]) -> str:
    """Render a talk by a Modelfile: the few words of Go's templates that are used in it."""
    template = re.search(r'^TEMPLATE """(.*?)"""$', modelfile, re.DOTALL | re.MULTILINE)
    own = re.search(r'^SYSTEM """(.*?)"""$', modelfile, re.DOTALL | re.MULTILINE)
    assert template is not None
    if own and talk[0][0] != "system":
        talk = [("system", own[1]), *talk]
    body = re.fullmatch(
        r"(.*)\{\{ range .Messages \}\}(.*)\{\{ end \}\}\{\{ end \}\}(.*)", template[1], re.DOTALL
    )
    assert body is not None
    parts = re.split(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}', body[2])
    assert parts[0] == ""
    cases = dict(zip(parts[1::2], parts[2::2], strict=True))
    turns = "".join(cases[role].replace("{{ .Content }}", said) for role, said in talk)
    return body[1] + turns + body[3]


@pytest.mark.parametrize("kind", GOOD)
def test_a_modelfile_renders_what_the_chat_template_does(
    kind: str, handover: ModuleType, tmp_path: Path
) -> None:
    made = tokenizer(tmp_path, GOOD[kind])
    if kind == "llama-3":
        made.bos_token = "<|user|>"  # which this tokenizer does not add by itself
    text = handover.modelfile(made, True)
    assert text.startswith("FROM ./model.gguf\n")
    assert ("SYSTEM" in text) is (kind == "own")
    for talk in (TALK, TALK[1:], TALK[:2], TALK[1:2]):
        messages = [{"role": role, "content": said} for role, said in talk]
        options = {"tokenize": False, "add_generation_prompt": True}
        assert as_ollama(text, talk) == made.apply_chat_template(messages, **options)
    end = {"tiny": "<|end|>", "llama-3": "<|eot|>"}.get(kind, "<|im_end|>")
    assert f'PARAMETER stop "{end}"' in text


@pytest.mark.parametrize("kind", BAD)
def test_there_is_none_where_it_would_not_be_true(
    kind: str, handover: ModuleType, tmp_path: Path
) -> None:
    assert handover.modelfile(tokenizer(tmp_path, BAD[kind]), True) is None


def test_plain_text_is_passed_on(handover: ModuleType, tmp_path: Path) -> None:
    text = handover.modelfile(tokenizer(tmp_path, CHAT_TEMPLATE), False)
    assert text == 'FROM ./model.gguf\nTEMPLATE """{{ .Prompt }}"""\n'


def test_commands(handover: ModuleType) -> None:
    folder = Path("/x/bot/runs/1/merged")
    found = handover.commands(folder, "bfloat16", False)
    assert found == [
        "vllm serve /x/bot/runs/1/merged",
        "python convert_hf_to_gguf.py /x/bot/runs/1/merged"
        " --outfile /x/bot/runs/1/merged/model.gguf --outtype bf16",
    ]
    assert handover.commands(folder, "float16", True)[-1] == (
        "ollama create bot -f /x/bot/runs/1/merged/Modelfile"
    )
