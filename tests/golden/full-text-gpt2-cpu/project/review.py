"""Say why there is nothing to review, and what to do instead."""

import sys

WHY = "Plain text asks nothing. Talk to the model instead: python chat.py"

if __name__ == "__main__":
    print(WHY, file=sys.stderr)
    sys.exit(78)
