"""Merge the adapter into the base: a model that loads without peft.

    python merge.py                 the newest finished run, into runs/<n>/merged
    python merge.py --run 2

The base is loaded in bfloat16, unquantized, on the CPU: it needs 12.6 GiB of host memory.
The adapter was trained on the quantized base; merged into the unquantized one, answers
differ a little from those of the adapter.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from journal import Exit, ends, newest_final

HERE = Path(__file__).resolve().parent

MODEL = "meta-llama/Llama-2-7b-hf"  # llama, 6,738.4 M parameters
DTYPE = torch.bfloat16


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=int, help="which run (default: the newest)")
    options = parser.parse_args()
    runs = HERE / "runs"
    final = runs / str(options.run) / "final" if options.run else newest_final(runs)
    if final is None or not final.is_dir():
        which = f"run {options.run}" if options.run else "run"
        print(f"There is no finished {which} to merge.", file=sys.stderr)
        return Exit.UNUSABLE
    config = json.loads((final / "adapter_config.json").read_text("utf-8"))
    trained_on = Path(config["base_model_name_or_path"]).name
    if trained_on != Path(MODEL).name:
        print(f"the adapter belongs to {trained_on}, not {MODEL}", file=sys.stderr)
        return Exit.UNUSABLE
    base = AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        device_map="cpu",
    )
    model = PeftModel.from_pretrained(base, str(final))
    merged = model.merge_and_unload(safe_merge=True)  # refuses to write NaN
    folder = final.parent / "merged"
    merged.save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(final)).save_pretrained(str(folder))
    print(f"merged into {folder}")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
