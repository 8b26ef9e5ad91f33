// A 16 x 8 tile of a product's result, which a warp holds in its registers, and the product of
// half-precision matrices that lie in shared memory.
#pragma once

#include "half.h"

namespace tfae::gpu {

constexpr int kTileRows = 16, kTileColumns = 8, kTileDepth = 16;

struct Tile {
#ifdef __CUDACC__
  float values[4] = {};

  // Calls f(row, column, a, b) for the elements (row, column) and (row, column + 1) that this
  // thread holds.
  template <typename F>
  TFAE_DEVICE void ForEachPair(F f) {
    const int lane = threadIdx.x % kWarp, row = lane / 4, column = lane % 4 * 2;
    f(row, column, values[0], values[1]);
    f(row + 8, column, values[2], values[3]);
  }
  // Calls f(column, sum) for the sum of each column, by one thread each.
  template <typename F>
  TFAE_DEVICE void ForEachColumnSum(F f) const {
    const int lane = threadIdx.x % kWarp;
    float first = values[0] + values[2], second = values[1] + values[3];
    for (int step = 4; step < kWarp; step *= 2) {
      first += __shfl_xor_sync(0xffffffffu, first, step);
      second += __shfl_xor_sync(0xffffffffu, second, step);
    }
    if (lane < 4) {
      f(lane * 2, first);
      f(lane * 2 + 1, second);
    }
  }
#else
  float values[kTileRows][kTileColumns] = {};

  template <typename F>
  void ForEachPair(F f) {
    for (int row = 0; row < kTileRows; ++row) {
      for (int column = 0; column < kTileColumns; column += 2) {
        f(row, column, values[row][column], values[row][column + 1]);
      }
    }
  }
  template <typename F>
  void ForEachColumnSum(F f) const {
    for (int column = 0; column < kTileColumns; ++column) {
      float sum = 0;
      for (int row = 0; row < kTileRows; ++row) sum += values[row][column];
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

TFAE_DEVICE void MultiplyAdd(BFloat16, float (&c)[4], const unsigned (&a)[4],
                             const unsigned (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

TFAE_DEVICE void MultiplyAdd(Float16, float (&c)[4], const unsigned (&a)[4],
                             const unsigned (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// c += A B, of A [16, depth] and B [depth, 8]; depth is a multiple of 16. A whole warp calls it.
template <typename Half, Order kA, Order kB>
TFAE_DEVICE void MultiplyAdd(Tile& c, Matrix<kA> a, Matrix<kB> b, int depth) {
#ifdef __CUDACC__
  // Each of 8 threads names a row of an 8 x 8 matrix as it lies in memory.
  const int lane = threadIdx.x % kWarp, row = lane % 8, matrix = lane / 8;
  // The four of A: rows 0 and 8 of the first 8 columns, then of the last 8.
  const int a_row = kA == kByRows ? matrix % 2 * 8 + row : matrix % 2 * 8;
  const int a_column = kA == kByRows ? matrix / 2 * 8 : matrix / 2 * 8 + row;
  // The two of B: the first 8 rows and the last.
  const int b_row = kB == kByRows ? matrix % 2 * 8 + row : matrix % 2 * 8;
  const int b_column = kB == kByRows ? 0 : row;
  _Pragma("unroll 4") for (int k = 0; k < depth; k += kTileDepth) {
    unsigned left[4], right[2];
    const unsigned from_a = SharedAddress(a.At(a_row, k + a_column));
    const unsigned from_b = SharedAddress(b.At(k + b_row, b_column));
    if constexpr (kA == kByRows) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(left[0]), "=r"(left[1]), "=r"(left[2]), "=r"(left[3]) : "r"(from_a));
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(left[0]), "=r"(left[1]), "=r"(left[2]), "=r"(left[3]) : "r"(from_a));
    }
    if constexpr (kB == kByRows) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                   : "=r"(right[0]), "=r"(right[1]) : "r"(from_b));
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                   : "=r"(right[0]), "=r"(right[1]) : "r"(from_b));
    }
    MultiplyAdd(Half(), c.values, left, right);
  }
#else
  for (int i = 0; i < kTileRows; ++i) {
    for (int k = 0; k < depth; ++k) {
      const float left = Half::Value(*a.At(i, k));
      for (int j = 0; j < kTileColumns; ++j) {
        c.values[i][j] += left * Half::Value(*b.At(k, j));
      }
    }
  }
#endif
}

}  // namespace tfae::gpu
