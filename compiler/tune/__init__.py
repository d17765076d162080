"""Tuning: what a plan gives up to fit, how fast it is, and what keeps it from overfitting."""
