"""A training problem for the GPU's epoch kernel, and what float64 numpy makes of it."""

import ctypes
import math
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from tfae.kernels.gpu.plan import OPTIMIZERS, SIZES, Settings, plan_launch
from tfae.nn.spec import ACTIVATIONS, LOSSES

HALVES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
CONSTANTS = {
    "adadelta": (0.95, 0.05, 1e-7),
    "adam": (0.1, 0.001, 1e-7),
    "momentum": (0.9, 1.0, 0.0),
    "sgd": (0.0, 0.0, 0.0),
}
SLOTS = {"adadelta": 2, "adam": 2, "momentum": 1, "sgd": 0}
RATES = {"adadelta": 1.0, "adam": 1e-3, "momentum": 0.1, "sgd": 0.5}
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
ACTIVATED = {
    "relu": lambda z: np.maximum(z, 0),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
    "gelu": lambda z: z * (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "linear": lambda z: z,
}
LOSS_OF_ERROR = {
    "mse": np.square,
    "mae": np.abs,
    "huber": lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5),
}
GROWTH_STEPS = 2000  # good ones, after which the loss scale is doubled


@dataclass
class Problem:
    """An epoch of training, drawn at random.

    Attributes:
        features, hidden, batch: Sizes.
        rows: [N, D] uint8 or float32.
        half: Of the products, "bfloat16" or "float16".
        optimizer, loss, activation, output_activation: By name.
        decay, clip_norm: Settings of the update; 0 for none.
        loss_scale, good_steps, skipped_steps: Of float16's gradients, for how many steps it was not
            too high, and how many were skipped before.
        center, width: [D] float32 each, of float rows; or None.
        tensors: For values and both slots: encoder's kernel and bias, decoder's kernel and bias.
    """

    features: int
    hidden: int
    batch: int
    rows: np.ndarray
    half: str = "bfloat16"
    optimizer: str = "adadelta"
    loss: str = "binary_crossentropy"
    activation: str = "relu"
    output_activation: str = "sigmoid"
    decay: float = 0.0
    clip_norm: float = 0.0
    loss_scale: float = 2.0**15
    good_steps: int = 0
    skipped_steps: int = 3
    center: np.ndarray | None = None
    width: np.ndarray | None = None
    seed: int = 0
    tensors: list = field(init=False)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        shapes = [(self.features, self.hidden), (self.hidden,)]
        shapes += [(self.hidden, self.features), (self.features,)]
        limit = (6.0 / (self.features + self.hidden)) ** 0.5
        self.tensors = [[rng.uniform(-limit, limit, shape).astype("f") for shape in shapes]]
        for _ in range(2):  # slots as a run leaves them: small, and none below 0
            self.tensors.append([(1e-4 * rng.random(shape)).astype("f") for shape in shapes])
        self.order = rng.permutation(len(self.rows)).astype(np.int32)
        self.steps = -(-len(self.rows) // self.batch)
        self.rates = (RATES[self.optimizer] * 0.9 ** np.arange(self.steps)).astype("f")

    def plan(self, device):
        """The launch on a `Device`."""
        return plan_launch(self.features, self.hidden, self.batch, device)

    def definitions(self, plan):
        """What the kernel of the plan is compiled with."""
        return plan.definitions(self.half, self.rows.dtype.name, self._work())

    def _work(self):
        return {
            "features": self.features,
            "hidden": self.hidden,
            "batch": self.batch,
            "activation": ACTIVATIONS.index(self.activation),
            "output_activation": ACTIVATIONS.index(self.output_activation),
            "loss": LOSSES.index(self.loss),
            "optimizer": OPTIMIZERS.index(self.optimizer),
            "slots": SLOTS[self.optimizer],
        }

    def launch(self, plan, memory, run):
        """Run an epoch; return the mean loss, the tensors and what `reference` has third.

        Args:
            plan: The `Plan`.
            memory: It can `put` an array on the device, say its `address`, and `get` it.
            run: Called with the `Settings`.
        """
        before = [[memory.put(tensor) for tensor in kind] for kind in self.tensors]
        # NaN, but for slots that there are not: what is not written, though it must be, shows.
        used = [kind <= SLOTS[self.optimizer] for kind in range(len(self.tensors))]
        tensors = [
            [memory.put(tensor * np.nan if is_used else tensor) for tensor in kind]
            for kind, is_used in zip(self.tensors, used, strict=True)
        ]
        # NaN everywhere: what is read before it was written shows. Its last bit is 0, as it has to.
        scratch = {
            name: memory.put(np.full(size // 4, np.nan, "f"))
            for name, size in plan.scratch.items()
            if size
        }
        scratch["losses"] = memory.put(np.full(plan.blocks, np.nan))
        scale = {
            "loss_scale": np.array([self.loss_scale], np.float32),
            "good_steps": np.array([self.good_steps], np.int64),
            "skipped_steps": np.array([self.skipped_steps], np.int64),
        }
        given_scale = {f"given_{name}": memory.put(value) for name, value in scale.items()}
        scale = {name: memory.put(value * 0 - 7) for name, value in scale.items()}  # none of theirs
        given = {
            "rows": memory.put(self.rows),
            "order": memory.put(self.order),
            "rates": memory.put(self.rates),
            **scale,
            **given_scale,
        }
        if self.center is not None:
            given |= {"center": memory.put(self.center), "width": memory.put(self.width)}
        if self.decay:
            given["decays"] = memory.put(self.rates * np.float32(self.decay))
        settings = Settings(
            row_count=len(self.rows),
            constants=(ctypes.c_float * 3)(*CONSTANTS[self.optimizer]),
            clip_norm=self.clip_norm,
            **self._work(),
            **{name: getattr(plan, name) for name in SIZES},
            **plan.offsets,
        )
        for name, array in {**given, **scratch}.items():
            setattr(settings, name, memory.address(array))
        for kind, (given_arrays, arrays) in enumerate(zip(before, tensors, strict=True)):
            for number, (given_array, array) in enumerate(zip(given_arrays, arrays, strict=True)):
                settings.given[kind][number] = memory.address(given_array)
                settings.tensors[kind][number] = memory.address(array)
        run(settings)
        loss = memory.get(scratch["losses"]).sum() / self.rows.size
        after = [[memory.get(tensor) for tensor in kind] for kind in tensors]
        return loss, after, tuple(memory.get(value).item() for value in scale.values())

    def reference(self):
        """What `launch` is to return, in float64.

        Products' inputs are rounded as the kernel rounds them, weights and slots to float32.
        """
        tensors = [[tensor.copy() for tensor in kind] for kind in self.tensors]
        loss_sum, updates, skipped, good_steps = 0.0, 0, self.skipped_steps, self.good_steps
        scales = self.half == "float16"
        scale = self.loss_scale if scales else 1.0
        for step in range(self.steps):
            picked = self.order[step * self.batch : (step + 1) * self.batch]
            with np.errstate(invalid="ignore", over="ignore"):  # where the loss scale is too high
                loss, gradients = self._gradients(
                    tensors[0], self._values(self.rows[picked]), scale
                )
            loss_sum += loss
            if all(np.isfinite(gradient).all() for gradient in gradients):
                self._update(tensors, gradients, float(self.rates[updates]))
                updates, good_steps = updates + 1, good_steps + scales
                if good_steps == GROWTH_STEPS and scales:
                    scale, good_steps = scale * 2, 0
            else:
                scale, skipped, good_steps = scale / 2, skipped + 1, 0
        kept = scale if scales else self.loss_scale  # as it was
        return loss_sum / self.rows.size, tensors, (kept, good_steps, skipped)

    def _values(self, rows):
        if rows.dtype == np.uint8:
            return (rows / np.float32(255)).astype(np.float64)
        if self.center is not None:
            rows = (rows - self.center) / self.width
        return rows.astype(np.float64)

    def _rounded(self, array):
        # By float32, which is what the kernel rounds.
        return array.astype(np.float32).astype(HALVES[self.half]).astype(np.float64)

    def _gradients(self, params, x, scale):
        """(sum of the loss, gradients) of rows x."""
        kernel, bias, out_kernel, out_bias = (param.astype(np.float64) for param in params)
        rounded = self._rounded
        z = rounded(x) @ rounded(kernel) + bias
        hidden = ACTIVATED[self.activation](z)
        logits = rounded(hidden) @ rounded(out_kernel) + out_bias
        outputs = ACTIVATED[self.output_activation](logits)
        if self.loss == "binary_crossentropy":
            loss = np.logaddexp(0, logits) - logits * x
            slope = outputs - x
        else:
            of_error = LOSS_OF_ERROR[self.loss]
            loss = of_error(outputs - x)
            slope = _slope(of_error, outputs - x) * _slope(
                ACTIVATED[self.output_activation], logits
            )
        slope *= scale / x.size
        back = rounded(slope) @ rounded(out_kernel).T * _slope(ACTIVATED[self.activation], z)
        gradients = [
            *(rounded(x).T @ rounded(back), back.sum(axis=0)),
            *(rounded(hidden).T @ rounded(slope), slope.sum(axis=0)),
        ]
        return loss.sum(), [gradient / scale for gradient in gradients]

    def _update(self, tensors, gradients, rate):
        if self.clip_norm:
            norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
            gradients = [
                gradient * self.clip_norm / max(norm, self.clip_norm) for gradient in gradients
            ]
        a, b, c = CONSTANTS[self.optimizer]
        for values, first, second, g in zip(*tensors, gradients, strict=True):
            m, v = first.astype(np.float64), second.astype(np.float64)
            if self.optimizer == "adadelta":
                m = a * m + b * g**2
                update = g * np.sqrt(v + c) / np.sqrt(m + c)
                v = a * v + b * update**2
                update = rate * update
            elif self.optimizer == "adam":
                m = m + (g - m) * a
                v = v + (g**2 - v) * b
                update = m * rate / (np.sqrt(v) + c)
            elif self.optimizer == "momentum":  # Nesterov's
                m = a * m - rate * g
                update = rate * g - a * m
            else:
                update = rate * g
            values[...] = values - values * np.float64(rate * self.decay) - update
            first[...], second[...] = m, v


def _slope(function, at):
    """By differences, so that no formula is written twice."""
    step = 1e-6
    return (function(at + step) - function(at - step)) / (2 * step)
