"""All that training changes: the weights, the optimizer's slots, the step, the loss scale."""

from typing import NamedTuple

import tensorflow as tf

from tfae.nn.precision import LossScale, initial_loss_scale


class StateTensors(NamedTuple):
    """The state's values, as a compiled loop carries them.

    Attributes:
        params: Kernel and bias of each layer in turn, float32.
        slots: A tuple of tensors of the parameter's shape for each parameter.
        step: How many updates were made, int64.
        loss_scale: The `LossScale`.
    """

    params: tuple
    slots: tuple
    step: tf.Tensor
    loss_scale: LossScale


class TrainState(tf.Module):
    """The state in variables, so that a checkpoint holds all of it.

    Args:
        params: Kernel and bias of each layer in turn, variables that are trained in place.
        optimizer: An optimizer of `tfae.nn.optimizers`.
        slots: For each parameter a list of variables, to be used in place of zeros.
        step: An int64 variable, to be used in place of one that begins at zero.
    """

    def __init__(self, params, optimizer, slots=None, step=None):
        super().__init__(name="state")
        kinds = range(optimizer.slot_count)
        self.params = params
        self.slots = slots or [[tf.Variable(tf.zeros_like(p)) for _ in kinds] for p in params]
        self.step = tf.Variable(0, dtype=tf.int64) if step is None else step
        self.loss_scale = [tf.Variable(value) for value in initial_loss_scale()]

    def read(self):
        """The values now, as `StateTensors`."""
        return StateTensors(
            tuple(param.read_value() for param in self.params),
            tuple(tuple(slot.read_value() for slot in slots) for slots in self.slots),
            self.step.read_value(),
            LossScale(*(variable.read_value() for variable in self.loss_scale)),
        )

    def write(self, tensors):
        """Assign `StateTensors` to the variables."""
        variables = [*self.params, *tf.nest.flatten(self.slots), self.step, *self.loss_scale]
        for variable, tensor in zip(variables, tf.nest.flatten(tensors), strict=True):
            variable.assign(tensor)

    @property
    def skipped_steps(self):
        """How many updates were skipped because a gradient was not finite."""
        return int(LossScale(*self.loss_scale).skipped_steps)
