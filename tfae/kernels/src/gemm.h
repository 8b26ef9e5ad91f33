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
constexpr int kTileRows = kRegisters == 32 ? 12 : 6;

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

// C[R, V vectors] = first + A[R, depth] B[depth, V vectors], `depth` in units, for `count` tiles
// one below the other. `first` may be C itself, one row for all (a stride of 0) or nothing at all.
template <typename Arithmetic, int R, int V>
void Tiles(int count, int depth, Strided<typename Arithmetic::Unit> a,
           RowMajor<const typename Arithmetic::Unit> b, RowMajor<float> c,
           RowMajor<const float> first) {
  for (int tile = 0; tile < count; ++tile) {
    Vec sums[R][V] = {};
    const auto* left = a.data;
    const auto* right = b.data;
    for (int k = 0; k < depth; ++k) {
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const auto factor = Arithmetic::Spread(left[r * a.row]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
          sums[r][v] = Arithmetic::MultiplyAdd(factor, right + v * kLanes, sums[r][v]);
        }
      }
      left += a.column;
      right += b.stride;
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        Vec sum = sums[r][v];
        if (first.data) sum += Load(first.data + r * first.stride + v * kLanes);
        Store(c.data + r * c.stride + v * kLanes, sum);
      }
    }
    a.data += R * a.row;
    c.data += R * c.stride;
    if (first.data) first.data += R * first.stride;
  }
}

// Tiles<Arithmetic, R, V> for each R from 1 to kTileRows.
template <typename Arithmetic, int V, size_t... R>
constexpr auto AllTiles(std::index_sequence<R...>) {
  return std::array{Tiles<Arithmetic, static_cast<int>(R) + 1, V>...};
}

template <typename Arithmetic, int V>
auto TilesOf(int rows) {
  static constexpr auto kTiles = AllTiles<Arithmetic, V>(std::make_index_sequence<kTileRows>());
  return kTiles[rows - 1];
}

// C[rows, vectors] = first + A[rows, depth] B[depth, vectors], as in Tiles.
template <typename Arithmetic>
void Product(int rows, int vectors, int depth, Strided<typename Arithmetic::Unit> a,
             RowMajor<const typename Arithmetic::Unit> b, RowMajor<float> c,
             RowMajor<const float> first) {
  for (int v = 0; v < vectors; v += 2) {
    const ptrdiff_t column = v * kLanes;
    const bool pair = v + 1 < vectors;
    const auto strip = [&](int r, int count, int height) {
      const auto tiles = pair ? TilesOf<Arithmetic, 2>(height) : TilesOf<Arithmetic, 1>(height);
      const float* start = first.data ? first.data + r * first.stride + column : nullptr;
      tiles(count, depth, {a.data + r * a.row, a.row, a.column}, {b.data + column, b.stride},
            {c.data + r * c.stride + column, c.stride}, {start, first.stride});
    };
    const int whole = rows / kTileRows, rest = rows % kTileRows;
    if (whole) strip(0, whole, kTileRows);
    if (rest) strip(rows - rest, 1, rest);
  }
}

}  // namespace tfae
