"""python -m tfae.kernels: build the native kernels, check them, and say what they are."""

import argparse
import sys

from tfae.host.startup import import_tensorflow


def main():
    """Exit status 1, with one line, where there are no kernels to be had."""
    argparse.ArgumentParser("python -m tfae.kernels", description=__doc__).parse_args()
    import_tensorflow()
    from tfae.kernels.build import build
    from tfae.kernels.compiler import KernelError
    from tfae.kernels.library import load
    from tfae.kernels.threads import thread_count

    try:
        made = build(print)
        kernels = load()
    except KernelError as error:
        print(f"tfae: no fused kernels: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tfae: interrupted; nothing was built", file=sys.stderr)
        return 130
    when = f"built in {made.seconds:.0f} s" if made.seconds else "built before"
    print(f"{made.path}")
    print(f"  {when} with {made.compiler} {' '.join(made.flags)}")
    print(f"  {kernels.simd}; threads: {thread_count()}; checked against float64 numpy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
