"""PyTorch: resident bytes, a step an update; eager, or with loss, gradients and update compiled."""

import time

import torch
from torch import nn

from benchmarks.contestants import Contestant, Epoch
from benchmarks.harness import stack_of

EPSILON = 1e-7  # Keras'


class PyTorch(Contestant):
    """An `nn.Sequential`, `torch.optim` and an order that PyTorch shuffles.

    Args:
        compiled: Use torch.compile, on a GPU with CUDA graphs.
    """

    def __init__(self, config, train, validation, compiled=False):
        self._config = config
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._rows = torch.from_numpy(train).to(self._device)
        layers = []
        for inputs, outputs in stack_of(config, train.shape[1]).layer_shapes:
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self._model = nn.Sequential(*layers[:-1]).to(self._device)  # gives logits
        self._compiled = compiled
        mode = "reduce-overhead" if self._device == "cuda" else "default"
        self._loss = torch.compile(self._eager_loss, mode=mode) if compiled else self._eager_loss
        torch.manual_seed(config.seed)

    def _eager_loss(self, index):
        rows = self._rows[index].float() / 255
        dtype = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(
            self._config.precision
        )
        with torch.autocast(self._device, dtype=dtype, enabled=dtype is not None):
            logits = self._model(rows)
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), rows)

    def reset(self, weights):
        with torch.no_grad():
            for param, weight in zip(self._model.parameters(), weights, strict=True):
                param.copy_(torch.from_numpy(weight.T.copy()))
        config, params = self._config, self._model.parameters()
        optimizers = {
            "adadelta": lambda: torch.optim.Adadelta(
                params, config.learning_rate, rho=0.95, eps=EPSILON, foreach=True
            ),
            "adam": lambda: torch.optim.Adam(params, config.learning_rate, eps=EPSILON, fused=True),
        }
        self._optimizer = optimizers[config.optimizer]()
        self._update = self._optimizer.step
        if self._compiled:
            self._update = torch.compile(self._optimizer.step)

    def train_in_order(self, order):
        order = torch.as_tensor(order, device=self._device)
        loss_sum = torch.zeros((), device=self._device)
        for index in order.split(self._config.batch_size):
            loss = self._loss(index)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._update()
            loss_sum += loss.detach() * len(index)
        return float(loss_sum) / len(order)

    def train(self, epochs):
        """Epochs in orders that PyTorch shuffles."""
        done = []
        for _ in range(epochs):
            begin = time.perf_counter()
            loss = self.train_in_order(torch.randperm(len(self._rows)))
            done.append(Epoch(loss, time.perf_counter() - begin))
        return done
