"""The kernels, loaded: TensorFlow ops, and how they are called."""

import ctypes
import functools
from dataclasses import dataclass
from types import ModuleType

import tensorflow as tf

from tfae.host.environment import visible_gpus
from tfae.kernels.build import build, find
from tfae.kernels.check import check
from tfae.kernels.compiler import KernelError
from tfae.kernels.threads import thread_count
from tfae.nn.activations import activate
from tfae.nn.network import dense_stack, scaled_inputs
from tfae.nn.scaling import Scaling
from tfae.nn.spec import ACTIVATIONS


@dataclass(frozen=True)
class Kernels:
    """The kernels, loaded.

    Attributes:
        ops: The ops: `tfae_train_epoch`, `tfae_evaluate`, `tfae_layers`. `src/ops.cc` has what they
            take.
        simd: Which instructions they use, for a person.
        has_bfloat16: Whether they multiply bfloat16 numbers.
        map_codes: Of each operation of a program's maps, by name, its number.
    """

    ops: ModuleType
    simd: str
    has_bfloat16: bool
    map_codes: dict


def load(say=lambda line: None):
    """The `Kernels`, built first where they have not been.

    Args:
        say: Called with a line before a build.

    Raises:
        KernelError: They can be neither found nor built, do not load, or compute wrong numbers.
    """
    return _load(build(say).path)


def load_built():
    """The `Kernels` where this process has or finds them, and there is no GPU; else None."""
    if visible_gpus():
        return None
    return next(iter(_loaded.values()), None) or _load_found()


@functools.cache
def _load_found():
    try:
        path = find()
        return _load(path) if path else None
    except KernelError:
        return None


_loaded = {}  # by file name: TensorFlow takes an op once, from wherever its library comes


def _load(path):
    if path.name not in _loaded:
        _loaded[path.name] = _load_library(path)
    return _loaded[path.name]


def _load_library(path):
    try:
        ops = tf.load_op_library(str(path))
        library = ctypes.CDLL(str(path))
    except (tf.errors.NotFoundError, OSError) as error:
        raise KernelError(f"{path} does not load: {str(error).splitlines()[0]}") from None
    library.tfae_simd.restype = ctypes.c_char_p
    library.tfae_has_bfloat16.restype = ctypes.c_bool
    library.tfae_map_names.restype = ctypes.c_char_p
    names = library.tfae_map_names().decode().rstrip(",").split(",")
    kernels = Kernels(
        ops,
        library.tfae_simd().decode(),
        library.tfae_has_bfloat16(),
        {name: code for code, name in enumerate(names)},
    )
    try:
        check(kernels)  # takes milliseconds
    except KernelError:
        path.unlink(missing_ok=True)
        raise
    return kernels


def stack_inputs(rows, params, activations, scaling):
    """What all ops take: rows, layers, and how the rows are scaled.

    Args:
        rows: [N, D] uint8 or float32.
        params: Kernel and bias of each layer in turn.
        activations: A name a layer.
        scaling: The `Scaling` of float rows.
    """
    scaled = rows.dtype != tf.uint8 and scaling.center is not None
    return {
        "rows": rows,
        "center": scaling.center if scaled else [],
        "width": scaling.width if scaled else [],
        "params": list(params),
        "activations": [ACTIVATIONS.index(name) for name in activations],
    }


def run_layers(kernels, inputs, params, activations, scaling):
    """[N, O] float32, what layers give for rows [N, D], all of them as in `stack_inputs`."""
    stack = stack_inputs(inputs, params, activations, scaling)
    return kernels.ops.tfae_layers(**stack, threads=thread_count())


@tf.RegisterGradient("TfaeLayers")
def _layers_gradient(op, upstream):
    """Of what `run_layers` gives, by TensorFlow's own operations."""
    rows, center, width, *params = op.inputs
    activations = [ACTIVATIONS[number] for number in op.get_attr("activations")]
    with tf.GradientTape() as tape:
        sources = [*(() if rows.dtype == tf.uint8 else (rows,)), *params]
        tape.watch(sources)
        scaling = Scaling("stored", center, width) if center.shape.num_elements() else Scaling()
        logits = dense_stack(params, scaled_inputs(rows, scaling), activations)
        outputs = activate(activations[-1], logits)
    grads = tape.gradient(outputs, sources, upstream)
    of_rows = [None] if rows.dtype == tf.uint8 else [grads.pop(0)]
    return [*of_rows, None, None, *grads]
