"""Training curves: read from the logs of any trainer, brought to one form, judged by rules."""
