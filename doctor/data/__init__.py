"""Training data: read row by row, judged by rules, repaired without losing a row."""
