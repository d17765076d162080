"""What the demonstration needs: a small real model, and real text that every machine has."""
