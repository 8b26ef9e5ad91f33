// A block's gradients, as sums over the rows that it is given part by part.
#pragma once

#include "outputs.h"
#include "tile.h"

namespace tfae::gpu {

constexpr int kMostParts = 8;  // of the rows of a kernel's gradient; their sum is unrolled

// Adds up the columns of sums [count, columns] to a bias' gradient, which the first rows begin.
TFAE_DEVICE void AddBiasGradient(const Block& block, const float* sums, int count, int columns,
                                 bool begins, float* to) {
  block.ForEachByWarp(columns, [&](int column) {
    const float sum = block.SumByWarp(count, [&](int i) { return sums[i * columns + column]; });
    if (block.IsFirstOfWarp()) to[column] = (begins ? 0.0f : to[column]) + sum;
  });
}

// Adds the product of left [m, rows] and right [rows, n] to a kernel's gradient [m, n], which the
// first rows begin. Where there are fewer tiles than warps, the rows of each are split.
//
// Args:
//   row_tiles: How many tiles of rows.
//   scratch: Room for so many floats.
template <typename Half>
TFAE_DEVICE void AddKernelGradient(const Block& block, Matrix<kByColumns> left, int m,
                                   Matrix<kByRows> right, int n, int row_tiles, bool begins,
                                   float* scratch, int room, float* to) {
  const int columns = n / kTile, tiles = m / kTile * columns;
  const Divisor by_tiles(tiles);
  const auto least = [](int a, int b) { return a < b ? a : b; };
  const int parts = least(least(Divisor(m * n).Quotient(room), kMostParts),
                          least(by_tiles.Quotient(kWarps), row_tiles));
  if (parts < 2) {
    block.ForEachTile(m / kTile, columns, [&](int i, int j) {
      Tile tile;
      MultiplyAdd<Half>(tile, left.From(i * kTile, 0), right.From(0, j * kTile), row_tiles * kTile);
      tile.ForEachPair([&](int r, int c, float first, float second) {
        float* sum = to + (i * kTile + r) * n + j * kTile + c;
        sum[0] = (begins ? 0.0f : sum[0]) + first;
        sum[1] = (begins ? 0.0f : sum[1]) + second;
      });
    });
    block.Sync();
    return;
  }
  const Divisor by_columns(columns), by_parts(parts);
  block.ForEachByWarp(tiles * parts, [&](int item) {
    const int part = by_tiles.Quotient(item), at_tile = by_tiles.Remainder(item);
    const int i = by_columns.Quotient(at_tile), j = by_columns.Remainder(at_tile);
    const int begin = by_parts.Quotient(row_tiles * part) * kTile;
    const int end = by_parts.Quotient(row_tiles * (part + 1)) * kTile;
    Tile tile;
    MultiplyAdd<Half>(tile, left.From(i * kTile, begin), right.From(begin, j * kTile), end - begin);
    tile.ForEachPair([&](int r, int c, float first, float second) {
      float* put = scratch + part * m * n + (i * kTile + r) * n + j * kTile + c;
      *reinterpret_cast<Pair*>(put) = {first, second};
    });
  });
  block.Sync();
  block.ForEach(m * n, [&](int i) {
    float sum = begins ? 0.0f : to[i];
    TFAE_UNROLL for (int part = 0; part < kMostParts; ++part) {
      if (part < parts) sum += scratch[part * m * n + i];
    }
    to[i] = sum;
  });
  block.Sync();
}

}  // namespace tfae::gpu
