"""Talk to the tuned model, and to other models beside it.

    python chat.py                          a conversation with the newest finished run
    python chat.py --prompt "Hello"         one answer
    python chat.py --base --prompt "Hello"  the same from the untuned base
    python chat.py --adapter support=DIR --adapter coding=DIR

In a conversation, /help lists what can be asked of it: switch, add, drop, compare.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import re
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer

from journal import Exit, ends, newest_final

HERE = Path(__file__).resolve().parent

MODEL = str(HERE / "../model")  # gpt2, 124.4 M parameters
DTYPE = torch.float32  # how the base is stored
ATTENTION = "sdpa"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BASE = "base"  # the name of the base alone, without any adapter
COMMANDS = """\
/adapters         what is loaded; * marks what answers
/use NAME         have it answer from now on; "base" is the untuned base
/add NAME=DIR     load a model: its folder, its run's or its project's
/drop NAME        unload it
/compare          the last question again, by what is in use and by the base
/compare A B      the same by those named
/new              forget what was said
/quit             end; Ctrl-C ends an answer"""


def load_tokenizer():
    """Load the tokenizer, with what it lacks made up for."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    if tokenizer.pad_token is None:  # padding is masked by place, not by its id
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base():
    """Load the base model."""
    return AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        attn_implementation=ATTENTION,
        device_map=DEVICE,
    )


def folder_of(text):
    """Return the folder of a model: given itself, as its run's or as its project's."""
    path = Path(text).expanduser().resolve()
    for found in (path, path / "final", newest_final(path / "runs")):
        if found and (found / "config.json").is_file():
            return found
    raise ValueError(f"{path} holds no model: there is no config.json")


class Models:
    """Whole models, by name; one of them answers at a time. Each takes memory of its own."""

    def __init__(self):
        self.models = {}
        self.tokenizers = {BASE: load_tokenizer()}  # the base is loaded when asked
        self.in_use = BASE

    def known(self, name):
        """Return a name that is loaded."""
        if name in self.tokenizers:
            return name
        raise ValueError(f"{name} is not loaded; there is {', '.join(self.tokenizers)}")

    def add(self, name, path):
        """Load a model beside those that are there."""
        free_name(name, self.tokenizers)
        folder = folder_of(path)
        self.tokenizers[name] = own_tokenizer(folder)
        self.models[name] = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=DTYPE,
            attn_implementation=ATTENTION,
            device_map=DEVICE,
        ).eval()

    def drop(self, name):
        """Unload a model."""
        self.models.pop(self.known(name), None)
        if name != BASE:
            del self.tokenizers[name]
        if self.in_use == name:
            self.in_use = BASE

    def mix(self, shares):
        """Say why there is no mixture."""
        raise ValueError("whole models are not mixed: LoRA adapters of one base are")

    @contextmanager
    def speaking(self, name):
        """Have a model answer; gives it and its tokenizer."""
        if name not in self.models:
            self.models[name] = load_base().eval()
        yield self.models[name], self.tokenizers[name]


def free_name(name, taken):
    """Refuse a name that cannot be one."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # torch wants no dots in it
        raise ValueError(f"{name!r} is no name: letters, digits, - and _")
    if name in taken:
        raise ValueError(f"{name} is taken")


def own_tokenizer(folder):
    """Return the tokenizer that lies beside a model, with its chat template; else the base's."""
    if not (folder / "tokenizer_config.json").exists():
        return load_tokenizer()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_ids(model, tokenizer):
    """Return the tokens that end an answer: the model's, the tokenizer's."""
    ids = model.generation_config.eos_token_id
    found = {*(ids if isinstance(ids, list) else [ids]), tokenizer.eos_token_id}
    return sorted(found - {None})


@torch.no_grad()
def answer(loaded, name, messages, options):
    """Generate the next turn, print it as it comes, and return it."""
    with loaded.speaking(name) as (model, tokenizer):
        prompt = messages[-1]["content"]  # trained on plain text: there are no turns
        inputs = tokenizer(prompt, return_tensors="pt")
        output = model.generate(
            input_ids=inputs["input_ids"].to(DEVICE),
            attention_mask=inputs["attention_mask"].to(DEVICE),
            max_new_tokens=options.max_new_tokens,
            do_sample=options.temperature > 0,
            temperature=options.temperature or None,
            eos_token_id=end_ids(model, tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            streamer=TextStreamer(
                tokenizer,
                skip_prompt=True,
                skip_special_tokens=True,
            ),
        )
        new = output[0, inputs["input_ids"].shape[1] :]
        return tokenizer.decode(new, skip_special_tokens=True)


def compare(loaded, names, messages, options):
    """Have several answer the last question; what was said stays as it is."""
    known = [loaded.known(name) for name in names]  # all of them, before one answers
    for name in known:
        print(f"[{name}]")
        answer(loaded, name, messages, options)


def obey(said, loaded, messages, options):
    """Do what a line with a slash says."""
    match shlex.split(said):
        case ["/adapters"]:
            for name in loaded.tokenizers:
                print("*" if name == loaded.in_use else " ", name)
        case ["/use", name]:
            loaded.in_use = loaded.known(name)
        case ["/add", pair] if "=" in pair:
            name, path = pair.split("=", 1)
            loaded.add(name, path)
            print(f"loaded: /use {name}")
        case ["/drop", name]:
            loaded.drop(name)
        case ["/compare", *names]:
            last = [n for n, turn in enumerate(messages) if turn["role"] == "user"]
            if not last:
                raise ValueError("ask something first")
            names = names or [loaded.in_use, BASE]
            compare(loaded, dict.fromkeys(names), messages[: last[-1] + 1], options)
        case ["/mix", *pairs] if pairs and all("=" in pair for pair in pairs):
            shares = [pair.split("=", 1) for pair in pairs]
            loaded.in_use = loaded.mix({name: float(share) for name, share in shares})
        case _:
            print(COMMANDS)


def converse(loaded, start, options):
    """Ask and answer until there is no more to ask."""
    messages = list(start)
    while True:
        try:
            said = input(f"{loaded.in_use}> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if said == "/quit":
            return
        try:
            if said == "/new":
                messages = list(start)
            elif said.startswith("/"):
                obey(said, loaded, messages, options)
            elif said:
                asked = [*messages, {"role": "user", "content": said}]
                reply = answer(loaded, loaded.in_use, asked, options)
                messages = [*asked, {"role": "assistant", "content": reply}]
        except ValueError as error:
            print(error)
        except KeyboardInterrupt:
            print("\n(not finished, and forgotten)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=int, help="which run (default: the newest)")
    add("--adapter", action="append", default=[], metavar="NAME=DIR", help="one more")
    add("--prompt", help="answer this and end; each adapter that was given answers")
    add("--base", action="store_true", help="ask the untuned base")
    add("--max-new-tokens", type=int, default=256)
    add("--temperature", type=float, default=0.0, help="0: greedy")
    options = parser.parse_args()
    if not all("=" in pair for pair in options.adapter):
        parser.error("--adapter wants NAME=DIR")
    given = [tuple(pair.split("=", 1)) for pair in options.adapter]
    if options.run or not (given or options.base):
        runs = HERE / "runs"
        final = runs / str(options.run) / "final" if options.run else newest_final(runs)
        if final is None or not final.is_dir():
            which = f"run {options.run}" if options.run else "run"
            print(f"There is no finished {which} to talk to.", file=sys.stderr)
            return Exit.UNUSABLE
        given.insert(0, ("tuned", final))
    loaded = Models()
    try:
        for name, path in given:
            loaded.add(name, path)
    except ValueError as error:
        print(error, file=sys.stderr)
        return Exit.UNUSABLE
    names = [name for name in loaded.tokenizers if name != BASE]
    if names and not options.base:
        loaded.in_use = names[0]
    start = []
    if options.prompt is None:
        converse(loaded, start, options)
        return Exit.FINISHED
    messages = [*start, {"role": "user", "content": options.prompt}]
    if options.base or len(names) == 1:
        answer(loaded, loaded.in_use, messages, options)
    else:
        compare(loaded, names, messages, options)
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
