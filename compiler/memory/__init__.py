"""The memory ledger: what each phase of a run holds on a card, part by part."""
