"""The epoch as one compiled TensorFlow program: the definition of correct, runs anywhere."""

import tensorflow as tf

from tfae.engines.engine import Engine
from tfae.host.environment import visible_gpus
from tfae.nn.losses import LOSSES
from tfae.nn.network import dense_stack, scaled_inputs
from tfae.nn.optimizers import decay_weights
from tfae.nn.precision import all_finite, gives_transposed
from tfae.nn.state import StateTensors

EVALUATION_BATCH = 1024  # rows whose activations stay in the cache

# Plain graph code: AutoGraph, which turns Python's loops and branches into TensorFlow's, would find
# nothing to do and take a second over it.
compiled = tf.function(jit_compile=True, autograph=False)


class XlaEngine(Engine):
    """Trains by one program that XLA compiles, on whatever device there is."""

    name = "xla"
    compiles = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.trains_several = bool(visible_gpus())  # where an epoch may be shorter than its call

    @compiled
    def train_epoch(self, rows, order):
        """As `Engine.train_epoch`."""
        state, loss = self._epoch(self._turned(self.state.read()), rows, order)
        self.state.write(self._turned(state))
        return loss

    @compiled
    def train_epochs(self, rows, orders):
        """As `Engine.train_epochs`."""
        state, losses = self._epochs(self._turned(self.state.read()), rows, orders)
        self.state.write(self._turned(state))
        return losses

    def _epochs(self, state, rows, orders):
        """The state after these epochs, and their losses [K]."""
        count = orders.shape[0]

        def body(epoch, state, losses):
            state, loss = self._epoch(state, rows, orders[epoch])
            return epoch + 1, state, tf.tensor_scatter_nd_update(losses, [[epoch]], [loss])

        _, state, losses = tf.while_loop(
            lambda epoch, *_: epoch < count, body, (0, state, tf.zeros(count))
        )
        return state, losses

    def _epoch(self, state, rows, order):
        """The state after an epoch, and its mean loss."""
        row_count, batch_size = order.shape[0], min(self._batch_size, order.shape[0])
        whole = row_count // batch_size
        batches = tf.reshape(order[: whole * batch_size], (whole, batch_size))

        def body(batch, state, loss_sum):
            state, batch_sum = self._train_step(state, tf.gather(rows, batches[batch]))
            return batch + 1, state, loss_sum + batch_sum

        # A literal bound keeps the trip count known: on a GPU that saves a round trip a step.
        _, state, loss_sum = tf.while_loop(lambda batch, *_: batch < whole, body, (0, state, 0.0))
        if whole * batch_size < row_count:
            rest = tf.gather(rows, order[whole * batch_size :])
            state, batch_sum = self._train_step(state, rest)
            loss_sum += batch_sum
        return state, loss_sum / row_count

    @compiled
    def evaluate(self, rows):
        """As `Engine.evaluate`."""
        row_count, batch_size = rows.shape[0], min(EVALUATION_BATCH, rows.shape[0])
        whole = row_count // batch_size
        params = self.state.read().params

        def loss_sum_of(first, count):
            batch = tf.slice(rows, (first, 0), (count, rows.shape[1]))
            return tf.reduce_sum(
                self._loss_of_rows(params, scaled_inputs(batch, self.network.scaling))
            )

        def body(batch, loss_sum):
            return batch + 1, loss_sum + loss_sum_of(batch * batch_size, batch_size)

        _, loss_sum = tf.while_loop(lambda batch, _: batch < whole, body, (0, 0.0))
        if whole * batch_size < row_count:
            loss_sum += loss_sum_of(whole * batch_size, row_count - whole * batch_size)
        return loss_sum / row_count

    def _turned(self, state):
        """The state with its tall kernels, and their slots, transposed; twice is as it was.

        On a CPU the gradient of a tall kernel comes transposed out of the faster product, and is
        not turned round in every step where the kernel is kept so.
        """
        return state._replace(
            params=self._turned_kernels(state.params), slots=self._turned_kernels(state.slots)
        )

    def _turned_kernels(self, structures):
        return tuple(
            tf.nest.map_structure(tf.transpose, structure) if _is_turned(param) else structure
            for param, structure in zip(self.network.params, structures, strict=True)
        )

    def _loss_of_rows(self, params, inputs):
        """The loss of each row, [B] float32."""
        activations = self.network.stack.activations
        logits = dense_stack(params, inputs, activations, self.precision.matmul)
        return LOSSES[self._loss](inputs, logits, activations[-1])

    def _train_step(self, state, rows):
        """The state after one batch [B, D], and the sum of the rows' losses before it."""
        inputs = scaled_inputs(rows, self.network.scaling)
        loss_scale = state.loss_scale.value if self.precision.scales_loss else 1.0
        with tf.GradientTape() as tape:
            tape.watch(state.params)
            params = self._turned_kernels(state.params)
            loss = tf.reduce_mean(self._loss_of_rows(params, inputs))
            scaled_loss = loss * loss_scale
        grads = tape.gradient(scaled_loss, state.params)
        loss_sum = loss * rows.shape[0]
        if not self.precision.scales_loss:
            return self._update(state, grads), loss_sum

        finite = all_finite(grads)
        updated = self._update(state, [grad / loss_scale for grad in grads])
        kept = tf.nest.map_structure(lambda new, old: tf.where(finite, new, old), updated, state)
        return kept._replace(loss_scale=state.loss_scale.updated(finite)), loss_sum

    def _update(self, state, grads):
        """The state after one update with these gradients."""
        learning_rate = self._schedule(state.step)
        params = state.params
        if self._clip_norm:
            grads, _ = tf.clip_by_global_norm(grads, self._clip_norm)
        if self._weight_decay:
            params = decay_weights(params, self._weight_decay, learning_rate)
        updates = [
            self._optimizer.update(param, grad, slots, learning_rate, state.step)
            for param, grad, slots in zip(params, grads, state.slots, strict=True)
        ]
        params, slots = zip(*updates, strict=True)
        return StateTensors(params, slots, state.step + 1, state.loss_scale)


def _is_turned(param):
    return param.shape.rank == 2 and gives_transposed(param.shape)
