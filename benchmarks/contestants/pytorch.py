"""PyTorch: resident bytes, a step an update; eager, or with loss, gradients and update compiled."""

import functools

import torch
from torch import nn

from benchmarks.contestants import Contestant
from benchmarks.harness import stack_of

EPSILON = 1e-7  # Keras'


class PyTorch(Contestant):
    """An `nn.Sequential`, `torch.optim` and resident bytes.

    Args:
        compiled: Use torch.compile, on a GPU with CUDA graphs.
    """

    def __init__(self, config, train, validation, compiled=False):
        super().__init__(config, train, validation)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._rows = torch.from_numpy(train).to(self._device)
        layers = []
        for inputs, outputs in stack_of(config, train.shape[1]).layer_shapes:
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self._model = nn.Sequential(*layers[:-1]).to(self._device)  # gives logits
        self._compiled = compiled
        mode = "reduce-overhead" if self._device == "cuda" else "default"  # with CUDA graphs
        # A short last batch has a program of its own, rather than slowing the others down.
        self._compiled_as = functools.partial(torch.compile, mode=mode, dynamic=False)
        self._loss = self._compiled_as(self._eager_loss) if compiled else self._eager_loss

    def _eager_loss(self, index):
        rows = self._rows[index].float() / 255
        return nn.functional.binary_cross_entropy_with_logits(self._model(rows), rows)

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
            self._update = self._compiled_as(self._optimizer.step)

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
