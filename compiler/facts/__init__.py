"""Facts that a plan rests on: the model, the hardware and the data, as values."""
