"""Talk to the tuned model.

    python chat.py                          a conversation; /new starts afresh, /quit ends
    python chat.py --prompt "Hello"         one answer
    python chat.py --base --prompt "Hello"  the same from the untuned base

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    TextStreamer,
)

from journal import Exit, ends, newest_final

HERE = Path(__file__).resolve().parent

MODEL = "meta-llama/Llama-2-7b-hf"  # llama, 6,738.4 M parameters
DTYPE = torch.bfloat16  # how the base is stored
ATTENTION = "sdpa"
SYSTEM = 'You answer questions about our shop, "politely" and in one line.'
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def load_tokenizer():
    """Load the tokenizer, with what it lacks made up for."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
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
        device_map=DEVICE,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPE,
        ),
    )


def answer(model, tokenizer, messages, options):
    """Generate the next turn, print it as it comes, and return it."""
    prompt = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
    )
    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(DEVICE)
    streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    with torch.no_grad():
        output = model.generate(
            **inputs,
            max_new_tokens=options.max_new_tokens,
            do_sample=options.temperature > 0,
            temperature=options.temperature or None,
            pad_token_id=tokenizer.pad_token_id,
            streamer=streamer,
        )
    new = output[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=int, help="which run (default: the newest)")
    parser.add_argument("--prompt", help="answer this and end")
    parser.add_argument("--base", action="store_true", help="ask the untuned base")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.0, help="0: greedy")
    options = parser.parse_args()
    runs = HERE / "runs"
    final = runs / str(options.run) / "final" if options.run else newest_final(runs)
    if not options.base and (final is None or not final.is_dir()):
        which = f"run {options.run}" if options.run else "run"
        print(f"There is no finished {which} to talk to.", file=sys.stderr)
        return Exit.UNUSABLE
    tokenizer = load_tokenizer()
    model = load_base()
    if not options.base:
        model = PeftModel.from_pretrained(model, str(final))
    model.eval()
    start = [{"role": "system", "content": SYSTEM}]
    if options.prompt is not None:
        messages = [*start, {"role": "user", "content": options.prompt}]
        answer(model, tokenizer, messages, options)
        return Exit.FINISHED
    messages = list(start)
    while True:
        try:
            said = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return Exit.FINISHED
        if said == "/quit":
            return Exit.FINISHED
        if said == "/new":
            messages = list(start)
        elif said:
            messages.append({"role": "user", "content": said})
            reply = answer(model, tokenizer, messages, options)
            messages.append({"role": "assistant", "content": reply})


if __name__ == "__main__":
    sys.exit(ends(main))
