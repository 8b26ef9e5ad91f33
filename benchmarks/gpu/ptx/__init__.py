"""Run CUDA kernels without a GPU: an interpreter of PTX, which nvcc compiles them to.

Warps of all blocks take turns at random. It is stricter than a GPU, and stops where one might go on
with wrong numbers:

- an address outside of all arrays, in another memory than the instruction says, or not aligned;
- shared memory that is read before it was written;
- two threads that use a place, of which one writes it, without a barrier between them; where they
  are of two blocks, whatever they do, unless all is by `.relaxed`;
- a warp whose threads do not come together where they must, blocks that wait for each other;
- an instruction that is not known here.

What is read by `.relaxed` may be any number that was written to the place before, but none older
than what the thread has read there, or another one of its block before a barrier. Numbers below
1.2e-38 are flushed to 0 where an instruction says so, and approximate functions are off by up to
two in the last place.

What it does not see: what ptxas makes of PTX; stores that overtake loads before them; which array
of a block's shared memory an address belongs to. Threads that use parts of one word, of two bytes
in shared memory, count as using the same place. `mma` adds without rounding, `fma` rounds twice.
Blocks have 512 threads.
"""

from benchmarks.gpu.ptx.faults import Fault
from benchmarks.gpu.ptx.instructions import Kernel, kernels_of
from benchmarks.gpu.ptx.interpreter import Interpreter

__all__ = ["Fault", "Interpreter", "Kernel", "kernels_of"]
