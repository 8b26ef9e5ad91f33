// Matrices turned round, in registers where these are wide enough.
#pragma once

#include "simd.h"

namespace tfae {

#ifdef TFAE_AVX512
// to[j, i] = from[i, j] of 16 rows and 16 columns of 4 bytes each.
inline void TransposeSquare(const void* from, ptrdiff_t from_stride, void* to,
                            ptrdiff_t to_stride) {
  __m512 rows[16], pairs[16], fours[16];  // of four rows, each quarter has a column
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    rows[r] = _mm512_loadu_ps(static_cast<const float*>(from) + r * from_stride);
  }
#pragma GCC unroll 8
  for (int r = 0; r < 16; r += 2) {
    pairs[r] = _mm512_unpacklo_ps(rows[r], rows[r + 1]);
    pairs[r + 1] = _mm512_unpackhi_ps(rows[r], rows[r + 1]);
  }
  const auto unpack = [&](auto half, int a, int b) {
    return _mm512_castpd_ps(half(_mm512_castps_pd(pairs[a]), _mm512_castps_pd(pairs[b])));
  };
#pragma GCC unroll 4
  for (int r = 0; r < 16; r += 4) {
    const auto low = [](auto a, auto b) { return _mm512_unpacklo_pd(a, b); };
    const auto high = [](auto a, auto b) { return _mm512_unpackhi_pd(a, b); };
    fours[r] = unpack(low, r, r + 2);
    fours[r + 1] = unpack(high, r, r + 2);
    fours[r + 2] = unpack(low, r + 1, r + 3);
    fours[r + 3] = unpack(high, r + 1, r + 3);
  }
  const auto store = [&](int column, __m512 values) {
    _mm512_storeu_ps(static_cast<float*>(to) + column * to_stride, values);
  };
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 even = _mm512_shuffle_f32x4(fours[c], fours[4 + c], 0x88);
    const __m512 odd = _mm512_shuffle_f32x4(fours[c], fours[4 + c], 0xdd);
    const __m512 even_below = _mm512_shuffle_f32x4(fours[8 + c], fours[12 + c], 0x88);
    const __m512 odd_below = _mm512_shuffle_f32x4(fours[8 + c], fours[12 + c], 0xdd);
    store(c, _mm512_shuffle_f32x4(even, even_below, 0x88));
    store(4 + c, _mm512_shuffle_f32x4(odd, odd_below, 0x88));
    store(8 + c, _mm512_shuffle_f32x4(even, even_below, 0xdd));
    store(12 + c, _mm512_shuffle_f32x4(odd, odd_below, 0xdd));
  }
}
#elif defined(TFAE_AVX2)
// to[j, i] = from[i, j] of 8 rows and 8 columns of 4 bytes each.
inline void TransposeSquare(const void* from, ptrdiff_t from_stride, void* to,
                            ptrdiff_t to_stride) {
  __m256 rows[8], pairs[8], fours[8];  // of four rows, each half has a column
  for (int r = 0; r < 8; ++r) {
    rows[r] = _mm256_loadu_ps(static_cast<const float*>(from) + r * from_stride);
  }
  for (int r = 0; r < 8; r += 2) {
    pairs[r] = _mm256_unpacklo_ps(rows[r], rows[r + 1]);
    pairs[r + 1] = _mm256_unpackhi_ps(rows[r], rows[r + 1]);
  }
  for (int r = 0; r < 8; r += 4) {
    fours[r] = _mm256_shuffle_ps(pairs[r], pairs[r + 2], 0x44);
    fours[r + 1] = _mm256_shuffle_ps(pairs[r], pairs[r + 2], 0xee);
    fours[r + 2] = _mm256_shuffle_ps(pairs[r + 1], pairs[r + 3], 0x44);
    fours[r + 3] = _mm256_shuffle_ps(pairs[r + 1], pairs[r + 3], 0xee);
  }
  for (int c = 0; c < 4; ++c) {
    float* const column = static_cast<float*>(to) + c * to_stride;
    _mm256_storeu_ps(column, _mm256_permute2f128_ps(fours[c], fours[4 + c], 0x20));
    _mm256_storeu_ps(column + 4 * to_stride,
                     _mm256_permute2f128_ps(fours[c], fours[4 + c], 0x31));
  }
}
#endif

// to[j, i] = from[i, j], of elements of 4 bytes.
template <typename T>
void Transpose(int rows, int columns, const T* from, ptrdiff_t from_stride, T* to,
               ptrdiff_t to_stride) {
  static_assert(sizeof(T) == 4);
  int done = 0;  // rows, but for the columns that are left over
#if defined(TFAE_AVX512) || defined(TFAE_AVX2)
  for (; done + kLanes <= rows; done += kLanes) {
    for (int j = 0; j + kLanes <= columns; j += kLanes) {
      TransposeSquare(from + done * from_stride + j, from_stride, to + j * to_stride + done,
                      to_stride);
    }
  }
#endif
  for (int j = 0; j < columns; ++j) {
    for (int i = j < columns / kLanes * kLanes ? done : 0; i < rows; ++i) {
      to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}

}  // namespace tfae
