"""Merge the adapter into its base: a model that loads without peft.

    python merge.py                       the newest finished run, into runs/<n>/merged
    python merge.py --run 2               another one
    python merge.py --compare             measure the held-out rows before and after merging

Tensors are merged one after another, so host memory holds 2 GiB and a layer, never the
model. To verify it, adapter and merged model are loaded one at a time in bfloat16 (0.3 GiB)
where there is room for that.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import psutil
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

import evaluate
import metrics
from base import read_base, wrong_base
from handover import commands, modelfile
from journal import Exit, ends, newest_final
from shards import NotByTensorsError, merge_by_tensors

HERE = Path(__file__).resolve().parent

MODEL = str(HERE / "../model")  # llama, 134.5 M parameters
REVISION = None  # None: the commit that it was trained on, by base.json
DTYPE = torch.bfloat16
REMOTE = False  # whether the model's own code is run
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FOLDERS = {"original": "merged", "dequantized": "merged-dequantized"}
# Logits of the merged model may differ from the adapter's by so much (root mean square, as a
# share): rounding of merged weights to 24, 11 or 8 bits, summed over the layers.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def load(folder=MODEL, revision=None, quantization=None):
    """Load a model, quantized as base.json says, or not at all."""
    how = {}
    if quantization and quantization["type"] == "int8":
        how["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif quantization:
        how["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization["type"],
            bnb_4bit_use_double_quant=quantization["double"],
            bnb_4bit_compute_dtype=DTYPE,
        )
    model = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=DTYPE,
        revision=revision,
        trust_remote_code=REMOTE,
        device_map=DEVICE,
        **how,
    )
    return model.eval()


def write_merged(final, folder, base, revision, quantization, whole):
    """Write the merged model with its tokenizer and chat template into a folder."""
    source = {"revision": revision, "trust_remote_code": REMOTE}
    try:
        if whole:
            raise NotByTensorsError("--whole")
        merge_by_tensors(base, source, final, folder, DTYPE, quantization)
    except NotByTensorsError as why:
        if quantization:
            raise
        print(f"merging the whole model in memory ({why})")
        shutil.rmtree(folder, ignore_errors=True)
        how = {"dtype": DTYPE, "device_map": "cpu", **source}
        model = AutoModelForCausalLM.from_pretrained(base, **how)
        model = PeftModel.from_pretrained(model, str(final))
        model.merge_and_unload(safe_merge=True).save_pretrained(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(str(final))
    tokenizer.save_pretrained(str(folder))
    written = modelfile(tokenizer, chat=True)
    if written:
        (folder / "Modelfile").write_text(written, "utf-8")


def probes(tokenizer):
    """Return a few rows of tokens."""
    rows = evaluate.held_out(tokenizer, 4)
    return [row["input_ids"][: evaluate.MAX_LENGTH] for row in rows]


@torch.no_grad()
def logits(model, rows):
    """Return a model's logits for each token of the rows, in float32."""
    batches = [torch.tensor([row], device=DEVICE) for row in rows]
    return torch.cat([model(input_ids=ids).logits[0].float().cpu() for ids in batches])


def verify(final, folder, base, revision, quantization):
    """Compare logits of the merged model with those of the adapter on the same base.

    Returns how far they differ (error) and how far the adapter had moved them (effect), as
    shares of their size, and for which share of tokens the likeliest next one is the same;
    None where there is no room for the model.
    """
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    room = psutil.virtual_memory().available
    room = torch.cuda.mem_get_info()[0] if DEVICE == "cuda" else room
    if size > 0.9 * room:
        need, free = (round(number / 2**30, 1) for number in (size, room))
        print(f"not verified: the model takes {need} GiB, and {free} GiB are free")
        return None
    rows = probes(AutoTokenizer.from_pretrained(str(final)))
    model = load(base, revision, quantization)
    before = logits(model, rows)
    model = PeftModel.from_pretrained(model, str(final)).eval()
    adapter = logits(model, rows)
    del model
    merged = logits(load(folder), rows)
    same = (merged.argmax(-1) == adapter.argmax(-1)).float().mean()
    return {
        "error": float((merged - adapter).norm() / adapter.norm()),
        "effect": float((before - adapter).norm() / adapter.norm()),
        "tolerance": TOLERANCE[DTYPE],
        "same_next_token": float(same),
    }


def show(found):
    """Print what verify found."""
    print(f"merged and adapter: logits differ by {found['error']:.3%}", end=" ")
    print(f"(at most {found['tolerance']:.1%} is right in {DTYPE});")
    print(f"the likeliest next token is the same for {found['same_next_token']:.1%};")
    print(f"the adapter had moved the logits by {found['effect']:.1%}")
    if found["error"] > found["effect"] / 2:
        print(f"so small a change is near the rounding of {DTYPE}: see --compare")


def compare(final, folders, base, revision, quantization):
    """Measure the held-out rows with the adapter as it was trained, and merged."""
    tokenizer = evaluate.load_tokenizer()
    rows = evaluate.held_out(tokenizer)
    pad = tokenizer.pad_token_id
    model = load(base, revision, quantization)
    model = PeftModel.from_pretrained(model, str(final)).eval()
    adapter = evaluate.losses(model, rows, pad)
    del model
    found = {"adapter": {"value": metrics.perplexity(adapter.sum(0).tolist())}}
    print(f"perplexity of {len(rows)} held-out rows")
    print(f"  {'adapter as trained':<20} {found['adapter']['value']:>12,.4f}")
    for folder in folders:
        merged = evaluate.losses(load(folder), rows, pad)
        score = metrics.compared(adapter, merged, metrics.perplexity, evaluate.SEED)
        low, high = (f"{100 * score[key]:+.2f} %" for key in ("low", "high"))
        change = f"{100 * score['change']:+.2f} %   ({low} to {high})"
        print(f"  {folder.name:<20} {score['value']:>12,.4f}   {change}")
        found[folder.name] = score
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=int, help="which run (default: the newest)")
    add("--base", default=MODEL, help="the base, where it lies elsewhere now")
    add("--into", choices=list(FOLDERS), default="original", help="of a quantized base")
    add("--whole", action="store_true", help="merge in memory, the whole model at once")
    add("--compare", action="store_true", help="measure the held-out rows too")
    options = parser.parse_args()
    runs = HERE / "runs"
    final = runs / str(options.run) / "final" if options.run else newest_final(runs)
    if final is None or not final.is_dir():
        which = f"run {options.run}" if options.run else "run"
        print(f"There is no finished {which} to merge.", file=sys.stderr)
        return Exit.UNUSABLE
    told = read_base(final) or {}
    same = told.get("name") == options.base
    revision = REVISION or (told.get("commit") if same else None)
    if why := wrong_base(final, options.base, revision):
        print(why, file=sys.stderr)
        return Exit.UNUSABLE
    quantization = told.get("quantization")
    if options.into == "dequantized" and (options.whole or not quantization):
        why = "--whole goes with --into original"
        if not quantization:
            why = "the base was not quantized: there is nothing to dequantize"
        print(why, file=sys.stderr)
        return Exit.UNUSABLE

    kinds = [options.into]
    if options.compare and quantization:
        kinds = list(FOLDERS)
    result = {"schema_version": 1, "base": options.base, "revision": revision}
    for kind in kinds:
        folder = final.parent / FOLDERS[kind]
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        how = quantization if kind == "dequantized" else None
        write_merged(final, partial, options.base, revision, how, options.whole)
        found = verify(final, partial, options.base, revision, how)
        if found is not None:
            result[kind] = found
            show(found)
            if not found["error"] <= found["tolerance"]:
                print(f"that is too much; it is left in {partial}", file=sys.stderr)
                return Exit.UNUSABLE
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
        print(f"merged into {folder}")
    if options.compare:
        folders = [final.parent / FOLDERS[kind] for kind in kinds]
        scores = compare(final, folders, options.base, revision, quantization)
        result["perplexity"] = scores
    text = json.dumps(result, indent=1) + "\n"
    (final.parent / "merge.json").write_text(text, "utf-8")
    folder = final.parent / FOLDERS[kinds[0]]
    dtype = str(DTYPE).removeprefix("torch.")
    has_modelfile = (folder / "Modelfile").exists()
    print("", "serve it, or convert it (the script is llama.cpp's):", "", sep="\n")
    for line in commands(folder, dtype, has_modelfile):
        print(f"    {line}")
    if not has_modelfile:
        print("\nThere is no Modelfile for Ollama: a template of its kind could not")
        print("render what the chat template does.")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
