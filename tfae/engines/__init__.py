"""What runs the epochs of a network, each engine proven against the first."""

from tfae.engines.choice import make_engine, pick_engine

__all__ = ["make_engine", "pick_engine"]
