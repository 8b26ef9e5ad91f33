// A block of threads and what its threads do together: on a GPU as CUDA has it, elsewhere with one
// thread of the machine as a block, so that the kernel's arithmetic can be run without a GPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define TFAE_DEVICE __device__ __forceinline__
#else
#include <atomic>
#include <thread>
#define TFAE_DEVICE inline
#endif

namespace tfae::gpu {

constexpr int kThreads = 256;  // a block
constexpr int kWarp = 32;

// Four floats, which are loaded at once.
struct alignas(16) Quad {
  float at[4];
};

struct Block {
  int index, count;         // this one, of so many, all of which run at once
  unsigned char* shared;    // its memory
  unsigned* arrived;        // of all blocks together, 0 at first
  unsigned expected = 0;    // arrivals before the blocks go on

#ifdef __CUDACC__
  // Calls f(i) for each i below n, spread over the threads.
  template <typename F>
  TFAE_DEVICE void ForEach(int n, F f) const {
    for (int i = threadIdx.x; i < n; i += kThreads) f(i);
  }
  // Calls f(i) for each i below n by whole warps, always the same warp for the same i.
  template <typename F>
  TFAE_DEVICE void ForEachByWarp(int n, F f) const {
    // The compiler has to see that a warp's threads agree, and stay together.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / kWarp, 0);
    for (int i = warp; i < n; i += kThreads / kWarp) {
      __syncwarp();
      f(i);
    }
  }
  TFAE_DEVICE bool IsFirstThread() const { return threadIdx.x == 0; }
  TFAE_DEVICE void Sync() const { __syncthreads(); }

  // Says that what this block wrote may be read.
  TFAE_DEVICE void Arrive() {
    __syncthreads();
    expected += count;
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(arrived, 1u);
    }
  }
  // Waits until all blocks have arrived.
  TFAE_DEVICE void Wait() const {
    if (threadIdx.x == 0) {
      unsigned now;
      do {
        asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
      } while (static_cast<int>(now - expected) < 0);
    }
    __syncthreads();
  }
#else
  template <typename F>
  void ForEach(int n, F f) const {
    for (int i = 0; i < n; ++i) f(i);
  }
  template <typename F>
  void ForEachByWarp(int n, F f) const {
    ForEach(n, f);
  }
  bool IsFirstThread() const { return true; }
  void Sync() const {}
  void Arrive() {
    expected += count;
    reinterpret_cast<std::atomic<unsigned>*>(arrived)->fetch_add(1);
  }
  void Wait() const {
    const auto* now = reinterpret_cast<std::atomic<unsigned>*>(arrived);
    while (static_cast<int>(now->load() - expected) < 0) std::this_thread::yield();
  }
#endif

  TFAE_DEVICE void Meet() {
    Arrive();
    Wait();
  }
};

// What another block wrote in this launch: not from the first-level cache, which is not told of it.
TFAE_DEVICE float FloatOfOthers(const float* from) {
#ifdef __CUDACC__
  return __ldcg(from);
#else
  return *from;
#endif
}

TFAE_DEVICE Quad QuadOfOthers(const float* from) {
#ifdef __CUDACC__
  const float4 quad = __ldcg(reinterpret_cast<const float4*>(from));
  return {{quad.x, quad.y, quad.z, quad.w}};
#else
  return *reinterpret_cast<const Quad*>(from);
#endif
}

}  // namespace tfae::gpu
