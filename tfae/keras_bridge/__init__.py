"""Keras models in and out, and trained in place; the only room that imports keras."""

from tfae.keras_bridge.convert import from_keras, load_keras, to_keras
from tfae.keras_bridge.inference import evaluate, predict
from tfae.keras_bridge.training import fit

__all__ = ["evaluate", "fit", "from_keras", "load_keras", "predict", "to_keras"]
