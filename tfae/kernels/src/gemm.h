// Products of matrices that lie in the caches, in tiles that lie in the registers.
#pragma once

#include <array>
#include <utility>

#include "simd.h"

namespace tfae {

// How a product multiplies: a Unit is what it takes of an operand at a time, kDepth numbers one
// after the other along the sum. Sums are float32.
struct Float32 {
  using Unit = float;
  static constexpr int kDepth = 1;
  static Vec Spread(float a) { return Broadcast(a); }
  static Vec MultiplyAdd(Vec a, const float* b, Vec sum) { return sum + a * Load(b); }
};

#ifdef TFAE_BFLOAT16
struct BFloat16 {
  using Unit = Pair;
  static constexpr int kDepth = 2;
  static Pairs Spread(Pair a) { return BroadcastPair(a); }
  static Vec MultiplyAdd(Pairs a, const Pair* b, Vec sum) { return Dot(a, LoadPairs(b), sum); }
};
#endif

// Rows of a tile, which is two vectors wide: as many accumulators as leave registers for operands.
#if defined(TFAE_AVX512) || defined(__aarch64__)
constexpr int kTileRows = 12;  // of 32 registers
#else
constexpr int kTileRows = 6;  // of 16 registers
#endif

// A matrix whose element (i, k) is data[i * row + k * column].
template <typename T>
struct Strided {
  const T* data;
  ptrdiff_t row, column;
};

// A matrix whose rows are contiguous, `stride` elements apart.
template <typename T>
struct RowMajor {
  T* data;
  ptrdiff_t stride;
};

// C[R, V vectors] = first + A[R, depth] B[depth, V vectors], `depth` in units. `first` may be C
// itself, one row for all (a stride of 0) or nothing at all.
template <typename Arithmetic, int R, int V>
void Tile(int depth, Strided<typename Arithmetic::Unit> a,
          RowMajor<const typename Arithmetic::Unit> b, RowMajor<float> c,
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
    const auto* left = a.data + k * a.column;
    const auto* right = b.data + k * b.stride;
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const auto factor = Arithmetic::Spread(left[r * a.row]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        sums[r][v] = Arithmetic::MultiplyAdd(factor, right + v * kLanes, sums[r][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) Store(c.data + r * c.stride + v * kLanes, sums[r][v]);
  }
}

// Tile<Arithmetic, R, V> for each R from 1 to kTileRows.
template <typename Arithmetic, int V, size_t... R>
constexpr auto Tiles(std::index_sequence<R...>) {
  return std::array{Tile<Arithmetic, static_cast<int>(R) + 1, V>...};
}

template <typename Arithmetic, int V>
auto TileOf(int rows) {
  static constexpr auto kTiles = Tiles<Arithmetic, V>(std::make_index_sequence<kTileRows>());
  return kTiles[rows - 1];
}

// C[rows, vectors] = first + A[rows, depth] B[depth, vectors], as in Tile.
template <typename Arithmetic>
void Product(int rows, int vectors, int depth, Strided<typename Arithmetic::Unit> a,
             RowMajor<const typename Arithmetic::Unit> b, RowMajor<float> c,
             RowMajor<const float> first) {
  for (int v = 0; v < vectors; v += 2) {
    const ptrdiff_t column = v * kLanes;
    const bool pair = v + 1 < vectors;
    for (int r = 0; r < rows;) {
      const int count = rows - r < kTileRows ? rows - r : kTileRows;
      const auto tile = pair ? TileOf<Arithmetic, 2>(count) : TileOf<Arithmetic, 1>(count);
      const float* start = first.data ? first.data + r * first.stride + column : nullptr;
      tile(depth, {a.data + r * a.row, a.row, a.column}, {b.data + column, b.stride},
           {c.data + r * c.stride + column, c.stride}, {start, first.stride});
      r += count;
    }
  }
}

}  // namespace tfae
