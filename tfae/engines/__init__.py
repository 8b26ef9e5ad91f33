"""What runs the epochs. Every engine has the interface of `tfae.engines.xla.XlaEngine`."""

from tfae.engines.xla import XlaEngine


def choose_engine(name):
    """The engine class for `--engine NAME`, and why it was taken.

    Args:
        name: "auto" or "xla".
    """
    if name == "auto":
        return XlaEngine, "the only engine of this version"
    return XlaEngine, "asked for by name"
