"""python -m tfae VERB, also installed as `tfae`."""

import sys

from tfae import __version__
from tfae.errors import TfaeError

USAGE = """usage: tfae VERB ...

  train        train an autoencoder (tfae train --help)
  report DIR   make a run's plots and its page again from its saved files
  --version    say which tfae this is
"""


def main(argv=None):
    """Run one verb and return its exit status."""
    verb, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if verb in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if verb == "--version":
        print(f"tfae {__version__}")
        return 0
    if verb == "train":
        from tfae.train import main as train

        return train(arguments, prog="tfae train")
    if verb == "report" and len(arguments) == 1 and not arguments[0].startswith("-"):
        return _report(arguments[0])
    if verb == "report" and arguments in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    if verb == "report":
        print("tfae: usage: tfae report DIR, the work directory of a run", file=sys.stderr)
        return 2
    print(
        f"tfae: {' '.join([verb, *arguments])!r} is no verb of tfae's (see --help)", file=sys.stderr
    )
    return 2


def _report(path):
    from tfae.runs.report import write_report
    from tfae.runs.workdir import WorkDir

    try:
        print(write_report(WorkDir(path)))
    except (TfaeError, OSError, MemoryError) as error:
        print(f"tfae: {str(error) or 'out of memory'}", file=sys.stderr)
        return getattr(error, "exit_status", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
