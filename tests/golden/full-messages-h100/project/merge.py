"""Say why there is nothing to merge, and what to do instead."""

import sys

WHY = """Every weight was trained: runs/<n>/final is the whole model already. Load it so:

    AutoModelForCausalLM.from_pretrained("runs/<n>/final")

vLLM serves it as it is, and llama.cpp converts it:

    vllm serve runs/<n>/final
    python convert_hf_to_gguf.py runs/<n>/final --outfile model.gguf"""

if __name__ == "__main__":
    print(WHY, file=sys.stderr)
    sys.exit(78)
