"""Lines for whoever watches the run."""

import os
import sys


def say(line):
    """Print a line at once. A reader that has gone away (`| head`), or a full disk where the lines
    go to, does not end the run.
    """
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open to the end
