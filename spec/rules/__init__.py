"""Rules about a spec: one file each, the docstring is the page."""
