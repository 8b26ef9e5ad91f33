"""What a published set-up is, and the list of them."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

SET_UPS = {}  # by their names, in the order in which they are written down


@dataclasses.dataclass(frozen=True)
class SetUp:
    """A model, what it is trained on, and how.

    Attributes:
        name: That of the function that builds it.
        kind: Of rows: the module's name.
        what: What is particular about it, a sentence.
        source: Where it was published.
        build: A function that makes the compiled model.
        data: A function from a row count, and one that gives images [N, 784] uint8, to arguments
            of `fit`.
        rows, batch_size, epochs: As published.
        drawn: Whether training draws numbers, so that two ways of it differ.
        streamed: Whether `data` makes the batches, so that `fit` takes no batch size.
        options: Further arguments of `fit`.
    """

    name: str
    kind: str
    what: str
    source: str
    build: Callable
    data: Callable
    rows: int
    batch_size: int
    epochs: int
    drawn: bool
    streamed: bool
    options: Mapping

    def model(self, seed=0):
        """A new one, its weights drawn from a seed; layers are numbered from the start again."""
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        return self.build()

    def arguments(self, given):
        """Those of one call of `fit`.

        Args:
            given: What `data` made. What can be called makes its argument, anew for every call:
                callbacks, and what is used up by a call.
        """
        given = {**given, **self.options}
        made = {name: value() if callable(value) else value for name, value in given.items()}
        return made if self.streamed else {"batch_size": self.batch_size, **made}


def set_up(source, data, *, rows, epochs, batch_size=32, drawn=False, streamed=False, **options):
    """Register the `SetUp` that a function builds: its name and its docstring are the set-up's."""

    def register(build):
        name, kind = build.__name__, build.__module__.rpartition(".")[2]
        if name in SET_UPS:
            raise ValueError(f"two set-ups are called {name}")
        what = build.__doc__.strip().splitlines()[0]
        measure = rows, batch_size, epochs
        SET_UPS[name] = SetUp(
            name, kind, what, source, build, data, *measure, drawn, streamed, options
        )
        return build

    return register
