"""Prescriptions as edits of what a run came from: a spec, or another trainer's config."""
