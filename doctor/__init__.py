"""The doctor: reads training logs, finds what is wrong, prescribes patches of the spec."""
