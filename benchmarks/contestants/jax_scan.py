"""JAX: the epoch as one jitted `lax.scan` over resident bytes, the state donated."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.contestants import Contestant

RHO, EPSILON = 0.95, 1e-7  # Keras' Adadelta
BETA_1, BETA_2 = 0.9, 0.999  # and Adam


def _loss(params, rows):
    """The mean binary cross-entropy of a relu stack, from logits."""
    inputs = hidden = rows.astype(jnp.float32) / 255
    layers = list(zip(params[::2], params[1::2], strict=True))
    for number, (kernel, bias) in enumerate(layers):
        hidden = hidden @ kernel + bias
        if number < len(layers) - 1:
            hidden = jax.nn.relu(hidden)
    logits = hidden
    return jnp.mean(jnp.maximum(logits, 0) - logits * inputs + jnp.log1p(jnp.exp(-jnp.abs(logits))))


def _adadelta(param, grad, slots, rate, step):
    mean_grad2, mean_update2 = slots
    mean_grad2 = RHO * mean_grad2 + (1 - RHO) * grad**2
    update = grad * jnp.sqrt(mean_update2 + EPSILON) / jnp.sqrt(mean_grad2 + EPSILON)
    return param - rate * update, (mean_grad2, RHO * mean_update2 + (1 - RHO) * update**2)


def _adam(param, grad, slots, rate, step):
    mean, variance = slots
    mean = mean + (grad - mean) * (1 - BETA_1)
    variance = variance + (grad**2 - variance) * (1 - BETA_2)
    rate = rate * jnp.sqrt(1 - BETA_2 ** (step + 1)) / (1 - BETA_1 ** (step + 1))
    return param - rate * mean / (jnp.sqrt(variance) + EPSILON), (mean, variance)


class JaxScan(Contestant):
    """Pure functions in one compiled program an epoch, short last batch included."""

    def __init__(self, config, train, validation):
        super().__init__(config, train, validation)
        self._rows = jax.device_put(train)
        update = {"adadelta": _adadelta, "adam": _adam}[config.optimizer]
        rate, size = config.learning_rate, config.batch_size

        def train_step(rows, state, index):
            params, slots, step = state
            value, grads = jax.value_and_grad(_loss)(params, rows[index])
            updates = [update(*each, rate, step) for each in zip(params, grads, slots, strict=True)]
            params, slots = map(list, zip(*updates, strict=True))
            return (params, slots, step + 1), value * len(index)

        @functools.partial(jax.jit, donate_argnums=1)
        def epoch(rows, state, order):
            whole = len(order) // size * size
            state, losses = lax.scan(
                functools.partial(train_step, rows), state, order[:whole].reshape(-1, size)
            )
            loss_sum = jnp.sum(losses)
            if whole < len(order):
                state, loss = train_step(rows, state, order[whole:])
                loss_sum += loss
            return state, loss_sum / len(order)

        self._epoch = epoch

    def reset(self, weights):
        params = [jnp.array(weight) for weight in weights]
        slots = [(jnp.zeros_like(param), jnp.zeros_like(param)) for param in params]
        self._state = (params, slots, jnp.float32(0))

    def train_in_order(self, order):
        self._state, loss = self._epoch(self._rows, self._state, order.astype(np.int32))
        return float(loss)
