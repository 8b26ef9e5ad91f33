"""The epoch as one kernel on the GPU, whose weights stay on chip from first step to last."""

import tensorflow as tf

from tfae.engines.engine import NotTaken
from tfae.engines.fused import by_kind, by_parameter, described
from tfae.engines.xla import XlaEngine
from tfae.kernels.gpu.library import load
from tfae.kernels.gpu.plan import OPTIMIZERS, WORK, NoPlan, plan_launch
from tfae.nn.precision import LossScale
from tfae.nn.spec import ACTIVATIONS, LOSSES


class GpuEngine(XlaEngine):
    """Trains by the op of `tfae.kernels.gpu`, and evaluates as `XlaEngine`.

    Results are bit-reproducible on a kind of device: its blocks' sums are always added in the same
    order.

    Args:
        kernels: The `tfae.kernels.gpu.library.GpuKernels`.
    """

    name = "fused"

    def __init__(self, *args, kernels, **kwargs):
        super().__init__(*args, **kwargs)
        self._kernels = kernels
        self._plan = _plan(self.network.stack, self._batch_size, kernels.device)
        plan = self._plan
        self.facts = {
            "blocks": plan.blocks,
            "cluster": plan.cluster,
            "slices": plan.slices,
            "rows_on_chip": plan.chunk,
        }

    @classmethod
    def kernels_for(cls, stack, precision, batch_size, named, say):
        """As `FusedEngine.kernels_for`."""
        cls.check(stack, precision)
        if not named:
            raise NotTaken("the GPU's fused kernel has not been measured: engine fused takes it")
        kernels = load(say)
        _plan(stack, batch_size, kernels.device)
        return kernels

    @staticmethod
    def check(stack, precision):
        """Raise `NotTaken` where no device would take the run."""
        if precision == "float32":
            raise NotTaken("the GPU's fused kernel has no float32 products")
        if len(stack.activations) != 2:
            raise NotTaken("the GPU's fused kernel has one hidden layer")

    @tf.function(autograph=False)
    def train_epoch(self, rows, order):
        """As `Engine.train_epoch`."""
        state, loss = self._epoch(self.state.read(), rows, order)
        self.state.write(state)
        return loss

    @tf.function(autograph=False)
    def train_epochs(self, rows, orders):
        """As `Engine.train_epochs`."""
        state, losses = self._epochs(self.state.read(), rows, orders)
        self.state.write(state)
        return losses

    def _epoch(self, state, rows, order):
        """The state after an epoch, and its mean loss."""
        plan, network = self._plan, self.network
        steps = -(-order.shape[0] // self._batch_size)
        step = state.step + tf.range(steps, dtype=tf.int64)
        rates = self._schedule(step)
        name, constants, effective = described(self._optimizer, rates, step)
        work = {
            "features": network.stack.features,
            "hidden": network.stack.widths[1],
            "batch": self._batch_size,
            "activation": ACTIVATIONS.index(network.stack.activations[0]),
            "output_activation": ACTIVATIONS.index(network.stack.activations[1]),
            "loss": LOSSES.index(self._loss),
            "optimizer": OPTIMIZERS.index(name),
            "slots": self._optimizer.slot_count,
        }
        compute = self.precision.compute_dtype.name
        kernel = self._kernels.kernel(plan.definitions(compute, rows.dtype.name, work))
        scaled = rows.dtype != tf.uint8 and network.scaling.center is not None
        done = self._kernels.ops.tfae_gpu_train_epoch(
            rows=rows,
            order=order,
            center=network.scaling.center if scaled else [],
            width=network.scaling.width if scaled else [],
            rates=effective,
            decays=rates * self._weight_decay if self._weight_decay else [],
            loss_scale=state.loss_scale.value,
            good_steps=state.loss_scale.good_steps,
            skipped_steps=state.loss_scale.skipped_steps,
            params=state.params,
            slots=by_kind(state.slots),
            work=[work[name] for name in WORK],
            constants=constants,
            clip_norm=self._clip_norm,
            cubin=str(kernel),
            **plan.arguments(),
        )
        scale = LossScale(done.new_loss_scale, done.new_good_steps, done.new_skipped_steps)
        skipped = scale.skipped_steps - state.loss_scale.skipped_steps
        values = order.shape[0] * rows.shape[1]
        after = state._replace(
            params=tuple(done.new_params),
            slots=by_parameter(done.new_slots, len(state.params)),
            step=state.step + steps - skipped,
            loss_scale=scale,
        )
        return after, tf.cast(tf.reduce_sum(done.losses) / values, tf.float32)


def _plan(stack, batch_size, device):
    try:
        return plan_launch(*stack.widths[:2], batch_size, device)
    except NoPlan as error:
        raise NotTaken(f"the GPU's fused kernel does not take it: {error}") from None
