"""What every engine has in common: what it trains, and with what."""

from types import MappingProxyType

from tfae.nn.state import TrainState


class NotTaken(Exception):
    """Why an engine does not take a run, in a phrase."""


class Engine:
    """Trains a network by compiled calls: `train_epoch(rows, order)`, `evaluate(rows)`.

    Args:
        network: The `tfae.nn.network.Network`; its weights are trained in place.
        loss: A name of `tfae.nn.losses.LOSSES`.
        optimizer: An optimizer of `tfae.nn.optimizers`.
        schedule: A function from step to learning rate, of `tfae.nn.schedules`.
        batch_size: B, rows a step.
        precision: A `tfae.nn.precision.Precision`.
        weight_decay: Decoupled, 0 for none.
        clip_norm: The gradients' largest global norm, 0 for no limit.
        state: The `TrainState` to go on from, of the same network; None for a fresh one.

    Attributes:
        name: As `--engine` has it.
        precision: The `Precision`.
        state: The `TrainState`, to be checkpointed.
        compiles: Whether its first epoch compiles, which takes seconds.
        trains_several: Whether several epochs in one call, `train_epochs`, are faster than one.
        facts: What else run.json says of it: on what its results depend to the bit.
    """

    name: str
    compiles = False
    trains_several = False
    facts: dict = MappingProxyType({})

    def __init__(
        self,
        network,
        loss,
        optimizer,
        schedule,
        *,
        batch_size,
        precision,
        weight_decay=0.0,
        clip_norm=0.0,
        state=None,
    ):
        self.network = network
        self.state = state or TrainState(network.params, optimizer)
        self._loss = loss
        self._optimizer = optimizer
        self._schedule = schedule
        self._batch_size = batch_size
        self.precision = precision
        self._weight_decay = weight_decay
        self._clip_norm = clip_norm

    def train_epoch(self, rows, order):
        """Train once on every row, in this order; the state's variables change in place.

        Args:
            rows: [N, D] uint8 or float32, with a static shape.
            order: [N] int32, a permutation of the rows. It is cut into ceil(N / B) batches, of
                which the last may be short.

        Returns:
            The mean over the rows of the loss that each had before its batch's update, a float32
            scalar.
        """
        raise NotImplementedError

    def train_epochs(self, rows, orders):
        """As so many calls of `train_epoch`, without a way to the host between them.

        Args:
            rows: As there.
            orders: [K, N] int32.

        Returns:
            [K] float32, the losses.
        """
        raise NotImplementedError

    def evaluate(self, rows):
        """The mean loss over rows [N, D], a float32 scalar."""
        raise NotImplementedError
