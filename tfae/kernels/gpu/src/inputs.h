// A batch's rows, as the products and the loss read them.
#pragma once

#include "exchange.h"
#include "settings.h"
#include "tile.h"

namespace tfae::gpu {

constexpr int kSkew = 8;  // a matrix' rows in shared memory begin in different banks

// The value of feature f that is stored as such a number.
TFAE_DEVICE float ValueOf(const Settings&, uint8_t stored, int) { return stored * (1 / 255.0f); }
TFAE_DEVICE float ValueOf(const Settings& s, float stored, int f) {
  return s.center ? (stored - s.center[f]) / s.width[f] : stored;
}

// Four of a row's features, which are loaded at once where they lie so that that can be.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T at[4];
};

// The first `count` of them are in the row.
template <typename T>
TFAE_DEVICE Four<T> FourOf(const T* from, int count) {
  if (count >= 4 && reinterpret_cast<uintptr_t>(from) % sizeof(Four<T>) == 0) {
    return *reinterpret_cast<const Four<T>*>(from);
  }
  Four<T> four = {};
  for (int i = 0; i < 4; ++i) {
    if (i < count) four.at[i] = from[i];
  }
  return four;
}

template <typename Half>
TFAE_DEVICE void PutRounded(uint16_t* to, const Quad& quad) {
  Halves<4> halves;
  for (int j = 0; j < 4; ++j) halves.at[j] = Half::Round(quad.at[j]);
  *reinterpret_cast<Halves<4>*>(to) = halves;
}

// Some features of the rows that `order` names, the first `pixels` of a slice that begins with
// feature `first`: as floats, and rounded, [rows in whole tiles, slice + kSkew] each. What is beyond
// them is 0.
template <typename Half, typename T>
TFAE_DEVICE void LoadRows(const Block& block, const Settings& s, const int32_t* order, int rows,
                          int first, int pixels, float* raw, uint16_t* rounded) {
  const int quads = s.slice / 4, padded = (rows + kTile - 1) / kTile * kTile;
  const Divisor by_quads(quads);
  block.ForEachLoaded(
      padded * quads,
      [&](int i) {
        const int row = by_quads.Quotient(i);
        return row < rows ? order[row] : 0;
      },
      [&](int i, int row) {
        const T* from = static_cast<const T*>(s.rows) + static_cast<size_t>(row) * s.features;
        const int pixel = by_quads.Remainder(i) * 4;
        return FourOf(from + first + pixel, pixels - pixel);
      },
      [&](int i, const Four<T>& four) {
        const int row = by_quads.Quotient(i), pixel = by_quads.Remainder(i) * 4;
        Quad values = {};
        for (int j = 0; j < 4; ++j) {
          if (row < rows && pixel + j < pixels) {
            values.at[j] = ValueOf(s, four.at[j], first + pixel + j);
          }
        }
        const int at = row * (s.slice + kSkew) + pixel;
        *reinterpret_cast<Quad*>(raw + at) = values;
        PutRounded<Half>(rounded + at, values);
      });
  block.Sync();
}

}  // namespace tfae::gpu
