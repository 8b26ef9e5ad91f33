// bfloat16 and float16 numbers as their bits, rounded to the nearest, ties to even.
#pragma once

#include <cstdint>

#include "block.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#else
#include <cmath>
#include <cstring>
#endif

namespace tfae::gpu {

// Halves side by side, which are stored at once.
template <int kCount>
struct alignas(2 * kCount) Halves {
  uint16_t at[kCount];
};

struct BFloat16 {
  static constexpr bool kScalesLoss = false;
  TFAE_DEVICE static uint16_t Round(float value) {
#ifdef __CUDACC__
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
    if (std::isnan(value)) return 0x7fc0;
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
  }
#ifndef __CUDACC__
  static float Value(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
#endif
};

struct Float16 {
  static constexpr bool kScalesLoss = true;  // its exponents do not reach down to the gradients
  TFAE_DEVICE static uint16_t Round(float value) {
#ifdef __CUDACC__
    return __half_as_ushort(__float2half_rn(value));
#else
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const float size = std::fabs(value);
    if (std::isnan(value)) return 0x7e00;
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < 6.1035156e-5f) return sign | static_cast<uint16_t>(std::nearbyint(size * 0x1p24f));
    uint32_t bits;
    std::memcpy(&bits, &size, 4);
    return sign | static_cast<uint16_t>(((bits + 0xfff + (bits >> 13 & 1)) >> 13) - (112 << 10));
#endif
  }
#ifndef __CUDACC__
  static float Value(uint16_t half) {
    const int exponent = half >> 10 & 31, digits = half & 1023;
    const float size = exponent == 31 ? (digits ? NAN : INFINITY)
                       : exponent     ? std::ldexp(1024.0f + digits, exponent - 25)
                                      : std::ldexp(static_cast<float>(digits), -24);
    return half & 0x8000 ? -size : size;
  }
#endif
};

}  // namespace tfae::gpu
