"""Rules about training data: one file each, the docstring is the page."""
