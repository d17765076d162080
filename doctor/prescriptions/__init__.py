"""Remedies as patches of the spec: one file a kind, made quantitative by the finding's evidence."""
