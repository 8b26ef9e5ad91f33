"""Operations of elements that are made of several: activations, their slopes, losses."""

import numpy as np


def _times(nodes, a, b):
    return nodes.map("mul", a, b)


def _leaky(nodes, op, node):
    scaled = _times(nodes, node, nodes.constant(np.float32(op.get_attr("alpha"))))
    return nodes.map("select", _is_positive(nodes, node), node, scaled)


def _leaky_slope(nodes, op, upstream, node):
    scaled = _times(nodes, upstream, nodes.constant(np.float32(op.get_attr("alpha"))))
    return nodes.map("select", _is_positive(nodes, node), upstream, scaled)


def _is_positive(nodes, node):
    return nodes.map("greater", node, nodes.constant(np.float32(0)))


def _relu6(nodes, op, node):
    return nodes.map("min", nodes.map("relu", node), nodes.constant(np.float32(6)))


def _relu6_slope(nodes, op, upstream, node):
    below = nodes.map("less", node, nodes.constant(np.float32(6)))
    inside = nodes.map("and", _is_positive(nodes, node), below)
    return nodes.map("select", inside, upstream, nodes.constant(np.float32(0)))


def _slope(name):
    """Of the upstream gradient and of what the kernel's slope is a function of."""

    def entry(nodes, op, upstream, of):
        return nodes.map(name, upstream, of)

    return entry


def _slope_of_result(name):
    """The same, where TensorFlow gives the result first."""

    def entry(nodes, op, result, upstream):
        return nodes.map(name, upstream, result)

    return entry


def _softplus_slope(nodes, op, upstream, node):
    return _times(nodes, upstream, nodes.map("sigmoid", node))


def _softsign(nodes, op, node):
    size = nodes.map("add", nodes.map("abs", node), nodes.constant(np.float32(1)))
    return nodes.map("div", node, size)


def _softsign_slope(nodes, op, upstream, node):
    size = nodes.map("add", nodes.map("abs", node), nodes.constant(np.float32(1)))
    return nodes.map("div", upstream, nodes.map("square", size))


def _sqrt_slope(nodes, op, result, upstream):
    half = nodes.constant(np.float32(0.5))
    return nodes.map("div", _times(nodes, upstream, half), result)


def _rsqrt_slope(nodes, op, result, upstream):
    cube = _times(nodes, _times(nodes, result, result), result)
    return _times(nodes, _times(nodes, upstream, nodes.constant(np.float32(-0.5))), cube)


def _reciprocal_slope(nodes, op, result, upstream):
    return nodes.map("neg", _times(nodes, upstream, nodes.map("square", result)))


def _squared_difference(nodes, op, a, b):
    return nodes.map("square", nodes.map("sub", a, b))


def _xlogy(nodes, op, a, b):
    return nodes.map("mul_no_nan", nodes.map("log", b), a)


def _shifted(nodes, node):
    """(z less its row's largest, e^ that, and their sum over a row), over the last axis."""
    last = len(node.shape) - 1
    less = nodes.map("sub", node, nodes.fold("max", node, [last], keep_dims=True))
    power = nodes.map("exp", less)
    return less, power, nodes.fold("sum", power, [last], keep_dims=True)


def _softmax(nodes, op, node):
    _, power, total = _shifted(nodes, node)
    return nodes.map("div", power, total)


def _log_softmax(nodes, op, node):
    less, _, total = _shifted(nodes, node)
    return nodes.map("sub", less, nodes.map("log", total))


def _cross_entropy(nodes, op, logits, labels):
    less, power, total = _shifted(nodes, logits)
    log = nodes.map("sub", less, nodes.map("log", total))
    loss = nodes.fold("sum", nodes.map("neg", _times(nodes, labels, log)), [len(logits.shape) - 1])
    return [loss, nodes.map("sub", nodes.map("div", power, total), labels)]


def _l2_loss(nodes, op, node):
    total = nodes.fold("sum", nodes.map("square", node), range(len(node.shape)))
    return _times(nodes, total, nodes.constant(np.float32(0.5)))


ENTRIES = {
    "ReluGrad": _slope("if_positive"),
    "EluGrad": _slope("elu_slope"),
    "SeluGrad": _slope("selu_slope"),
    "SigmoidGrad": _slope_of_result("sigmoid_slope"),
    "TanhGrad": _slope_of_result("tanh_slope"),
    "LeakyRelu": _leaky,
    "LeakyReluGrad": _leaky_slope,
    "Relu6": _relu6,
    "Relu6Grad": _relu6_slope,
    "SoftplusGrad": _softplus_slope,
    "Softsign": _softsign,
    "SoftsignGrad": _softsign_slope,
    "SqrtGrad": _sqrt_slope,
    "RsqrtGrad": _rsqrt_slope,
    "ReciprocalGrad": _reciprocal_slope,
    "InvGrad": _reciprocal_slope,
    "SquaredDifference": _squared_difference,
    "Xlogy": _xlogy,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "SoftmaxCrossEntropyWithLogits": _cross_entropy,
    "L2Loss": _l2_loss,
}
