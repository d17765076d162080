"""Pages that belong to no rule; `ftspec explain` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WHEN = """\
When to fine-tune, and when not to.

It pays for
    a consistent output format or style
    100 and more good examples; 500 excellent ones beat 5,000 poor ones
    the terms of a domain that the model does not know
    behaviour of your own that no prompt brings about reliably
    cost at high volume: a small tuned model, and short prompts, in place of a large one

It does not pay for
    few examples: put five to twenty of them into the prompt first
    general knowledge: a larger model, or retrieval
    what a better prompt does as well: try that first, it costs minutes
    requirements that change from week to week: retrieval, or a prompt
    little compute: `ftspec methods MODEL` shows which method fits which card

What ftspec can see of this it says by itself: fewer than 100 rows (FT301), a run that fits no card
at hand (FT201), numbers under which it would overfit (FT302), the time and, with
`hardware.price_per_hour`, the cost of a run.
"""

TOPICS: Mapping[str, str] = MappingProxyType({"when-to-fine-tune": WHEN.rstrip()})
