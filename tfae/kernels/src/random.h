// TensorFlow's stateless random numbers by philox, many groups of four at a time.
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011; how a seed becomes a key and
// a counter, and bits become numbers, is as in TensorFlow, to the bit but for the logarithm and the
// circle of normal ones.
#pragma once

#include <algorithm>
#include <cstring>

#include "functions.h"

namespace tfae {

class Philox {
 public:
  static constexpr int kGroup = 4;   // numbers of a group
  static constexpr int kGroups = 32;  // at a time

  // Of a seed of two whole numbers, whose halves are a counter that is mixed once.
  Philox(int64_t first, int64_t second) {
    uint32_t words[kGroup][1] = {{Low(first)}, {High(first)}, {Low(second)}, {High(second)}};
    Mix(words, 0x3ec8f720, 0x02461e29);
    key_[0] = words[0][0], key_[1] = words[1][0];
    high_[0] = words[2][0], high_[1] = words[3][0];
  }

  // The groups from `begin` to `end`, as far as there are numbers, from 0 to below 1.
  void Uniform(int64_t begin, int64_t end, int64_t count, float* to) const {
    Draw(begin, end, count, to, [](const uint32_t (&words)[kGroup][kGroups], float* numbers) {
      for (int g = 0; g < kGroups; ++g) {
        for (int i = 0; i < kGroup; ++i) numbers[g * kGroup + i] = Fraction(words[i][g]);
      }
    });
  }

  // The same of mean 0 and deviation 1, by Box and Muller.
  void Normal(int64_t begin, int64_t end, int64_t count, float* to) const {
    Draw(begin, end, count, to, [](const uint32_t (&words)[kGroup][kGroups], float* numbers) {
      alignas(64) float radius[2][kGroups], angle[2][kGroups];
      for (int pair = 0; pair < 2; ++pair) {
        for (int g = 0; g < kGroups; ++g) {
          radius[pair][g] = std::max(Fraction(words[2 * pair][g]), 1e-7f);
          angle[pair][g] = static_cast<float>(2 * M_PI * Fraction(words[2 * pair + 1][g]));
        }
        for (int g = 0; g < kGroups; g += kLanes) {
          const Vec r = Sqrt(Log(Load(radius[pair] + g)) * -2.0f);
          Vec sine, cosine;
          Circle(Load(angle[pair] + g), &sine, &cosine);
          Store(radius[pair] + g, sine * r);
          Store(angle[pair] + g, cosine * r);
        }
      }
      for (int g = 0; g < kGroups; ++g) {
        for (int pair = 0; pair < 2; ++pair) {
          numbers[g * kGroup + 2 * pair] = radius[pair][g];
          numbers[g * kGroup + 2 * pair + 1] = angle[pair][g];
        }
      }
    });
  }

 private:
  static uint32_t Low(int64_t word) { return static_cast<uint32_t>(word); }
  static uint32_t High(int64_t word) {
    return static_cast<uint32_t>(static_cast<uint64_t>(word) >> 32);
  }

  // 23 bits as a number from 0 to below 1.
  static float Fraction(uint32_t word) {
    const uint32_t bits = (word & 0x7fffff) | 0x3f800000;
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number - 1.0f;
  }

  // Sine and cosine of angles from 0 to 2 pi.
  static void Circle(Vec angle, Vec* sine, Vec* cosine) {
    const Vec quarters = (angle * 0.63661977f + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23
    Vec x = angle - quarters * 1.5703125f;  // less pi / 2 each, in three parts
    x = x - quarters * 4.8375129699707e-4f;
    x = x - quarters * 7.5497899487686e-8f;
    const Vec square = x * x;
    Vec s = Broadcast(-1.9515295891e-4f);
    s = s * square + 8.3321608736e-3f;
    s = s * square - 1.6666654611e-1f;
    s = s * square * x + x;
    Vec c = Broadcast(2.443315711809948e-5f);
    c = c * square - 1.388731625493765e-3f;
    c = c * square + 4.166664568298827e-2f;
    c = c * square * square - square * 0.5f + 1.0f;
    const Ints quarter = __builtin_convertvector(quarters, Ints);
    const Ints swapped = (quarter & 1) != 0;
    const Ints sine_sign = (quarter & 2) << 30, cosine_sign = ((quarter + 1) & 2) << 30;
    *sine = FromBits(((Bits(c) & swapped) | (Bits(s) & ~swapped)) ^ sine_sign);
    *cosine = FromBits(((Bits(s) & swapped) | (Bits(c) & ~swapped)) ^ cosine_sign);
  }

  template <int N>
  static void Mix(uint32_t (&words)[kGroup][N], uint32_t key, uint32_t other_key) {
    for (int round = 0; round < 10; ++round) {
      for (int g = 0; g < N; ++g) {
        const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * words[0][g];
        const uint64_t b = static_cast<uint64_t>(0xCD9E8D57u) * words[2][g];
        const uint32_t first = static_cast<uint32_t>(b >> 32) ^ words[1][g] ^ key;
        const uint32_t third = static_cast<uint32_t>(a >> 32) ^ words[3][g] ^ other_key;
        words[0][g] = first;
        words[1][g] = static_cast<uint32_t>(b);
        words[2][g] = third;
        words[3][g] = static_cast<uint32_t>(a);
      }
      key += 0x9E3779B9u;
      other_key += 0xBB67AE85u;
    }
  }

  template <typename F>
  void Draw(int64_t begin, int64_t end, int64_t count, float* to, F numbers) const {
    alignas(64) uint32_t words[kGroup][kGroups];
    alignas(64) float drawn[kGroup * kGroups];
    for (int64_t first = begin; first < end; first += kGroups) {
      for (int g = 0; g < kGroups; ++g) {
        words[0][g] = Low(first + g), words[1][g] = High(first + g);
        words[2][g] = high_[0], words[3][g] = high_[1];
      }
      Mix(words, key_[0], key_[1]);
      numbers(words, drawn);
      const int64_t at = first * kGroup;
      const int64_t taken = std::min(std::min<int64_t>(first + kGroups, end) * kGroup, count) - at;
      std::copy_n(drawn, taken, to + at);
    }
  }

  uint32_t key_[2], high_[2];
};

}  // namespace tfae
