"""One template per emitted file; data, not code."""
