"""Say why there is nothing to merge, and what to do instead."""

import sys

WHY = """A soft prompt is part of no weight, so it cannot be merged. Load it so:

    base = AutoModelForCausalLM.from_pretrained("mistralai/Mistral-7B-v0.3")
    model = PeftModel.from_pretrained(base, "runs/<n>/final")

vLLM, llama.cpp and Ollama do not take it: serve it with transformers and peft, as chat.py
does, or train LoRA (method: lora), which they take."""

if __name__ == "__main__":
    print(WHY, file=sys.stderr)
    sys.exit(78)
