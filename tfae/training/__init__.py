"""The outer loop, once an epoch in Python: the trainer and what it tells between two epochs."""
