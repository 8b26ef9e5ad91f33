"""What a kernel's threads load and store, and what of it others see."""

import numpy as np

from benchmarks.gpu.ptx.accesses import Accesses
from benchmarks.gpu.ptx.arithmetic import LANES
from benchmarks.gpu.ptx.faults import Fault

# Where they begin: the device's memory, not within 32 bits; a block's own; a kernel's arguments.
GLOBAL, SHARED, ARGUMENTS = 0x7_0A00_0000, 1 << 44, 1 << 50


class Memory:
    """What all blocks share.

    Args:
        contents: The bytes.
        owned: Which of them belong to arrays.
        arguments: The kernel's, as bytes.
        chance: A random.Random.

    Attributes:
        progress: How often something was stored, or by `.relaxed` read that was new.
        looks: How often there was a load by `.relaxed`.
    """

    OLD = 0.3  # how often a number that is read by `.relaxed` is not the newest

    def __init__(self, contents, owned, arguments, chance):
        self._contents, self._owned, self._arguments = contents, owned, arguments
        self._accesses = Accesses(contents.size, 4)
        self._chance = chance
        # By `.relaxed`: a place's numbers, the oldest of them that a thread, or any of a block, may
        # still read, and what was read since the block's last barrier.
        self._written, self._seen, self._told, self._untold = {}, {}, {}, {}
        self._relaxed = np.full(contents.size, False)
        self.progress = self.looks = 0

    def load(self, warp, lanes, addresses, dtype, count, modifiers):
        """Numbers [32, count] from the addresses [32]; of other lanes than these 0."""
        lanes = np.flatnonzero(np.broadcast_to(lanes, LANES))
        size = count * dtype.itemsize
        memory, at = self._place(warp, lanes, addresses[lanes], size, modifiers, False)
        values = np.zeros((LANES, count), dtype)
        if "relaxed" in modifiers:
            self.looks += 1
            seen = [
                [self._look((warp.block.index, thread), int(place)) for place in places]
                for thread, places in zip(warp.threads[lanes], at[:, ::4], strict=True)
            ]
            values[lanes] = np.array(seen, np.uint32).view(dtype)
        else:
            values[lanes] = memory[at].view(dtype)
        return values

    def store(self, warp, lanes, addresses, values, modifiers):
        """Put the numbers [32, count] of these lanes to the addresses [32]."""
        self.progress += 1
        lanes = np.flatnonzero(np.broadcast_to(lanes, LANES))
        raw = np.ascontiguousarray(values[lanes]).view(np.uint8)
        memory, at = self._place(warp, lanes, addresses[lanes], raw.shape[1], modifiers, True)
        if np.unique(at[:, 0]).size < lanes.size:
            raise Fault("two lanes write to one place")
        if "relaxed" in modifiers:
            words = raw.view(np.uint32)
            for thread, places, new in zip(warp.threads[lanes], at[:, ::4], words, strict=True):
                for place, value in zip(places, new, strict=True):
                    self._hand((warp.block.index, thread), int(place), int(value))
        memory[at] = raw

    def _place(self, warp, lanes, addresses, size, modifiers, writes):
        """The memory that addresses lie in, and where in it: [lanes, size]."""
        if (addresses % size).any():
            raise Fault("its address is not aligned")
        if "shared" in modifiers:
            addresses = addresses + SHARED
        spaces = {
            "param": (ARGUMENTS, self._arguments),
            "shared": (SHARED, warp.block.shared),
            "global": (GLOBAL, self._contents),
        }
        name = next((name for name in spaces if addresses[0] >= spaces[name][0]), "global")
        begin, memory = spaces[name]
        at = addresses[:, None] - begin + np.arange(size)
        outside = at.min() < 0 or at.max() >= memory.size
        if outside or (name == "global" and not self._owned[at].all()):
            raise Fault(f"it is outside of all arrays in {name} memory")
        if name not in modifiers and ({*spaces} & {*modifiers} or (writes and name == "param")):
            raise Fault(f"it is in {name} memory")
        if name == "shared":
            warp.block.accesses.note(warp, lanes, at, writes)
            if not writes and not warp.block.accesses.written(at):
                raise Fault("shared memory is read before it was written")
        if name == "global":
            relaxed = "relaxed" in modifiers
            if self._accesses.used(at) if relaxed else self._relaxed[at].any():
                raise Fault("it is used both with .relaxed and without")
            if relaxed:
                self._relaxed[at] = True
            else:
                self._accesses.note(warp, lanes, at, writes)
        return memory, at

    def _look(self, thread, place):
        """A number of the place that the thread may read."""
        written = self._written.get(place)
        if written is None:
            return self._contents[place : place + 4].view(np.uint32)[0]
        block, newest = thread[0], len(written) - 1
        oldest = max(self._seen.get((thread, place), 0), self._told.get((block, place), 0))
        index = newest
        if oldest < newest and self._chance.random() < self.OLD:
            index = self._chance.randint(oldest, newest)
        if self._seen.get((thread, place), 0) < index:
            self.progress += 1
            self._saw(thread, place, index)
        return written[index]

    def _hand(self, thread, place, value):
        if place not in self._written:
            self._written[place] = [self._contents[place : place + 4].view(np.uint32)[0]]
        self._saw(thread, place, len(self._written[place]))
        self._written[place].append(value)

    def _saw(self, thread, place, index):
        self._seen[thread, place] = index
        self._untold.setdefault(thread[0], []).append((place, index))

    def tell_block(self, block):
        """What a thread of the block has read, the others have, too: they were at a barrier."""
        for place, index in self._untold.pop(block, ()):
            self._told[block, place] = max(self._told.get((block, place), 0), index)
