"""Talk to the tuned model, and to several adapters of its base.

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
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    TextStreamer,
)

from base import trained_otherwise, wrong_base
from journal import Exit, ends, memory_gone, newest_final

HERE = Path(__file__).resolve().parent

MODEL = "mistralai/Mistral-7B-v0.3"  # mistral, 7,248.0 M parameters
REVISION = "3f1c0de"
DTYPE = torch.float16  # how the base is stored
ATTENTION = "sdpa"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BASE = "base"  # the name of the base alone, without any adapter
COMMANDS = """\
/adapters         what is loaded; * marks what answers
/use NAME         have it answer from now on; "base" is the untuned base
/add NAME=DIR     load an adapter: its folder, its run's or its project's
/drop NAME        unload it
/compare          the last question again, by what is in use and by the base
/compare A B      the same by those named
/new              forget what was said
/quit             end; Ctrl-C ends an answer"""


def load_tokenizer():
    """Load the tokenizer, with what it lacks made up for."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL, revision=REVISION)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = (HERE / "chat_template.jinja").read_text("utf-8")
    if tokenizer.pad_token is None:  # padding is masked by place, not by its id
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base():
    """Load the base model, quantized as it was in training."""
    return AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        attn_implementation=ATTENTION,
        revision=REVISION,
        device_map=DEVICE,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPE,
        ),
    )


def folder_of(text):
    """Return the folder of an adapter: given itself, as its run's or as its project's."""
    path = Path(text).expanduser().resolve()
    for found in (path, path / "final", newest_final(path / "runs")):
        if found and (found / "adapter_config.json").is_file():
            return found
    raise ValueError(f"{path} holds no adapter: there is no adapter_config.json")


class Adapters:
    """One base and adapters on it, by name: one of them answers at a time, or the base alone."""

    def __init__(self):
        self.model = load_base().eval()
        self.tokenizers = {BASE: load_tokenizer()}  # an adapter brings its own template
        self.in_use = BASE

    def known(self, name):
        """Return a name that is loaded."""
        if name in self.tokenizers:
            return name
        raise ValueError(f"{name} is not loaded; there is {', '.join(self.tokenizers)}")

    def add(self, name, path):
        """Load an adapter beside those that are there."""
        free_name(name, self.tokenizers)
        folder = folder_of(path)
        if why := wrong_base(folder, MODEL, REVISION):
            raise ValueError(f"{name} is refused: {why}")
        if how := trained_otherwise(folder, "nf4"):
            print(f"{name} was trained on {how}", file=sys.stderr)
        tokenizer, where = own_tokenizer(folder), str(folder)
        first = not isinstance(self.model, PeftModel)
        try:
            if first:
                self.model = PeftModel.from_pretrained(self.model, where, name)
            else:
                self.model.load_adapter(where, adapter_name=name)
        except RuntimeError as error:
            if memory_gone(error):
                raise
            if first:  # sizes differ, and peft has begun to change the base
                self.model = load_base().eval()
            elif name in self.model.peft_config:
                self.model.delete_adapter(name)
            raise ValueError(f"{name} does not fit {MODEL}: {error}") from None
        self.tokenizers[name] = tokenizer

    def drop(self, name):
        """Unload an adapter; with the last one the base is bare again."""
        if self.known(name) == BASE:
            raise ValueError("the base stays: all adapters stand on it")
        if len(self.model.peft_config) > 1:
            self.model.delete_adapter(name)
        else:
            self.model = self.model.get_base_model()
        del self.tokenizers[name]
        if self.in_use == name:
            self.in_use = BASE

    def mix(self, shares):
        """Say why there is no mixture."""
        raise ValueError("peft mixes LoRA alone: soft prompts are no matrices")

    @contextmanager
    def speaking(self, name):
        """Have an adapter answer, or the base alone; gives the model and the tokenizer."""
        if not isinstance(self.model, PeftModel):
            yield self.model, self.tokenizers[name]
        elif name == BASE:
            with self.model.disable_adapter():
                yield self.model, self.tokenizers[name]
        else:
            self.model.set_adapter(name, inference_mode=True)
            yield self.model, self.tokenizers[name]


def free_name(name, taken):
    """Refuse a name that cannot be one."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # torch wants no dots in it
        raise ValueError(f"{name!r} is no name: letters, digits, - and _")
    if name in taken:
        raise ValueError(f"{name} is taken")


def own_tokenizer(folder):
    """Return the tokenizer that lies beside an adapter, with its chat template; else the base's."""
    if not (folder / "tokenizer_config.json").exists():
        return load_tokenizer()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_ids(model, tokenizer):
    """Return the tokens that end an answer: the model's, the tokenizer's, the chat template's."""
    ids = model.generation_config.eos_token_id
    found = {*(ids if isinstance(ids, list) else [ids]), tokenizer.eos_token_id}
    turns = [("user", "x"), ("assistant", "ANSWER")]
    turns = [{"role": role, "content": content} for role, content in turns]
    text = tokenizer.apply_chat_template(turns, tokenize=False).rpartition("ANSWER")[2]
    after = tokenizer(text, add_special_tokens=False)["input_ids"][:1]
    found |= set(after) & set(tokenizer.added_tokens_decoder)
    return sorted(found - {None})


@torch.no_grad()
def answer(loaded, name, messages, options):
    """Generate the next turn, print it as it comes, and return it."""
    with loaded.speaking(name) as (model, tokenizer):
        prompt = tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=True,
        )
        inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
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
    loaded = Adapters()
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
