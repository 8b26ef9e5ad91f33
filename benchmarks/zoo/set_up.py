"""What a published set-up is."""

import dataclasses
from collections.abc import Callable

SET_UPS = {}  # by name


@dataclasses.dataclass(frozen=True)
class SetUp:
    """A model and how it is trained where it was published.

    Attributes:
        name: Of the function that makes it.
        source: Who published it, and what differs there.
        build: A function that makes the compiled model.
        data: A function from a number of rows to what `fit` is given: x, y and the like, or a
            function that makes these anew for each call.
        rows, batch_size, epochs: As published.
        drawn: Whether it draws numbers as it trains.
        options: What else `fit` is given; a function makes it anew for each call.
    """

    name: str
    source: str
    build: Callable
    data: Callable
    rows: int
    batch_size: int | None
    epochs: int
    drawn: bool
    options: dict

    def arguments(self, data):
        """What a call of `fit` is given, but for the number of epochs."""
        data = data() if callable(data) else data
        options = {
            name: value() if callable(value) else value for name, value in self.options.items()
        }
        return {**data, "batch_size": self.batch_size, "verbose": 0, **options}


def set_up(source, data, rows, batch_size=32, epochs=50, drawn=False, **options):
    """A decorator that registers a function which makes a compiled model."""

    def register(build):
        name = build.__name__
        SET_UPS[name] = SetUp(name, source, build, data, rows, batch_size, epochs, drawn, options)
        return build

    return register
