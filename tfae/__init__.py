"""Dense autoencoders in low-level TensorFlow, with Keras' numbers at the hardware's speed.

The public names load what they need when they are first used, so that `import tfae` alone does not
import TensorFlow.
"""

import importlib

from tfae.host.version import __version__

_PUBLIC = {
    "Autoencoder": "tfae.autoencoder",
    "Stack": "tfae.nn.spec",
    "TrainConfig": "tfae.config",
    "evaluate": "tfae.keras_bridge",
    "fit": "tfae.keras_bridge",
    "load": "tfae.runs.artifact",
    "predict": "tfae.keras_bridge",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'tfae' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
