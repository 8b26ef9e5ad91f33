"""How a launch of the GPU's epoch kernel is laid out: blocks, shared memory, scratch, arguments."""

import ctypes
from dataclasses import dataclass

THREADS = 256  # a block; as src/block.h has it
OPTIMIZERS = ("adadelta", "adam", "momentum", "sgd")  # as src/functions.h numbers them
LARGEST_HIDDEN = 256
LARGEST_BATCH = 4096
LARGEST_SCRATCH = 1 << 30  # bytes
SMALLEST_CHUNK = 64  # rows that are worth the weights' place on chip

_TILE = 16  # rows and columns of the products' tiles
_SKEW = 8
_PART_SUMS = THREADS * 16  # bytes


class Settings(ctypes.Structure):
    """What the kernel is given: addresses of the device's memory, sizes, offsets in shared memory.

    The fields are those of `Settings` in epoch.h, in the same order. N rows of D features, H hidden
    units (P with padding), batches of B rows, S steps an epoch, G blocks:

    Fields:
        rows: [N, D] uint8, or float32.
        order: [N] int32.
        center, width: [D] float32 each, of float rows; or 0.
        tensors: Encoder's kernel [D, H] and bias [H], decoder's kernel [H, D] and bias [D],
            float32, changed in place; then the first and second slots of each, as many as there
            are.
        rates, decays: [S] float32, as the CPU's kernels have them; decays may be 0.
        partials: Scratch, [G, B, P] float32.
        before, exchanged: Scratch, [B, P] float32 each.
        spilled: Scratch for weights that do not fit on chip, or 0.
        squares: Scratch, [G] float32.
        losses: Result, [G] float64, each block's part of the sum of the losses.
        arrived: One uint32, which must be 0.
        loss_scale: float32 value, int32 good steps and skipped steps, changed in place.
    """

    _fields_ = (
        *[(name, ctypes.c_void_p) for name in ("rows", "order", "center", "width")],
        ("tensors", ctypes.c_void_p * 4 * 3),
        *[
            (name, ctypes.c_void_p)
            for name in (
                *("rates", "decays", "partials", "before", "exchanged", "spilled", "squares"),
                *("losses", "arrived", "loss_scale"),
            )
        ],
        *[
            (name, ctypes.c_int32)
            for name in (
                *("row_count", "features", "hidden", "batch"),
                *("activation", "output_activation", "loss", "optimizer", "slots"),
                *("slice", "padded_hidden", "chunk"),
                *("at_raw", "at_inputs", "at_encoder", "at_decoder"),
                *("at_exchanged", "at_slopes", "at_sums", "at_own"),
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
    """

    multiprocessors: int
    shared_bytes: int


@dataclass(frozen=True)
class Plan:
    """A launch that fits a device.

    Attributes:
        blocks: G, one a multiprocessor at most: all have to run at once.
        slice: Features a block.
        padded_hidden: P, hidden units in whole tiles.
        chunk: Rows of a batch whose activations fit in shared memory.
        shared_bytes: Shared memory a block.
        offsets: Of each buffer in it, by the name of its field of `Settings`.
        scratch: Bytes of each scratch buffer in the device's memory, by the same.
    """

    blocks: int
    slice: int
    padded_hidden: int
    chunk: int
    shared_bytes: int
    offsets: dict
    scratch: dict

    @property
    def spills(self):
        """Whether weights and slots lie in the device's memory, not on chip."""
        return bool(self.scratch["spilled"])


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
    padded = _in_tiles(hidden)
    slice_ = _TILE * _ceil(_ceil(features, _TILE), device.multiprocessors)
    blocks = _ceil(features, slice_)
    whole = _in_tiles(batch)
    for resident in (True, False):
        smallest = min(whole, SMALLEST_CHUNK if resident else _TILE)
        for chunk in range(whole, smallest - 1, -_TILE):
            buffers = _buffers(slice_, padded, chunk, chunk == whole, resident)
            shared_bytes = sum(buffers.values())
            if shared_bytes <= device.shared_bytes:
                scratch = _scratch(blocks, slice_, padded, batch, resident)
                if sum(scratch.values()) > LARGEST_SCRATCH:
                    raise NoPlan(f"its {blocks} blocks would need over 1 GiB to exchange sums")
                offsets = dict(zip(buffers, _running_sums(buffers.values()), strict=True))
                return Plan(blocks, slice_, padded, chunk, shared_bytes, offsets, scratch)
    raise NoPlan(f"{slice_} features a block do not fit in {device.shared_bytes} bytes on chip")


def _buffers(slice_, padded, chunk, is_whole, resident):
    """Bytes of each buffer in shared memory, all multiples of 16."""
    copies = 2 if is_whole else 1  # the next batch's inputs come early where there is room
    row_tiles = chunk // _TILE
    return {
        "at_raw": copies * chunk * slice_ * 4,
        "at_inputs": copies * chunk * (slice_ + _SKEW) * 2,
        "at_encoder": slice_ * (padded + _SKEW) * 2,
        "at_decoder": padded * (slice_ + _SKEW) * 2,
        "at_exchanged": chunk * (padded + _SKEW) * 2,
        "at_slopes": chunk * (slice_ + _SKEW) * 2,
        "at_sums": max(_PART_SUMS, row_tiles * max(slice_, padded) * 4),
        "at_own": _own_bytes(slice_, padded) if resident else 0,
    }


def _own_bytes(slice_, padded):
    """A block's weights, two slots and gradients."""
    return 4 * 4 * (2 * slice_ * padded + slice_ + padded)


def _scratch(blocks, slice_, padded, batch, resident):
    exchanged = 4 * batch * padded
    return {
        "partials": blocks * exchanged,
        "before": exchanged,
        "exchanged": exchanged,
        "spilled": 0 if resident else blocks * _own_bytes(slice_, padded),
        "squares": 4 * blocks,
        "losses": 8 * blocks,
        "arrived": 4,
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
