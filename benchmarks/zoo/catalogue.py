"""All set-ups, by kind."""

from benchmarks.zoo import (  # noqa: F401 (each registers its own)
    forms,
    genomics,
    images,
    recommenders,
    signals,
    streams,
    tables,
    variational,
)
from benchmarks.zoo.set_up import SET_UPS

# One for each of three ways, and little work.
QUICK = ("keras_blog_simple", "bearing_leaky", "dataset_batched")

__all__ = ["QUICK", "SET_UPS"]
