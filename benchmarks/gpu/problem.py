"""A training problem for the GPU's epoch kernel, and what float64 numpy makes of it."""

import ctypes
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from tfae.kernels.gpu.plan import OPTIMIZERS, Settings, plan_launch
from tfae.spec import ACTIVATIONS

HALVES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
LOSSES = ("binary_crossentropy", "mse")
CONSTANTS = {
    "adadelta": (0.95, 0.05, 1e-7),
    "adam": (0.1, 0.001, 1e-7),
    "momentum": (0.9, 1.0, 0.0),
    "sgd": (0.0, 0.0, 0.0),
}
SLOTS = {"adadelta": 2, "adam": 2, "momentum": 1, "sgd": 0}
RATES = {"adadelta": 1.0, "adam": 1e-3, "momentum": 0.1, "sgd": 0.5}


@dataclass
class Problem:
    """An epoch of training, drawn at random.

    Attributes:
        features, hidden, batch: Sizes.
        rows: [N, D] uint8 or float32.
        half: Of the products, "bfloat16" or "float16".
        optimizer, loss, activation: By name.
        decay, clip_norm, loss_scale: Settings of the update; 0 for none.
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
    decay: float = 0.0
    clip_norm: float = 0.0
    loss_scale: float = 2.0**15
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
        self.rates = np.full(self.steps, RATES[self.optimizer], "f")

    @property
    def kernel(self):
        """The name of the function in the cubin."""
        return f"tfae_epoch_{self.half}_{self.rows.dtype.name}"

    def plan(self, device):
        """The launch on a `Device`."""
        return plan_launch(self.features, self.hidden, self.batch, device)

    def launch(self, plan, memory, run):
        """Run an epoch; return the mean loss, the tensors after it and the loss scale.

        Args:
            plan: The `Plan`.
            memory: It can `put` an array on the device, say its `address`, and `get` it.
            run: Called with (name, settings).
        """
        tensors = [[memory.put(tensor) for tensor in kind] for kind in self.tensors]
        # NaN everywhere: what is read before it was written shows.
        scratch = {
            name: memory.put(np.full(max(size // 4, 1), np.nan, "f"))
            for name, size in plan.scratch.items()
        }
        scratch["arrived"] = memory.put(np.zeros(1, np.uint32))
        scratch["losses"] = memory.put(np.full(plan.blocks, np.nan))
        scale = np.zeros(3, np.int32)
        scale[:1].view("f")[0] = self.loss_scale
        given = {
            "rows": memory.put(self.rows),
            "order": memory.put(self.order),
            "rates": memory.put(self.rates),
            "loss_scale": memory.put(scale),
        }
        if self.decay:
            given["decays"] = memory.put(self.rates * np.float32(self.decay))
        settings = Settings(
            row_count=len(self.rows),
            features=self.features,
            hidden=self.hidden,
            batch=self.batch,
            activation=ACTIVATIONS.index(self.activation),
            output_activation=ACTIVATIONS.index("sigmoid"),
            loss=LOSSES.index(self.loss),
            optimizer=OPTIMIZERS.index(self.optimizer),
            slots=SLOTS[self.optimizer],
            slice=plan.slice,
            padded_hidden=plan.padded_hidden,
            chunk=plan.chunk,
            constants=(ctypes.c_float * 3)(*CONSTANTS[self.optimizer]),
            clip_norm=self.clip_norm,
            **plan.offsets,
        )
        for name, array in {**given, **scratch}.items():
            setattr(settings, name, memory.address(array))
        if not plan.spills:
            settings.spilled = 0
        for kind, arrays in enumerate(tensors):
            for number, array in enumerate(arrays):
                settings.tensors[kind][number] = memory.address(array)
        run(self.kernel, settings)
        loss = memory.get(scratch["losses"]).sum() / self.rows.size
        after = [[memory.get(tensor) for tensor in kind] for kind in tensors]
        return loss, after, memory.get(given["loss_scale"])

    def reference(self):
        """What `launch` is to return, without the loss scale, in float64.

        Products' inputs are rounded as the kernel rounds them, weights and slots to float32.
        """
        tensors = [[tensor.copy() for tensor in kind] for kind in self.tensors]
        loss_sum, scale = 0.0, self.loss_scale if self.half == "float16" else 1.0
        for step in range(self.steps):
            picked = self.order[step * self.batch : (step + 1) * self.batch]
            loss, gradients = self._gradients(tensors[0], self._values(self.rows[picked]), scale)
            loss_sum += loss
            self._update(tensors, gradients, float(self.rates[step]))
        return loss_sum / self.rows.size, tensors

    def _values(self, rows):
        if rows.dtype == np.uint8:
            return (rows / np.float32(255)).astype(np.float64)
        return rows.astype(np.float64)

    def _rounded(self, array):
        # By float32, which is what the kernel rounds.
        return array.astype(np.float32).astype(HALVES[self.half]).astype(np.float64)

    def _gradients(self, params, x, scale):
        """(sum of the loss, gradients) of rows x."""
        kernel, bias, out_kernel, out_bias = (param.astype(np.float64) for param in params)
        rounded = self._rounded
        z = rounded(x) @ rounded(kernel) + bias
        hidden, hidden_slope = self._hidden(z)
        logits = rounded(hidden) @ rounded(out_kernel) + out_bias
        outputs = 1 / (1 + np.exp(-logits))
        if self.loss == "binary_crossentropy":
            loss = np.logaddexp(0, logits) - logits * x
            slope = outputs - x
        else:
            loss = (outputs - x) ** 2
            slope = 2 * (outputs - x) * outputs * (1 - outputs)
        slope *= scale / x.size
        back = rounded(slope) @ rounded(out_kernel).T * hidden_slope
        gradients = [
            *(rounded(x).T @ rounded(back), back.sum(axis=0)),
            *(rounded(hidden).T @ rounded(slope), slope.sum(axis=0)),
        ]
        return loss.sum(), [gradient / scale for gradient in gradients]

    def _hidden(self, z):
        """Values and slopes of the hidden activation."""
        if self.activation == "relu":
            return np.maximum(z, 0), (z > 0).astype(np.float64)
        if self.activation == "tanh":
            return np.tanh(z), 1 - np.tanh(z) ** 2
        assert self.activation == "linear"
        return z, np.ones_like(z)

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


def relative_errors(problem, loss, tensors, reference):
    """How far a launch is from the reference: of the loss, and of each tensor's change.

    Args:
        problem: The `Problem`.
        loss, tensors: From `launch`.
        reference: From `reference`.
    """
    errors = {"loss": abs(loss - reference[0]) / reference[0]}
    names = ("kernel", "bias", "out_kernel", "out_bias")
    kinds = ("value", "first slot", "second slot")[: 1 + SLOTS[problem.optimizer]]
    for kind, before, after, right in zip(
        kinds, problem.tensors, tensors, reference[1], strict=False
    ):
        for name, b, a, r in zip(names, before, after, right, strict=True):
            change = np.asarray(r, np.float64) - b
            size = max(np.linalg.norm(change), np.finfo("f").tiny)  # a dead unit changes nothing
            errors[f"{kind} of {name}"] = np.linalg.norm(a - b - change) / size
    return errors
