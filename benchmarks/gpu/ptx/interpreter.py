"""Blocks, their warps, and whose turn it is."""

import random

import numpy as np

from benchmarks.gpu.ptx.accesses import Accesses
from benchmarks.gpu.ptx.arithmetic import LANES
from benchmarks.gpu.ptx.faults import Fault
from benchmarks.gpu.ptx.memory import GLOBAL, Memory
from tfae.kernels.gpu.plan import THREADS


class Warp:
    """32 threads of a block.

    Attributes:
        number: Which of the block's it is.
        registers: By prefix, [how many, 32].
        at: Where each lane is in the code; -1 where it has ended.
        waits: Which lanes wait for the others of the warp.
        at_barrier: Whether all of it waits for the other warps.
        in_vain: Whether its last turn ended with numbers that it waits for.
        syncs: How often its lanes came together.
    """

    def __init__(self, block, number, kernel):
        self.block, self.number = block, number
        self.threads = number * LANES + np.arange(LANES)
        self.registers = {
            prefix: np.zeros((count, LANES), dtype)
            for prefix, (count, dtype) in kernel.registers.items()
        }
        self.at, self.waits = np.zeros(LANES, int), np.full(LANES, False)
        self.at_barrier, self.in_vain, self.syncs = False, False, 0

    @property
    def ended(self):
        """Whether all lanes have."""
        return self.at.max() < 0

    def synchronise(self):
        """Its lanes see what the others wrote."""
        self.syncs += 1

    def wait_for_block(self):
        """It stops until all warps of the block do."""
        self.at_barrier = True

    def go_on(self, kernel, strays):
        """Some of its lanes that are together go on, to where others may join them.

        Args:
            kernel: The `Kernel`.
            strays: A random.Random where lanes that are ahead go on before those behind, or None.

        Raises:
            Fault: They must not do that.
        """
        free = self.at[~self.waits & (self.at >= 0)]
        if not free.size:
            raise Fault(f"{self}: its lanes wait for each other at several places")
        at = strays.choice(free) if strays else free.min()
        lanes = (self.at == at) & ~self.waits
        try:
            while kernel.code[at].kind == "lanes":
                kernel.code[at].run(self, lanes)
                at += 1
                if at in kernel.joins:
                    self.at[lanes] = at
                    return
            self._turn(kernel, at, lanes)
        except Fault as fault:
            raise Fault(f"{self}: {kernel.code[at].text}: {fault}") from None

    def _turn(self, kernel, at, lanes):
        """The end of a stretch, which is not each lane's own."""
        _, kind, run, label = kernel.code[at]
        self.at[lanes] = at
        if kind == "end":
            self.at[lanes] = -1
        elif kind == "branch":
            taken = run(self) & lanes
            self.at[lanes] = at + 1
            self.at[taken] = kernel.labels[label]
        else:
            self.waits |= lanes
            if (self.waits & (self.at == at)).all():
                self.waits[:] = False
                self.at[:] = at + 1
                run(self)

    def __str__(self):
        return f"block {self.block.index}, warp {self.number}"


class Block:
    """Some warps, and the shared memory between them.

    Attributes:
        memory: The `Memory`, of all blocks.
        shared: The bytes of this one's.
        accesses: The `Accesses` of those.
        barriers: How often all of it came together.
    """

    def __init__(self, memory, index, count, kernel, shared_bytes):
        self.memory, self.index, self.count = memory, index, count
        self.shared, self.accesses = np.zeros(shared_bytes, np.uint8), Accesses(shared_bytes, 2)
        self.barriers = 0
        self.warps = [Warp(self, number, kernel) for number in range(THREADS // LANES)]

    def pass_barrier(self):
        """All warps are there, and go on."""
        self.barriers += 1
        self.memory.tell_block(self.index)
        for warp in self.warps:
            warp.at_barrier = False


class Interpreter:
    """A device's memory, as `Problem.launch` wants it, and kernels that run in it.

    Args:
        seed: Of the warps' turns, and of how old the numbers are that they read.
    """

    MOST_AT_ONCE = 100  # stretches of instructions in a warp's turn
    STRAYS = 0.02  # how often lanes that are ahead go on before those that are behind
    STOPS = 0.01  # how often a warp, or all of its block, has no turn until nothing else goes on
    PATIENCE = 50  # turns in vain for each warp

    def __init__(self, seed=0):
        self._chance = random.Random(seed)
        self._contents = np.zeros(0, np.uint8)
        self._owned = np.zeros(0, bool)

    def put(self, array):
        """Copy an array to the memory; return what `get` and `address` want."""
        array = np.ascontiguousarray(array)
        at, room = self._contents.size, array.nbytes // 256 * 256 + 512  # more than anybody may use
        self._contents = np.append(self._contents, np.zeros(room, np.uint8))
        self._contents[at : at + array.nbytes] = array.reshape(-1).view(np.uint8)
        self._owned = np.append(self._owned, np.arange(room) < array.nbytes)
        return at, array.shape, array.dtype

    def get(self, placed):
        """The array that is there now."""
        at, shape, dtype = placed
        size = int(np.prod(shape)) * dtype.itemsize
        return self._contents[at : at + size].copy().view(dtype).reshape(shape)

    def address(self, placed):
        """Where an array lies."""
        return GLOBAL + placed[0]

    def launch(self, kernel, arguments, blocks, shared_bytes):
        """Run a kernel to its end.

        Args:
            kernel: The `Kernel`.
            arguments: What it is given, of ctypes.
            blocks: How many.
            shared_bytes: Of a block's memory.

        Raises:
            Fault: It did what it must not.
        """
        arguments = np.frombuffer(bytes(arguments), np.uint8)
        memory = Memory(self._contents, self._owned, arguments, self._chance)
        made = [Block(memory, i, blocks, kernel, shared_bytes) for i in range(blocks)]
        warps = [warp for block in made for warp in block.warps]
        with np.errstate(all="ignore"):
            self._run(warps.copy(), kernel)
        if waiting := [warp for warp in warps if not warp.ended]:
            raise Fault(f"{waiting[0]}: others have ended, and never come to the barrier")

    def _run(self, ready, kernel):
        """Give turns to warps until all have ended, or wait at barriers."""
        stopped, in_vain = [], 0  # how many turns, one after the other
        while ready or stopped:
            if stopped and (not ready or in_vain > len(ready)):  # the others cannot do without them
                ready, stopped, in_vain = ready + stopped, [], 0
            if in_vain > self.PATIENCE * len(ready):
                raise Fault(f"{ready[0]}: all that can go on wait for each other")
            warp = self._chance.choice(ready)
            if not stopped and not in_vain and self._chance.random() < self.STOPS:
                stopped = self._chance.choice(([warp], [o for o in ready if o.block is warp.block]))
                ready = [other for other in ready if other not in stopped]
                continue
            in_vain = 0 if self._give_turn(warp, kernel) else in_vain + 1
            if warp.at_barrier or warp.ended:
                ready.remove(warp)
            if all(other.at_barrier for other in warp.block.warps):
                warp.block.pass_barrier()
                ready += warp.block.warps

    def _give_turn(self, warp, kernel):
        """Whether it came to something: a number new to it, a store, a barrier, its end."""
        memory = warp.block.memory
        before, looks = memory.progress, memory.looks
        # Lanes that wait in vain may be waiting for others of their warp.
        strays = warp.in_vain
        for _ in range(self._chance.randint(1, self.MOST_AT_ONCE)):
            strays = strays or self._chance.random() < self.STRAYS
            warp.go_on(kernel, self._chance if strays else None)
            strays = False
            if warp.at_barrier or warp.ended:
                warp.in_vain = False
                return True
            warp.in_vain = memory.looks > looks and memory.progress == before
            if warp.in_vain:
                return False
        return memory.progress > before
