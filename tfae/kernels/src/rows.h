// The rows that come in.
#pragma once

#include <algorithm>

#include "simd.h"

namespace tfae {

// Rows that a thread takes at a time, or twice as many where it has only some of their columns:
// their activations stay in its second-level cache.
constexpr int kBlockRows = 128;
// A thread is worth its meetings with the others from so many rows on.
constexpr int kRowsAThread = 8;

// Bytes from 0 to 255, seen as 0 to 1, or floats, seen as (x - center) / width
// where these are given.
template <typename T>
struct Rows {
  const T* data;
  ptrdiff_t stride;  // from row to row
  const float* center = nullptr;
  const float* width = nullptr;
};

// Which rows an epoch takes, one after the other.
struct Order {
  const int32_t* rows;
  int64_t count;
};

inline int ThreadsFor(int64_t rows, int threads) {
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, rows / kRowsAThread)));
}

// What a stored number counts.
template <typename T>
constexpr float kUnit = 1.0f;
template <>
constexpr float kUnit<uint8_t> = 1.0f / 255;

template <typename T>
float Value(T number) {
  return number * kUnit<T>;
}

template <typename T>
Vec LoadValues(const T* from) {
  return LoadNumbers(from) * kUnit<T>;
}

}  // namespace tfae
