"""What stops a kernel."""


class Fault(Exception):
    """What a kernel must not do, or what the interpreter does not know."""
