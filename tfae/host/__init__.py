"""The machine and its files: what the rest of the house stands on, and knows nothing of it."""
