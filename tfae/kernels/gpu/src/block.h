// A block of threads and what its threads do together: on a GPU as CUDA has it, elsewhere with one
// thread of the machine as a block, so that the kernel's arithmetic can be run without a GPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define TFAE_DEVICE __device__ __forceinline__
#define TFAE_UNROLL _Pragma("unroll")
#define TFAE_ONE_BY_ONE _Pragma("unroll 1")  // threads are many: more code would not be faster
#else
#define TFAE_DEVICE inline
#define TFAE_UNROLL
#define TFAE_ONE_BY_ONE
#endif

namespace tfae::gpu {

constexpr int kThreads = 512;  // a block
constexpr int kWarp = 32, kWarps = kThreads / kWarp;

// Divides numbers from 0 to 2^20 by one from 1 on, in three instructions; a division of integers
// takes some thirty. The half keeps what the reciprocal is off by from reaching the next number.
class Divisor {
 public:
  TFAE_DEVICE explicit Divisor(int by) : by_(by), inverse_(1.0f / by) {}
  TFAE_DEVICE int Quotient(int n) const { return static_cast<int>((n + 0.5f) * inverse_); }
  TFAE_DEVICE int Remainder(int n) const { return n - Quotient(n) * by_; }

 private:
  int by_;
  float inverse_;
};

struct Block {
  int index, count;       // this one, of so many, all of which run at once
  unsigned char* shared;  // its memory

#ifdef __CUDACC__
  // Calls f(i) for each i below n, spread over the threads.
  template <typename F>
  TFAE_DEVICE void ForEach(int n, F f) const {
    TFAE_ONE_BY_ONE for (int i = threadIdx.x; i < n; i += kThreads) f(i);
  }
  // Calls f(first, step, count) for the thread's numbers below n, which are first + step i.
  template <typename F>
  TFAE_DEVICE void ForEachSeries(int n, F f) const {
    f(threadIdx.x, kThreads, (n + kThreads - 1 - static_cast<int>(threadIdx.x)) / kThreads);
  }
  // Calls use(i, load(i, find(i))) for each i below n, spread over the threads; several at a time,
  // so that the memory is waited for together.
  template <typename Find, typename Load, typename Use>
  TFAE_DEVICE void ForEachLoaded(int n, Find find, Load load, Use use) const {
    constexpr int kAtOnce = 2;
    TFAE_ONE_BY_ONE for (int i = threadIdx.x; i < n; i += kAtOnce * kThreads) {
      decltype(find(0)) found[kAtOnce];
      decltype(load(0, found[0])) loaded[kAtOnce];
      TFAE_UNROLL for (int j = 0; j < kAtOnce; ++j) {
        if (i + j * kThreads < n) found[j] = find(i + j * kThreads);
      }
      TFAE_UNROLL for (int j = 0; j < kAtOnce; ++j) {
        if (i + j * kThreads < n) loaded[j] = load(i + j * kThreads, found[j]);
      }
      TFAE_UNROLL for (int j = 0; j < kAtOnce; ++j) {
        if (i + j * kThreads < n) use(i + j * kThreads, loaded[j]);
      }
    }
  }
  // Calls f(i) for each i below n by whole warps, always the same warp for the same i.
  template <typename F>
  TFAE_DEVICE void ForEachByWarp(int n, F f) const {
    for (int i = Warp(); i < n; i += kWarps) {
      __syncwarp();
      f(i);
    }
  }
  // Calls f(row, column) for each of so many tiles, by whole warps: a row's by one warp where there
  // are rows for all of them, and always by the same.
  template <typename F>
  TFAE_DEVICE void ForEachTile(int rows, int columns, F f) const {
    const int warp = Warp(), warps_a_row = rows < kWarps ? Divisor(rows).Quotient(kWarps) : 1;
    const Divisor by(warps_a_row);
    for (int row = by.Quotient(warp); row < rows; row += kWarps) {
      for (int column = by.Remainder(warp); column < columns; column += warps_a_row) {
        __syncwarp();
        f(row, column);
      }
    }
  }
  TFAE_DEVICE bool IsFirstThread() const { return threadIdx.x == 0; }
  TFAE_DEVICE bool IsFirstOfWarp() const { return threadIdx.x % kWarp == 0; }
  TFAE_DEVICE void Sync() const { __syncthreads(); }

  // The sum of f(i) for each i below n, of a warp that calls it; in each of its threads.
  template <typename F>
  TFAE_DEVICE float SumByWarp(int n, F f) const {
    float sum = 0;
    for (int i = threadIdx.x % kWarp; i < n; i += kWarp) sum += f(i);
    return SumOfWarp(sum);
  }
  // The sum of what the threads have; in each of them. `scratch` has room for a number a warp.
  template <typename V>
  TFAE_DEVICE V Sum(V mine, V* scratch) const {
    mine = SumOfWarp(mine);
    if (IsFirstOfWarp()) scratch[threadIdx.x / kWarp] = mine;
    Sync();
    V sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += scratch[warp];
    Sync();
    return sum;
  }

 private:
  // This thread's. The compiler has to see that a warp's threads agree, and stay together.
  TFAE_DEVICE static int Warp() { return __shfl_sync(0xffffffffu, threadIdx.x / kWarp, 0); }

  template <typename V>
  TFAE_DEVICE static V SumOfWarp(V sum) {
    for (int step = 1; step < kWarp; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    return sum;
  }
#else
  template <typename F>
  void ForEach(int n, F f) const {
    for (int i = 0; i < n; ++i) f(i);
  }
  template <typename F>
  void ForEachSeries(int n, F f) const {
    f(0, 1, n);
  }
  template <typename Find, typename Load, typename Use>
  void ForEachLoaded(int n, Find find, Load load, Use use) const {
    for (int i = 0; i < n; ++i) use(i, load(i, find(i)));
  }
  template <typename F>
  void ForEachByWarp(int n, F f) const {
    ForEach(n, f);
  }
  template <typename F>
  void ForEachTile(int rows, int columns, F f) const {
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) f(row, column);
    }
  }
  bool IsFirstThread() const { return true; }
  bool IsFirstOfWarp() const { return true; }
  void Sync() const {}
  template <typename F>
  float SumByWarp(int n, F f) const {
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += f(i);
    return sum;
  }
  template <typename V>
  V Sum(V mine, V*) const {
    return mine;
  }
#endif
};

}  // namespace tfae::gpu
