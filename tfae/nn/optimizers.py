"""Adadelta, Adam and SGD as pure update functions, in Keras' formulation.

An optimizer is a frozen set of hyper-parameters with `slot_count`, how many tensors of the
parameter's shape it keeps, all starting at zero, and
`update(param, grad, slots, learning_rate, step) -> (param, slots)`. All tensors are float32;
`step` counts the updates from 0.
"""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Adadelta:
    """Zeiler, "ADADELTA: an adaptive learning rate method" (2012), with a learning rate."""

    rho: float = 0.95
    epsilon: float = 1e-7
    slot_count = 2

    def update(self, param, grad, slots, learning_rate, step):
        """One step; the root of the old mean squared update scales the new one."""
        mean_grad2, mean_update2 = slots
        mean_grad2 = self.rho * mean_grad2 + (1 - self.rho) * tf.square(grad)
        update = grad * tf.sqrt(mean_update2 + self.epsilon) / tf.sqrt(mean_grad2 + self.epsilon)
        mean_update2 = self.rho * mean_update2 + (1 - self.rho) * tf.square(update)
        return param - learning_rate * update, (mean_grad2, mean_update2)


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba, "Adam" (2014), section 2's second form: bias correction in the step size."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    slot_count = 2

    def step_size(self, learning_rate, step):
        """The learning rate with both bias corrections, of any shape."""
        count = tf.cast(step + 1, tf.float32)
        return (
            learning_rate
            * tf.sqrt(1 - tf.pow(self.beta_2, count))
            / (1 - tf.pow(self.beta_1, count))
        )

    def update(self, param, grad, slots, learning_rate, step):
        """One step; epsilon stands beside the uncorrected root, as in Keras."""
        mean, variance = slots
        step_size = self.step_size(learning_rate, step)
        mean = mean + (grad - mean) * (1 - self.beta_1)
        variance = variance + (tf.square(grad) - variance) * (1 - self.beta_2)
        return param - mean * step_size / (tf.sqrt(variance) + self.epsilon), (mean, variance)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum and Nesterov's form of it where asked for."""

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slot_count(self):
        """The velocity, where there is momentum."""
        return 1 if self.momentum else 0

    def update(self, param, grad, slots, learning_rate, step):
        """One step."""
        if not self.momentum:
            return param - learning_rate * grad, ()
        velocity = self.momentum * slots[0] - learning_rate * grad
        if self.nesterov:
            return param + self.momentum * velocity - learning_rate * grad, (velocity,)
        return param + velocity, (velocity,)


def make_optimizer(config):
    """The optimizer of a `TrainConfig`: adadelta, adam or sgd."""
    return {
        "adadelta": Adadelta(),
        "adam": Adam(beta_2=config.beta_2),
        "sgd": SGD(config.momentum, config.nesterov),
    }[config.optimizer]


def decay_weights(params, weight_decay, learning_rate):
    """Parameters shrunk towards zero before the update (Loshchilov and Hutter, 2017), as Keras."""
    return [param - param * weight_decay * learning_rate for param in params]
