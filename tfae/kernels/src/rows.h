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

inline float Value(float value) { return value; }
inline float Value(uint8_t byte) { return byte * (1.0f / 255); }
inline Vec LoadValues(const float* from) { return Load(from); }
inline Vec LoadValues(const uint8_t* from) { return LoadBytes(from); }

}  // namespace tfae
