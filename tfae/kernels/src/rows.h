// The rows that come in.
#pragma once

#include "simd.h"

namespace tfae {

// Rows that a thread takes at a time: their activations stay in its second-level cache.
constexpr int kBlockRows = 128;

// Bytes from 0 to 255, seen as 0 to 1, or floats, seen as (x - center) / width
// where these are given.
template <typename T>
struct Rows {
  const T* data;
  const float* center = nullptr;
  const float* width = nullptr;
};

// What a stored number counts.
template <typename T>
constexpr float kUnit = 1.0f;
template <>
constexpr float kUnit<uint8_t> = 1.0f / 255;

inline Vec LoadNumbers(const float* from) { return Load(from); }
inline Vec LoadNumbers(const uint8_t* from) { return LoadBytes(from); }

template <typename T>
float Value(T number) {
  return number * kUnit<T>;
}

template <typename T>
Vec LoadValues(const T* from) {
  return LoadNumbers(from) * kUnit<T>;
}

}  // namespace tfae
