"""Rules that need facts: the model, the data, the hardware, the predicted memory."""
