// Vectors of floats by compiler extensions. Their width is the machine's, or what TFAE_LANES says:
// 4 (any machine, NEON), 8 (AVX) or 16 (AVX-512).
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef TFAE_LANES
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define TFAE_LANES 16
#elif defined(__AVX__)
#define TFAE_LANES 8
#else
#define TFAE_LANES 4
#endif
#endif

#if TFAE_LANES == 16 && defined(__AVX512F__) && defined(__AVX512DQ__)
#define TFAE_AVX512 1
#include <immintrin.h>
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define TFAE_BFLOAT16 1
#endif
#elif TFAE_LANES == 8 && defined(__AVX2__)
#define TFAE_AVX2 1
#include <immintrin.h>
#endif

namespace tfae {

constexpr int kLanes = TFAE_LANES;
#if defined(TFAE_AVX512) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(4 * TFAE_LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * TFAE_LANES)));
// In memory, at any float's address.
typedef float VecAnywhere __attribute__((vector_size(4 * TFAE_LANES), aligned(4), may_alias));

inline Vec Load(const float* from) { return *reinterpret_cast<const VecAnywhere*>(from); }
inline void Store(float* to, Vec value) { *reinterpret_cast<VecAnywhere*>(to) = value; }
inline Vec Broadcast(float value) { return value - Vec{}; }
inline Ints Bits(Vec value) { return reinterpret_cast<Ints>(value); }
inline Vec FromBits(Ints bits) { return reinterpret_cast<Vec>(bits); }
inline Vec Abs(Vec a) { return FromBits(Bits(a) & 0x7fffffff); }

// All bits in so many lanes from the first on, none in the others.
inline Ints FirstLanes(int count) {
  Ints lanes;
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane;
  return lanes < count;
}

// Where `a` is not a number, neither is the result: that a run diverged must show in its loss.
inline Vec Max(Vec a, Vec b) {
#ifdef TFAE_AVX512
  return reinterpret_cast<Vec>(
      _mm512_max_ps(reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(a)));
#elif defined(TFAE_AVX2)
  return reinterpret_cast<Vec>(
      _mm256_max_ps(reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(a)));
#else
  return b > a ? b : a;
#endif
}

inline Vec Min(Vec a, Vec b) {
#ifdef TFAE_AVX512
  return reinterpret_cast<Vec>(
      _mm512_min_ps(reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(a)));
#elif defined(TFAE_AVX2)
  return reinterpret_cast<Vec>(
      _mm256_min_ps(reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(a)));
#else
  return b < a ? b : a;
#endif
}

// x = n + fraction, n whole, fraction from 0 to 1. `exponent` is what TimesPowerOf2 takes for n.
struct Parts {
  Vec exponent, fraction;
};

// Of x from -126 to 127; of less, n is -126 or less.
inline Parts Split(Vec x) {
#ifdef TFAE_AVX512
  // The instruction below rounds down by itself.
  return {x, reinterpret_cast<Vec>(
                 _mm512_reduce_ps(reinterpret_cast<__m512>(x), _MM_FROUND_TO_NEG_INF))};
#else
  x = Max(x, Broadcast(-126.0f));
#ifdef TFAE_AVX2
  const Vec whole = reinterpret_cast<Vec>(_mm256_floor_ps(reinterpret_cast<__m256>(x)));
#else
  const Vec whole = (x - 0.5f + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: its last bit counts ones
#endif
  return {whole, x - whole};
#endif
}

// value 2^n.
inline Vec TimesPowerOf2(Vec value, Vec exponent) {
#ifdef TFAE_AVX512
  return reinterpret_cast<Vec>(
      _mm512_scalef_ps(reinterpret_cast<__m512>(value), reinterpret_cast<__m512>(exponent)));
#else
  return FromBits(Bits(value) + (__builtin_convertvector(exponent, Ints) << 23));
#endif
}

inline float Sum(Vec value) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += value[lane];
  return sum;
}

// Within two units in the last place.
inline Vec Reciprocal(Vec value) {
#ifdef TFAE_AVX512
  const Vec guess = reinterpret_cast<Vec>(_mm512_rcp14_ps(reinterpret_cast<__m512>(value)));
  return guess * (2.0f - value * guess);  // Newton's step doubles its 14 bits
#else
  return 1.0f / value;
#endif
}

inline Vec Sqrt(Vec value) {
#ifdef TFAE_AVX512
  return reinterpret_cast<Vec>(_mm512_sqrt_ps(reinterpret_cast<__m512>(value)));
#elif defined(TFAE_AVX2)
  return reinterpret_cast<Vec>(_mm256_sqrt_ps(reinterpret_cast<__m256>(value)));
#else
  for (int lane = 0; lane < kLanes; ++lane) value[lane] = __builtin_sqrtf(value[lane]);
  return value;
#endif
}

// 1 / sqrt, within two units in the last place, of normal numbers above 0.
inline Vec InverseSqrt(Vec value) {
#ifdef TFAE_AVX512
  const Vec guess = reinterpret_cast<Vec>(_mm512_rsqrt14_ps(reinterpret_cast<__m512>(value)));
  return guess * (1.5f - 0.5f * value * guess * guess);
#else
  return 1.0f / Sqrt(value);
#endif
}

// Bytes as floats, from 0 to 255.
inline Vec LoadBytes(const uint8_t* from) {
#ifdef TFAE_AVX512
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return reinterpret_cast<Vec>(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)));
#elif defined(TFAE_AVX2)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return reinterpret_cast<Vec>(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)));
#else
  float lanes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = from[lane];
  return Load(lanes);
#endif
}

inline Vec LoadNumbers(const float* from) { return Load(from); }
inline Vec LoadNumbers(const uint8_t* from) { return LoadBytes(from); }

#ifdef TFAE_BFLOAT16
// Two bfloat16 numbers, whose products with two others are added in one instruction.
struct Pair {
  uint16_t first, second;
};
typedef __m512i Pairs;  // kLanes of them

inline Pairs LoadPairs(const Pair* from) { return _mm512_loadu_si512(from); }
inline void StorePairs(Pair* to, Pairs pairs) { _mm512_storeu_si512(to, pairs); }
inline Pairs BroadcastPair(Pair pair) { return _mm512_set1_epi32(__builtin_bit_cast(int, pair)); }

inline Vec Dot(Pairs a, Pairs b, Vec sum) {
  return reinterpret_cast<Vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                reinterpret_cast<__m512bh>(a),
                                                reinterpret_cast<__m512bh>(b)));
}

// Pairs of neighbours, the first vector's before the second's.
inline Pairs Round(Vec first, Vec second) {
  return reinterpret_cast<Pairs>(_mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second),
                                                     reinterpret_cast<__m512>(first)));
}

// Those of one of the vectors that Round took, kLanes / 2 pairs.
inline void StoreFirst(Pair* to, Pairs rounded) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(rounded));
}
inline void StoreSecond(Pair* to, Pairs rounded) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_extracti64x4_epi64(rounded, 1));
}

// Pairs of a value of each vector that Round took.
inline Pairs Interleaved(Pairs rounded) {
  alignas(64) static constexpr uint16_t kOrder[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), rounded);
}

// Pairs of a value of `a` and one of `b`, 2 kLanes of them.
inline void StoreInterleaved(Pair* to, Pairs a, Pairs b) {
  alignas(64) static constexpr uint16_t kOrder[64] = {
      0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
      8,  40, 9,  41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47,
      16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
      24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
  StorePairs(to, _mm512_permutex2var_epi16(a, _mm512_load_si512(kOrder), b));
  StorePairs(to + kLanes, _mm512_permutex2var_epi16(a, _mm512_load_si512(kOrder + 32), b));
}
#endif

}  // namespace tfae
