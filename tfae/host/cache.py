"""Where things that were made once are kept: the built-in digits, the native kernels."""

import os
from pathlib import Path


def cache_dir(given=None):
    """`given`, else $TFAE_CACHE_DIR, else tfae/ under $XDG_CACHE_HOME or ~/.cache."""
    if given := given or os.environ.get("TFAE_CACHE_DIR"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tfae")
