"""Say why there is nothing to merge, and what to do instead."""

import sys

WHY = """Every weight was trained: runs/<n>/final is the whole model already. Load it so:

    AutoModelForCausalLM.from_pretrained("runs/<n>/final")"""

if __name__ == "__main__":
    print(WHY, file=sys.stderr)
    sys.exit(78)
