// Which of a row's values are not zero.
#pragma once

#include "simd.h"

namespace tfae {

// How far beyond the last position NonZero may write.
constexpr int kNonZeroRoom = 64;

#ifdef TFAE_AVX2
// The positions of the bits of each byte, from the lowest on.
struct BitPositions {
  uint8_t of[256][8] = {};
  constexpr BitPositions() {
    for (int mask = 0; mask < 256; ++mask) {
      for (int bit = 0, found = 0; bit < 8; ++bit) {
        if (mask >> bit & 1) of[mask][found++] = bit;
      }
    }
  }
};

// Writes where an 8-bit mask has bits, counted from `first` on, and returns how many. Writes eight
// numbers at any rate.
inline int StorePositions(int mask, int first, uint16_t* to) {
  alignas(64) static constexpr BitPositions kPositions;
  const __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kPositions.of[mask]));
  const __m128i offset = _mm_set1_epi16(static_cast<int16_t>(first));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_add_epi16(_mm_cvtepu8_epi16(bits), offset));
  return __builtin_popcount(mask);
}
#endif

// Writes the positions of `count` values, whole vectors, that are not zero, and returns how many.
template <typename T>
int NonZero(const T* values, int count, uint16_t* to) {
  int found = 0;
#ifdef TFAE_AVX512
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int first = 0; first < count; first += kLanes) {
    const auto vector = reinterpret_cast<__m512>(LoadNumbers(values + first));
    const __mmask16 mask = _mm512_cmp_ps_mask(vector, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __m512i here = _mm512_add_epi32(lanes, _mm512_set1_epi32(first));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + found),
                        _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(mask, here)));
    found += __builtin_popcount(mask);
  }
#elif defined(TFAE_AVX2)
  for (int first = 0; first < count; first += kLanes) {
    const auto vector = reinterpret_cast<__m256>(LoadNumbers(values + first));
    const int mask = _mm256_movemask_ps(_mm256_cmp_ps(vector, _mm256_setzero_ps(), _CMP_NEQ_UQ));
    found += StorePositions(mask, first, to + found);
  }
#else
  for (int i = 0; i < count; ++i) {
    to[found] = i;
    found += values[i] != 0;
  }
#endif
  return found;
}

#if defined(TFAE_AVX512) && defined(__AVX512BW__) && defined(__AVX512VBMI2__)
// Bytes, 64 at a time.
inline int NonZero(const uint8_t* values, int count, uint16_t* to) {
  alignas(64) static constexpr uint8_t kPositions[64] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
      22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
      44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  const __m512i all = _mm512_load_si512(kPositions);
  int found = 0;
  for (int first = 0; first < count; first += 64) {
    const __mmask64 within = count - first < 64 ? (1ull << (count - first)) - 1 : ~0ull;
    const __m512i bytes = _mm512_maskz_loadu_epi8(within, values + first);
    const __mmask64 mask = _mm512_test_epi8_mask(bytes, bytes);
    const __m512i positions = _mm512_maskz_compress_epi8(mask, all);
    const __m512i offset = _mm512_set1_epi16(static_cast<int16_t>(first));
    const auto store = [&](uint16_t* at, __m256i half) {
      _mm512_storeu_si512(at, _mm512_add_epi16(offset, _mm512_cvtepu8_epi16(half)));
    };
    const int here = __builtin_popcountll(mask);
    store(to + found, _mm512_castsi512_si256(positions));
    if (here > 32) store(to + found + 32, _mm512_extracti64x4_epi64(positions, 1));
    found += here;
  }
  return found;
}
#elif defined(TFAE_AVX2)
// Bytes, a vector's at a time.
inline int NonZero(const uint8_t* values, int count, uint16_t* to) {
  int found = 0;
  for (int first = 0; first < count; first += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + first));
    unsigned mask = ~_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256()));
    if (count - first < 32) mask &= (1u << (count - first)) - 1;
    for (int part = 0; part < 32; part += 8) {
      found += StorePositions(mask >> part & 0xff, first + part, to + found);
    }
  }
  return found;
}
#endif

}  // namespace tfae
