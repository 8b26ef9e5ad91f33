"""Who used which part of a memory, and whether a barrier lies between two that did."""

import numpy as np

from benchmarks.gpu.ptx.arithmetic import LANES
from benchmarks.gpu.ptx.faults import Fault


class Accesses:
    """The last writer of each place, and who has read it since its block's last barrier.

    Args:
        size: Bytes of the memory.
        place: Bytes that count as one place.
    """

    def __init__(self, size, place):
        self._place = place
        count = -(-size // place)
        # Of the last write: by which thread of which block, after how many barriers of the block
        # and of the warp.
        self._writer, self._write_block = np.full(count, -1, np.int16), np.full(count, -1, np.int16)
        self._write_barrier, self._write_sync = np.zeros((2, count), np.int32)
        # Of the reads: by which block, -2 for several; after how many barriers of it; by which
        # warps, a bit each; and of the last of these, when and by which lanes.
        self._read_block = np.full(count, -1, np.int16)
        self._read_barrier, self._read_sync = np.full((2, count), -1, np.int32)
        self._read_warps, self._read_lanes = np.zeros((2, count), np.uint32)

    def note(self, warp, lanes, at, writes):
        """Lanes of a warp use the bytes `at` [lanes, size].

        Raises:
            Fault: Another thread uses them, and there is no barrier between.
        """
        at = at[:, :: self._place] // self._place
        lanes = np.repeat(lanes, at.shape[1])
        at = at.reshape(-1)
        block, barrier, sync = warp.block.index, warp.block.barriers, warp.syncs
        this_warp, lane = np.uint32(1) << np.uint32(warp.number), np.uint32(1) << lanes.astype("u4")
        threads = warp.number * LANES + lanes

        own = self._write_block[at] == block
        same_warp = self._writer[at] // LANES == warp.number
        ordered = own & (
            (self._writer[at] == threads)
            | (self._write_barrier[at] != barrier)
            | (same_warp & (self._write_sync[at] != sync))
        )
        if ((self._writer[at] >= 0) & ~ordered).any():
            raise Fault("what another thread has written is used without a barrier between")
        here = self._read_block[at] == block
        since = here & (self._read_barrier[at] == barrier)  # the last barrier of the block
        again = since & (self._read_sync[at] == sync * LANES + warp.number)
        if writes:
            elsewhere = ~here & (self._read_block[at] != -1)
            others = since & ((self._read_warps[at] & ~this_warp) != 0)
            if (elsewhere | others | (again & ((self._read_lanes[at] & ~lane) != 0))).any():
                raise Fault("what another thread has read is written without a barrier between")
            self._writer[at], self._write_block[at] = threads, block
            self._write_barrier[at], self._write_sync[at] = barrier, sync
        else:
            self._read_warps[at[~since]] = 0
            self._read_lanes[at[~again]] = 0
            np.bitwise_or.at(self._read_warps, at, this_warp)
            np.bitwise_or.at(self._read_lanes, at, lane)
            self._read_block[at] = np.where(here | (self._read_block[at] == -1), block, -2)
            self._read_barrier[at], self._read_sync[at] = barrier, sync * LANES + warp.number

    def written(self, at):
        """Whether all of the bytes `at` were."""
        return bool((self._writer[at // self._place] >= 0).all())

    def used(self, at):
        """Whether any of the bytes `at` was."""
        places = at // self._place
        return bool(((self._writer[places] >= 0) | (self._read_block[places] != -1)).any())
