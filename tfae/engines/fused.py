"""The epoch as one native kernel: forward, loss, backward, update, with the rows in the cache."""

import tensorflow as tf

from tfae.engines.engine import Engine, NotTaken
from tfae.kernels.library import load, stack_inputs
from tfae.kernels.threads import thread_count
from tfae.nn.optimizers import SGD, Adadelta, Adam
from tfae.nn.spec import LOSSES

# Elements of a kernel, up to which the caches hold what a block of rows needs: so the scaling
# benchmark has it.
LARGEST_KERNEL = 1 << 20


class FusedEngine(Engine):
    """Trains on the CPU's cores by the ops of `tfae.kernels`.

    Results are bit-reproducible for a number of threads: what each sums, of its rows or its
    columns, is added in the threads' order.

    Args:
        kernels: The `tfae.kernels.library.Kernels`.
        threads: How many; those that the machine has, by default.
    """

    name = "fused"

    def __init__(self, *args, kernels, threads=None, **kwargs):
        super().__init__(*args, **kwargs)
        self._ops = kernels.ops
        self._threads = threads or thread_count()
        self.facts = {"threads": self._threads, "simd": kernels.simd}

    @staticmethod
    def kernels_for(stack, precision, batch_size, named, say):
        """The kernels for a run.

        Args:
            stack: The `Stack`.
            precision: By name.
            batch_size: B.
            named: Whether they were asked for by name, even if another engine would be faster.
            say: Called with a line before a build.

        Raises:
            NotTaken: They do not compute this run, or would be slower.
            KernelError: They cannot be had on this machine.
        """
        if precision == "mixed_float16":
            raise NotTaken("the fused kernels compute in float32 or bfloat16, not in float16")
        inputs, outputs = max(stack.layer_shapes, key=lambda shape: shape[0] * shape[1])
        if inputs * outputs > LARGEST_KERNEL and not named:
            raise NotTaken(f"faster than the fused kernels for a layer of {inputs} x {outputs}")
        native = load(say)
        if precision == "mixed_bfloat16" and not native.has_bfloat16:
            raise NotTaken("the fused kernels have no bfloat16 products for this processor")
        return native

    @tf.function(autograph=False)
    def train_epoch(self, rows, order):
        """As `Engine.train_epoch`."""
        state, optimizer = self.state.read(), self._optimizer
        steps = -(-order.shape[0] // self._batch_size)
        step = state.step + tf.range(steps, dtype=tf.int64)
        rates = self._schedule(step)
        name, constants, effective = described(optimizer, rates, step)
        done = self._ops.tfae_train_epoch(
            order=order,
            rates=effective,
            decays=rates * self._weight_decay if self._weight_decay else [],
            slots=by_kind(state.slots),
            optimizer=name,
            constants=constants,
            clip_norm=self._clip_norm,
            batch_size=self._batch_size,
            **self._common(rows, state.params),
        )
        slots = by_parameter(done.new_slots, len(state.params))
        params = tuple(done.new_params)
        self.state.write(state._replace(params=params, slots=slots, step=state.step + steps))
        return done.mean_loss

    @tf.function(autograph=False)
    def evaluate(self, rows):
        """As `Engine.evaluate`."""
        params = self.state.read().params
        return self._ops.tfae_evaluate(**self._common(rows, params))

    def _common(self, rows, params):
        """The inputs and attributes that training and evaluation have in common."""
        network = self.network
        return {
            **stack_inputs(rows, params, network.stack.activations, network.scaling),
            "loss": LOSSES.index(self._loss),
            "compute": self.precision.compute_dtype.name,
            "threads": self._threads,
        }


def described(optimizer, rates, step):
    """An optimizer as the ops have it: its name, its constants, and its rate at every step."""
    if isinstance(optimizer, Adadelta):
        return "adadelta", [optimizer.rho, 1 - optimizer.rho, optimizer.epsilon], rates
    if isinstance(optimizer, Adam):
        constants = [1 - optimizer.beta_1, 1 - optimizer.beta_2, optimizer.epsilon]
        return "adam", constants, optimizer.step_size(rates, step)
    assert isinstance(optimizer, SGD)
    if optimizer.momentum:
        return "momentum", [optimizer.momentum, float(optimizer.nesterov)], rates
    return "sgd", [], rates


def by_kind(slots):
    """A list of all slots of the first kind, one a parameter, then of the second, as the ops take.

    Args:
        slots: For each parameter those of each kind.
    """
    return [slot for kind in zip(*slots, strict=True) for slot in kind]


def by_parameter(slots, params):
    """For each of so many parameters its slots, from a list as `by_kind` makes it."""
    return tuple(tuple(slots[param::params]) for param in range(params))
