"""Hand a merged model over: the commands of vLLM, llama.cpp and Ollama, and a Modelfile.

A Modelfile has a template of its own language. It is written only where that template renders
talks exactly as the model's chat template does.
"""

from jinja2.exceptions import TemplateError

USER, SYSTEM, ASSISTANT = "user", "system", "assistant"
TALKS = [  # that both templates have to render alike
    [(USER, "a?")],
    [(SYSTEM, "Be b."), (USER, "a?")],
    [(USER, "a?"), (ASSISTANT, "c."), (USER, "d?")],
    [(SYSTEM, "Be b."), (USER, "a?"), (ASSISTANT, "c."), (USER, "d?")],
]
# https://docs.ollama.com/template: a Go template over .Messages, with .Role and .Content.
TEMPLATE = """{{ range .Messages }}{{ if eq .Role "system" }}%s{{ .Content }}%s\
{{ else if eq .Role "user" }}%s{{ .Content }}%s\
{{ else if eq .Role "assistant" }}%s{{ .Content }}%s{{ end }}{{ end }}%s"""


def commands(folder, dtype, with_modelfile):
    """Return the commands that serve a merged model, or convert it."""
    kind = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}[dtype]
    convert = f"python convert_hf_to_gguf.py {folder} --outfile {folder / 'model.gguf'}"
    found = [f"vllm serve {folder}", f"{convert} --outtype {kind}"]
    if with_modelfile:
        found += [f"ollama create {folder.parents[2].name} -f {folder / 'Modelfile'}"]
    return found


def modelfile(tokenizer, chat):
    """Return a Modelfile for model.gguf beside it; None where it could not be true.

    chat: whether the model was trained on turns, or on plain text.
    """
    if not chat:
        return 'FROM ./model.gguf\nTEMPLATE """{{ .Prompt }}"""\n'
    turns = turns_of(tokenizer)
    if turns is None:
        return None
    own, prompt = turns["own"], turns["prompt"]
    around = [text for role in (SYSTEM, USER, ASSISTANT) for text in turns[role]]
    begin, said = tokenizer.bos_token or "", [{"role": USER, "content": "x"}]
    if not tokenizer.apply_chat_template(said, tokenize=False).startswith(begin):
        begin = ""
    if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        begin = ""  # a GGUF file says that its tokenizer adds it
    if any(odd in text for text in (*around, prompt, own) for odd in ('"""', "{{")):
        return None
    template = begin + TEMPLATE % (*around, prompt)
    lines = ["FROM ./model.gguf", f'TEMPLATE """{template}"""']
    lines += [f'SYSTEM """{own}"""'] if own else []
    end = turns[ASSISTANT][1].strip()
    lines += [f'PARAMETER stop "{end}"'] if end and '"' not in end else []
    return "\n".join(lines) + "\n"


def turns_of(tokenizer):
    """Return what the chat template writes before and after each role's content.

    Under "prompt" stands what an answer follows, under "own" the system prompt that it brings
    itself. None: it does more than write turns one after another.
    """
    try:
        talk = [(SYSTEM, "\x01"), (USER, "\x02"), (ASSISTANT, "\x03"), (USER, "\x04")]
        before_system, rest = rendered(tokenizer, talk).split("\x01")
        to_user, rest = rest.split("\x02")
        to_assistant, rest = rest.split("\x03")
        to_user_again, end = rest.split("\x04")
        first, after_user = rendered(tokenizer, talk[1:2], prompt=False).split("\x02")
        # A talk begins with the user, or with the template's own system prompt.
        for before_user in (first, to_user.removeprefix(after_user)):
            after_system = to_user.removesuffix(before_user)
            own = first.removesuffix(after_system + before_user)
            after_assistant = to_user_again.removesuffix(before_user)
            turns = {
                SYSTEM: (before_system, after_system),
                USER: (before_user, after_user),
                ASSISTANT: (to_assistant.removeprefix(after_user), after_assistant),
                "prompt": end.removeprefix(after_user),
                "own": "" if first == before_user else own.removeprefix(before_system),
            }
            if all(written(turns, talk) == rendered(tokenizer, talk) for talk in TALKS):
                return turns
    except (TemplateError, ValueError, TypeError):
        return None  # it refuses such a talk, or says a turn otherwise than it is
    return None


def rendered(tokenizer, talk, prompt=True):
    """Render (role, content) pairs by the chat template, less the token that begins a text."""
    messages = [{"role": role, "content": content} for role, content in talk]
    options = {"tokenize": False, "add_generation_prompt": prompt}
    text = tokenizer.apply_chat_template(messages, **options)
    return text.removeprefix(tokenizer.bos_token or "")


def written(turns, talk):
    """Render (role, content) pairs as the Modelfile does."""
    if turns["own"] and talk[0][0] != SYSTEM:
        talk = [(SYSTEM, turns["own"]), *talk]
    said = "".join(turns[role][0] + content + turns[role][1] for role, content in talk)
    return said + turns["prompt"]
