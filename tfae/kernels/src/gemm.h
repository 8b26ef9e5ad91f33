// Products of matrices that lie in the caches, in tiles that lie in the registers.
#pragma once

#include "simd.h"

namespace tfae {

// Rows of a tile, which is two vectors wide: as many accumulators as leave registers for operands.
#if defined(TFAE_AVX512) || defined(__aarch64__)
constexpr int kTileRows = 12;  // of 32 registers
#else
constexpr int kTileRows = 6;  // of 16 registers
#endif

// A matrix whose element (i, k) is data[i * row + k * column].
struct Strided {
  const float* data;
  ptrdiff_t row, column;
};

// A matrix whose rows are contiguous, `stride` floats apart.
template <typename T>
struct RowMajor {
  T* data;
  ptrdiff_t stride;
};

// C[R, V vectors] = first + A[R, depth] B[depth, V vectors]. `first` may be C itself, one row for
// all (a stride of 0) or nothing at all.
template <int R, int V>
void Tile(int depth, Strided a, RowMajor<const float> b, RowMajor<float> c,
          RowMajor<const float> first) {
  Vec sums[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      sums[r][v] = first.data ? Load(first.data + r * first.stride + v * kLanes) : Vec{};
    }
  }
  for (int k = 0; k < depth; ++k) {
    Vec right[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) right[v] = Load(b.data + k * b.stride + v * kLanes);
    const float* left = a.data + k * a.column;
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Vec factor = Broadcast(left[r * a.row]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r][v] += factor * right[v];
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) Store(c.data + r * c.stride + v * kLanes, sums[r][v]);
  }
}

using TileFunction = void (*)(int, Strided, RowMajor<const float>, RowMajor<float>,
                              RowMajor<const float>);

template <int V>
TileFunction TileOf(int rows) {
  static const TileFunction tiles[] = {
      nullptr,     Tile<1, V>, Tile<2, V>, Tile<3, V>, Tile<4, V>,  Tile<5, V>,  Tile<6, V>,
#if defined(TFAE_AVX512) || defined(__aarch64__)
      Tile<7, V>, Tile<8, V>, Tile<9, V>, Tile<10, V>, Tile<11, V>, Tile<12, V>,
#endif
  };
  return tiles[rows];
}

// C[rows, vectors] = first + A[rows, depth] B[depth, vectors], as in Tile.
inline void Product(int rows, int vectors, int depth, Strided a, RowMajor<const float> b,
                    RowMajor<float> c, RowMajor<const float> first) {
  for (int v = 0; v < vectors; v += 2) {
    const ptrdiff_t column = v * kLanes;
    const bool pair = v + 1 < vectors;
    for (int r = 0; r < rows;) {
      const int count = rows - r < kTileRows ? rows - r : kTileRows;
      const TileFunction tile = pair ? TileOf<2>(count) : TileOf<1>(count);
      const float* start = first.data ? first.data + r * first.stride + column : nullptr;
      tile(depth, {a.data + r * a.row, a.row, a.column}, {b.data + column, b.stride},
           {c.data + r * c.stride + column, c.stride}, {start, first.stride});
      r += count;
    }
  }
}

}  // namespace tfae
