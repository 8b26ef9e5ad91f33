// A 16 x 16 tile of a product's result, which a warp holds in its registers, and the product of
// half-precision matrices that lie in shared memory.
#pragma once

#include "half.h"

namespace tfae::gpu {

constexpr int kTile = 16;  // rows, columns, and the depth of a step

struct Tile {
#ifdef __CUDACC__
  float values[2][4] = {};  // of the first 8 columns and of the last

  // Calls f(row, column, a, b) for the elements (row, column) and (row, column + 1) that this
  // thread holds.
  template <typename F>
  TFAE_DEVICE void ForEachPair(F f) {
    const int lane = threadIdx.x % kWarp, row = lane / 4, column = lane % 4 * 2;
    TFAE_UNROLL for (int half = 0; half < 2; ++half) {
      f(row, half * 8 + column, values[half][0], values[half][1]);
      f(row + 8, half * 8 + column, values[half][2], values[half][3]);
    }
  }
  // Calls f(column, sum) for the sum of each column, by one thread each.
  template <typename F>
  TFAE_DEVICE void ForEachColumnSum(F f) const {
    const int lane = threadIdx.x % kWarp;
    TFAE_UNROLL for (int half = 0; half < 2; ++half) {
      float first = values[half][0] + values[half][2], second = values[half][1] + values[half][3];
      TFAE_UNROLL for (int step = 4; step < kWarp; step *= 2) {
        first += __shfl_xor_sync(0xffffffffu, first, step);
        second += __shfl_xor_sync(0xffffffffu, second, step);
      }
      if (lane < 4) {
        f(half * 8 + lane * 2, first);
        f(half * 8 + lane * 2 + 1, second);
      }
    }
  }
#else
  float values[kTile][kTile] = {};

  template <typename F>
  void ForEachPair(F f) {
    for (int row = 0; row < kTile; ++row) {
      for (int column = 0; column < kTile; column += 2) {
        f(row, column, values[row][column], values[row][column + 1]);
      }
    }
  }
  template <typename F>
  void ForEachColumnSum(F f) const {
    for (int column = 0; column < kTile; ++column) {
      float sum = 0;
      for (int row = 0; row < kTile; ++row) sum += values[row][column];
      f(column, sum);
    }
  }
#endif
};

// How a matrix lies in memory: element (i, j) at [i * stride + j], or at [j * stride + i].
enum Order { kByRows, kByColumns };

// A matrix of half-precision numbers in shared memory. Rows or columns begin at multiples of 16
// bytes.
template <Order kOrder>
struct Matrix {
  const uint16_t* data;
  int stride;
  TFAE_DEVICE const uint16_t* At(int i, int j) const {
    return data + (kOrder == kByRows ? i * stride + j : j * stride + i);
  }
  TFAE_DEVICE Matrix From(int i, int j) const { return {At(i, j), stride}; }
};

#ifdef __CUDACC__
TFAE_DEVICE unsigned SharedAddress(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

TFAE_DEVICE void MultiplyAdd(BFloat16, float (&c)[4], const unsigned (&a)[4], unsigned b_first,
                             unsigned b_last) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_first), "r"(b_last));
}

TFAE_DEVICE void MultiplyAdd(Float16, float (&c)[4], const unsigned (&a)[4], unsigned b_first,
                             unsigned b_last) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_first), "r"(b_last));
}

// Four 8 x 8 matrices, of which each thread names a row; they come turned where that is asked for.
template <bool kTurned>
TFAE_DEVICE void LoadMatrices(const void* row, unsigned (&to)[4]) {
  if constexpr (kTurned) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(SharedAddress(row)));
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(SharedAddress(row)));
  }
}
#endif

// c += A B, of A [16, depth] and B [depth, 16]; depth is a multiple of 16. A whole warp calls it.
template <typename Half, Order kA, Order kB>
TFAE_DEVICE void MultiplyAdd(Tile& c, Matrix<kA> a, Matrix<kB> b, int depth) {
#ifdef __CUDACC__
  // Eight threads each name the rows of one of four 8 x 8 matrices, as these lie in memory.
  const int lane = threadIdx.x % kWarp, row = lane % 8, first = lane / 8 % 2 * 8,
            second = lane / 16 * 8;
  // Those of A: rows 0 and 8 of the first 8 columns, then of the last 8.
  const int a_row = kA == kByRows ? first + row : first;
  const int a_column = kA == kByRows ? second : second + row;
  // Those of B: rows 0 and 8 of the first 8 columns, then of the last 8.
  const int b_row = kB == kByRows ? first + row : first;
  const int b_column = kB == kByRows ? second : second + row;
  _Pragma("unroll 2") for (int k = 0; k < depth; k += kTile) {
    unsigned left[4], right[4];
    LoadMatrices<kA == kByColumns>(a.At(a_row, k + a_column), left);
    LoadMatrices<kB == kByRows>(b.At(k + b_row, b_column), right);
    MultiplyAdd(Half(), c.values[0], left, right[0], right[1]);
    MultiplyAdd(Half(), c.values[1], left, right[2], right[3]);
  }
#else
  for (int i = 0; i < kTile; ++i) {
    for (int k = 0; k < depth; ++k) {
      const float left = Half::Value(*a.At(i, k));
      for (int j = 0; j < kTile; ++j) {
        c.values[i][j] += left * Half::Value(*b.At(k, j));
      }
    }
  }
#endif
}

}  // namespace tfae::gpu
