"""How a launch of the GPU's epoch kernel is laid out: blocks, shared memory, scratch, arguments."""

import ctypes
from dataclasses import dataclass

THREADS = 512  # a block; as src/block.h has it
OPTIMIZERS = ("adadelta", "adam", "momentum", "sgd")  # as src/functions.h numbers them
LARGEST_HIDDEN = 256
LARGEST_BATCH = 4096  # with LARGEST_HIDDEN within what Divisor in block.h divides
LARGEST_KERNEL = 2**31 - 1  # weights, which the kernel counts in 32 bits
# Rows. Each chunk reads and writes the gradients of all weights, which are off chip where chunks
# have to be small: weights or features make room for these rows first.
SMALLEST_CHUNK = 64

_TILE = 16  # rows and columns of the products' tiles
_SKEW = 8
# Bytes. Of parts of a share, a quad a thread; and of columns of few rows a thread, which are few
# enough only where their sums fit.
_PART_SUMS = THREADS * 16
_SHARE_SLOPES = 64 * 16  # bytes: of a share that is summed at once, as src/epoch.h has it
_DEPTH_PARTS = 4  # of a product's depth, as src/cluster_epoch.h has it
_CLUSTERS = 8  # as fast as more: each takes a gradient's parts from all others

# What is trained, and what a plan says of it, in the order of `Settings`.
WORK = (
    *("features", "hidden", "batch"),
    *("activation", "output_activation", "loss", "optimizer", "slots"),
)
SIZES = ("blocks", "cluster", "slice", "slices", "padded_hidden", "chunk", "own")
OFFSETS = (
    *("at_raw", "at_inputs", "at_encoder", "at_decoder", "at_exchanged", "at_slopes", "at_sums"),
    *("at_share", "at_own", "at_output_bias", "at_places"),
)
# Scratch, in the order of src/op.cc: through which numbers are handed, and other.
HANDED = ("partials", "exchanged", "squares", "gradients", "weights", "bias_gradients")
KEPT = ("hidden_slopes", "spilled")


class Settings(ctypes.Structure):
    """What the kernel is given: addresses of the device's memory, sizes, offsets in shared memory.

    The fields are those of `Settings` in settings.h, in the same order. N rows of D features, H
    hidden units (P with padding), batches of B rows, S steps an epoch, G blocks:

    Fields:
        rows: [N, D] uint8, or float32.
        order: [N] int32.
        center, width: [D] float32 each, of float rows; or 0.
        given: Encoder's kernel [D, H] and bias [H], decoder's kernel [H, D] and bias [D], float32;
            then the first and second slots of each, as many as there are.
        tensors: Results, the same after the epoch.
        rates, decays: [S] float32, as the CPU's kernels have them; decays may be 0.
        partials, exchanged, squares: Scratch, [G, B, P], [B, P] and [G] float32, through which
            blocks hand numbers to each other. The last bit of each must be 0.
        gradients, weights, bias_gradients: Scratch of the same kind, of the kernel for clusters.
        hidden_slopes: Scratch, [B, P] float32.
        spilled: Scratch for weights that do not fit on chip, or 0.
        losses: Result, [G] float64, each block's part of the sum of the losses.
        given_loss_scale, given_good_steps, given_skipped_steps: float32, int64, int64.
        loss_scale, good_steps, skipped_steps: Results, the same after the epoch.
    """

    _fields_ = (
        *[(name, ctypes.c_void_p) for name in ("rows", "order", "center", "width")],
        *[(name, ctypes.c_void_p * 4 * 3) for name in ("given", "tensors")],
        *[
            (name, ctypes.c_void_p)
            for name in (
                *("rates", "decays", "partials", "hidden_slopes", "exchanged", "spilled"),
                *("squares", "gradients", "weights", "bias_gradients", "losses"),
                *("given_loss_scale", "given_good_steps", "given_skipped_steps"),
                *("loss_scale", "good_steps", "skipped_steps"),
            )
        ],
        *[
            (name, ctypes.c_int32)
            for name in (
                "row_count",
                *WORK,
                *SIZES,
                *OFFSETS,
            )
        ],
        ("constants", ctypes.c_float * 3),
        ("clip_norm", ctypes.c_float),
    )


@dataclass(frozen=True)
class Device:
    """What a launch has to know of a GPU.

    Attributes:
        multiprocessors: How many.
        shared_bytes: The most shared memory that a block can ask for.
        largest_cluster: How many blocks a cluster may have that all such devices take; 1 for none.
    """

    multiprocessors: int
    shared_bytes: int
    largest_cluster: int = 1


def largest_cluster(major):
    """Of a device of that major compute capability: Hopper's are the first to have clusters."""
    return 8 if major >= 9 else 1


@dataclass(frozen=True)
class Plan:
    """A launch that fits a device.

    Attributes:
        blocks: G, one a multiprocessor at most: all have to run at once.
        cluster: Blocks a cluster; 1 where they are in none, which is another kernel.
        slice: Features that a block has on chip at a time.
        slices: How many of these a block goes through.
        padded_hidden: P, hidden units in whole tiles.
        chunk: Rows of a batch whose activations fit in shared memory; of a cluster's kernel, those
            that a cluster has.
        own: Floats that a block of a cluster owns.
        shared_bytes: Shared memory a block.
        offsets: Of each buffer in it, by the name of its field of `Settings`.
        scratch: Bytes of each scratch buffer in the device's memory, by the same.
    """

    blocks: int
    cluster: int
    slice: int
    slices: int
    padded_hidden: int
    chunk: int
    own: int
    shared_bytes: int
    offsets: dict
    scratch: dict

    def definitions(self, compute, rows, work):
        """What its kernel is compiled with: flags of the compiler.

        Args:
            compute: Of the products: "bfloat16" or "float16".
            rows: The dtype of rows by name: "uint8" or "float32".
            work: The numbers that `WORK` names, by name.
        """
        numbers = {
            **{name: work[name] for name in WORK},
            **{name: getattr(self, name) for name in SIZES},
            **{name: self.offsets.get(name, 0) for name in OFFSETS},
        }
        half = {"bfloat16": "BFloat16", "float16": "Float16"}[compute]
        return (
            f"-DTFAE_HALF={half}",
            f"-DTFAE_ROWS={'uint8_t' if rows == 'uint8' else 'float'}",
            *(f"-DTFAE_{name.upper()}={number}" for name, number in numbers.items()),
            *(("-DTFAE_CLUSTERS",) if self.cluster > 1 else ()),
        )

    def arguments(self):
        """What the op `tfae_gpu_train_epoch` is told of it."""
        return {
            "sizes": [getattr(self, name) for name in SIZES],
            "shared_bytes": self.shared_bytes,
            "offsets": [self.offsets.get(name, 0) for name in OFFSETS],
            "handed": [self.scratch.get(name, 0) // 4 for name in HANDED],
            "kept": [self.scratch.get(name, 0) // 4 for name in KEPT],
        }

    @property
    def spills(self):
        """Whether weights and slots lie in the device's memory, not on chip."""
        return bool(self.scratch.get("spilled"))


class NoPlan(ValueError):
    """Why the kernel does not take a run, in a phrase."""


def plan_launch(features, hidden, batch, device):
    """The `Plan` for one hidden layer.

    Args:
        features: D, inputs and outputs.
        hidden: H, units of the hidden layer.
        batch: B, rows a step.
        device: The `Device`.

    Raises:
        NoPlan: The kernel does not take these sizes on this device.
    """
    if hidden > LARGEST_HIDDEN:
        raise NoPlan(f"a hidden layer of {hidden} units is more than {LARGEST_HIDDEN}")
    if batch > LARGEST_BATCH:
        raise NoPlan(f"a batch of {batch} rows is more than {LARGEST_BATCH}")
    if features * hidden > LARGEST_KERNEL:
        raise NoPlan(f"kernels of {features} x {hidden} weights are more than {LARGEST_KERNEL}")
    if plan := _clustered(features, hidden, batch, device):
        return plan
    tiles = _ceil(features, _TILE)
    # Best are weights that stay on chip, next those of one slice a block that do not, then several.
    for slices in range(1, _ceil(tiles, device.multiprocessors) + 1):
        slice_ = _TILE * _ceil(tiles, device.multiprocessors * slices)
        for resident in (True, False) if slices == 1 else (False,):
            if plan := _fitting(features, hidden, batch, slice_, slices, resident, device):
                return plan
    raise NoPlan(f"not even {slice_} features a block fit in {device.shared_bytes} bytes on chip")


def _clustered(features, hidden, batch, device):
    """The `Plan` of clusters that share a batch's rows, and of blocks that share the features.

    None where there is nothing to share, or what a block has does not fit on chip.
    """
    row_tiles, feature_tiles = _ceil(batch, _TILE), _ceil(features, _TILE)
    chunk = _TILE * _ceil(row_tiles, _CLUSTERS)
    slice_ = _TILE * _ceil(feature_tiles, device.largest_cluster)
    clusters, cluster, padded = _ceil(batch, chunk), _ceil(features, slice_), _in_tiles(hidden)
    blocks = clusters * cluster
    if clusters == 1 or cluster == 1 or blocks > device.multiprocessors:
        return None
    parameters = 2 * slice_ * padded + slice_
    own = 4 * _ceil(parameters // 4, clusters) + padded
    buffers = {
        "at_raw": 2 * chunk * (slice_ + _SKEW) * 4,
        "at_inputs": 2 * chunk * (slice_ + _SKEW) * 2,
        "at_encoder": slice_ * (padded + _SKEW) * 2,
        "at_decoder": padded * (slice_ + _SKEW) * 2,
        "at_output_bias": slice_ * 4,
        "at_exchanged": chunk * (padded + _SKEW) * 2,
        "at_slopes": chunk * (slice_ + _SKEW) * 2,
        "at_sums": _DEPTH_PARTS * chunk * (padded + 4) * 4 + chunk // _TILE * slice_ * 4,
        "at_share": chunk * (padded + 4) * 4,
        "at_places": 2 * cluster * chunk * padded * 4,
        "at_own": 4 * own * 4,
    }
    shared_bytes = sum(buffers.values())
    if shared_bytes > device.shared_bytes:
        return None
    scratch = {
        "gradients": 4 * blocks * parameters,
        "weights": 4 * cluster * parameters,
        "bias_gradients": 4 * blocks * padded,
        "squares": 4 * blocks,
        "losses": 8 * blocks,
    }
    offsets = dict(zip(buffers, _running_sums(buffers.values()), strict=True))
    return Plan(blocks, cluster, slice_, 1, padded, chunk, own, shared_bytes, offsets, scratch)


def _fitting(features, hidden, batch, slice_, slices, resident, device):
    """The `Plan` with as many rows on chip as there is room for; None where there is too little."""
    padded, whole = _in_tiles(hidden), _in_tiles(batch)
    for chunk in range(whole, min(whole, SMALLEST_CHUNK) - 1, -_TILE):
        # The next batch's inputs come early where there is room for both.
        copies = 2 if chunk == whole and slices == 1 else 1
        buffers = _buffers(slice_, padded, chunk, copies, resident)
        shared_bytes = sum(buffers.values())
        if shared_bytes <= device.shared_bytes:
            blocks = _ceil(features, slice_ * slices)
            offsets = dict(zip(buffers, _running_sums(buffers.values()), strict=True))
            scratch = _scratch(blocks, slice_, slices, padded, batch, resident)
            sizes = blocks, 1, slice_, slices, padded, chunk, 0
            return Plan(*sizes, shared_bytes, offsets, scratch)
    return None


def _buffers(slice_, padded, chunk, copies, resident):
    """Bytes of each buffer in shared memory, all multiples of 16."""
    row_tiles = chunk // _TILE
    return {
        "at_raw": copies * chunk * (slice_ + _SKEW) * 4,
        "at_inputs": copies * chunk * (slice_ + _SKEW) * 2,
        "at_encoder": slice_ * (padded + _SKEW) * 2,
        "at_decoder": padded * (slice_ + _SKEW) * 2,
        "at_exchanged": chunk * (padded + _SKEW) * 2,
        "at_slopes": chunk * (slice_ + _SKEW) * 2,
        "at_sums": max(_PART_SUMS, row_tiles * max(slice_, padded) * 4),
        "at_share": _SHARE_SLOPES,
        "at_own": _own_bytes(slice_, 1, padded) if resident else 0,
    }


def _own_bytes(slice_, slices, padded):
    """A block's weights, two slots and gradients."""
    return 4 * 4 * (slices * (2 * slice_ * padded + slice_) + padded)


def _scratch(blocks, slice_, slices, padded, batch, resident):
    exchanged = 4 * batch * padded
    return {
        "partials": blocks * exchanged,
        "hidden_slopes": exchanged,
        "exchanged": exchanged,
        "spilled": 0 if resident else blocks * _own_bytes(slice_, slices, padded),
        "squares": 4 * blocks,
        "losses": 8 * blocks,
    }


def _running_sums(sizes):
    total = 0
    for size in sizes:
        yield total
        total += size


def _ceil(a, b):
    return -(-a // b)


def _in_tiles(count):
    return _TILE * _ceil(count, _TILE)
