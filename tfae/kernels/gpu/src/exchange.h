// Numbers that blocks hand to each other through the device's memory, without a barrier.
//
// A number's last bit is its flag, which says whether it is there yet: a place has numbers with the
// one flag and with the other in turns, at first with 0. So a block waits for the numbers that it
// needs and for nothing else, for one way to the memory and back, where a barrier of all blocks
// before reading them takes three. (NCCL's low-latency protocol has a flag beside each number.)
// The last bit is worth 2^-24 of a number, far less than what rounding to a half takes.
//
// Of all that memory models say, this needs one thing: that who looks at one place sees its numbers
// in the order in which they came. So a place has one block that writes it, and who reads it reads
// each of its numbers.
#pragma once

#include "block.h"

#ifndef __CUDACC__
#include <cstdlib>
#include <cstring>
#include <thread>
#endif

// How often a wait may look in vain before the kernel is stopped, 0 for no limit: a fault would hold
// the device for ever. For a first contact with a device, for tests and for sanitizers.
#ifndef TFAE_MOST_LOOKS
#define TFAE_MOST_LOOKS 0
#endif

namespace tfae::gpu {

// Four floats, which are loaded at once.
struct alignas(16) Quad {
  float at[4];
};

TFAE_DEVICE uint32_t BitsOf(float value) {
#ifdef __CUDACC__
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
#endif
}

TFAE_DEVICE float FloatOf(uint32_t bits) {
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
#endif
}

TFAE_DEVICE uint32_t Flagged(float value, uint32_t flag) { return (BitsOf(value) & ~1u) | flag; }

// Writes a number for the other blocks.
TFAE_DEVICE void Hand(float* to, float value, uint32_t flag) {
#ifdef __CUDACC__
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;"
               :: "l"(__cvta_generic_to_global(to)), "r"(Flagged(value, flag)));
#else
  __atomic_store_n(reinterpret_cast<uint32_t*>(to), Flagged(value, flag), __ATOMIC_RELAXED);
#endif
}

// Writes two numbers, side by side, for the other blocks.
TFAE_DEVICE void HandPair(float* to, float first, float second, uint32_t flag) {
#ifdef __CUDACC__
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};"
               :: "l"(__cvta_generic_to_global(to)), "r"(Flagged(first, flag)),
                  "r"(Flagged(second, flag)));
#else
  Hand(to, first, flag);
  Hand(to + 1, second, flag);
#endif
}

// What is in a place now.
TFAE_DEVICE float Look(const float* from) {
  uint32_t bits;
#ifdef __CUDACC__
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];"
               : "=r"(bits) : "l"(__cvta_generic_to_global(from)));
#else
  bits = __atomic_load_n(reinterpret_cast<const uint32_t*>(from), __ATOMIC_RELAXED);
#endif
  return FloatOf(bits);
}

// Writes four numbers, side by side, for the other blocks.
TFAE_DEVICE void HandQuad(float* to, const Quad& quad, uint32_t flag) {
#ifdef __CUDACC__
  asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %2, %3, %4};"
               :: "l"(__cvta_generic_to_global(to)), "r"(Flagged(quad.at[0], flag)),
                  "r"(Flagged(quad.at[1], flag)), "r"(Flagged(quad.at[2], flag)),
                  "r"(Flagged(quad.at[3], flag)));
#else
  for (int i = 0; i < 4; ++i) Hand(to + i, quad.at[i], flag);
#endif
}

TFAE_DEVICE Quad LookAtQuad(const float* from) {
#ifdef __CUDACC__
  Quad quad;
  asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(quad.at[0]), "=f"(quad.at[1]), "=f"(quad.at[2]), "=f"(quad.at[3])
               : "l"(__cvta_generic_to_global(from)));
  return quad;
#else
  return {{Look(from), Look(from + 1), Look(from + 2), Look(from + 3)}};
#endif
}

// A wait, between two looks.
class Patience {
 public:
  TFAE_DEVICE void LookAgain() {
#ifndef __CUDACC__
    std::this_thread::yield();
#endif
    if (TFAE_MOST_LOOKS && ++looks_ > TFAE_MOST_LOOKS) Stop();
  }

 private:
  TFAE_DEVICE static void Stop() {
#ifdef __CUDACC__
    __trap();
#else
    std::abort();
#endif
  }
  long long looks_ = 0;
};

// Waits for a number from another block.
TFAE_DEVICE float Take(const float* from, uint32_t flag) {
  Patience patience;
  float value = Look(from);
  while ((BitsOf(value) & 1) != flag) {
    patience.LookAgain();
    value = Look(from);
  }
  return value;
}

// Where numbers are handed: in the device's memory.
struct Global {
  TFAE_DEVICE static Quad LookAtQuad(const float* from) { return tfae::gpu::LookAtQuad(from); }
};

// Waits for n quads from other blocks, `stride` floats apart, and calls f(i, quad) in their order.
// kAtOnce are asked for together, until all of them are there; a group that is not full asks for
// its last one again, so that all groups run the same code.
template <int kAtOnce, typename Memory = Global, typename F>
TFAE_DEVICE void TakeQuads(const float* from, int stride, int n, uint32_t flag, F f) {
  TFAE_ONE_BY_ONE for (int start = 0; start < n; start += kAtOnce) {
    const float* begin = from + start * stride;
    const int last = (n - 1 - start) * stride;
    Quad quads[kAtOnce];
    for (Patience patience;; patience.LookAgain()) {
      TFAE_UNROLL for (int i = 0; i < kAtOnce; ++i) {
        quads[i] = Memory::LookAtQuad(begin + (i * stride < last ? i * stride : last));
      }
      uint32_t others = 0;
      TFAE_UNROLL for (const Quad& quad : quads) {
        for (float number : quad.at) others |= BitsOf(number) ^ (0 - flag);  // all bits: one step
      }
#ifdef __CUDACC__
      asm("" : "+r"(others));  // or the compiler, which sees that one bit counts, tests 32 of them
#endif
      if ((others & 1) == 0) break;
    }
    TFAE_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      if (start + i < n) f(start + i, quads[i]);
    }
  }
}

}  // namespace tfae::gpu
