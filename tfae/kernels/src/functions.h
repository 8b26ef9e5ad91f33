// Elementary functions, activations and losses of vectors, in float32.
#pragma once

#include <cmath>

#include "stack.h"

namespace tfae {

// e^x of numbers up to 0, in place; below -87 it is something below 2e-38. Its relative error is
// x's rounding, up to 4e-6 at -87: of sums with numbers of order 1, as all here are, that leaves
// less than their own rounding. Several vectors at once keep the processor busy where one would
// wait.
template <int N>
[[gnu::always_inline]] inline void Exp(Vec (&x)[N]) {
  // e^x = 2^n 2^f, of which 2^f by the polynomial whose largest relative error, 2e-9, is the least.
  constexpr float kPolynomial[] = {2.1702256e-4f, 1.2439688e-3f, 9.6788410e-3f, 5.5483342e-2f,
                                   2.4022984e-1f, 6.9314698e-1f, 1.0f};
  Parts parts[N];
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) parts[i] = Split(x[i] * 1.44269504f);
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) x[i] = Broadcast(kPolynomial[0]);
#pragma GCC unroll 6
  for (int k = 1; k < 7; ++k) {
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) x[i] = x[i] * parts[i].fraction + kPolynomial[k];
  }
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) x[i] = TimesPowerOf2(x[i], parts[i].exponent);
}

inline Vec Exp(Vec x) {
  Vec values[] = {x};
  Exp(values);
  return values[0];
}

// e^x - 1 of numbers up to 0, which keeps the digits of those near 0.
inline Vec ExpMinusOne(Vec x) {
  Vec series = Broadcast(1.0f / 5040);  // e^x's, as far as 0.35^7 / 8! can be told from 0
  series = series * x + 1.0f / 720;
  series = series * x + 1.0f / 120;
  series = series * x + 1.0f / 24;
  series = series * x + 1.0f / 6;
  series = series * x + 0.5f;
  return x > -0.35f ? series * x * x + x : Exp(x) - 1.0f;
}

// ln x of normal numbers above 0, within 3 units in the last place.
inline Vec Log(Vec x) {
  // x = 2^e m, m from sqrt(1/2) to sqrt(2).
  const Ints bits = Bits(x) - 0x3f3504f3;
  const Vec e = __builtin_convertvector(bits >> 23, Vec);
  const Vec m = FromBits((bits & 0x7fffff) + 0x3f3504f3);
  // ln m = 2 atanh((m - 1) / (m + 1)) by its series; the ratio is at most 0.172.
  const Vec ratio = (m - 1.0f) / (m + 1.0f);
  const Vec square = ratio * ratio;
  Vec series = Broadcast(2.0f / 9);
  series = series * square + 2.0f / 7;
  series = series * square + 2.0f / 5;
  series = series * square + 2.0f / 3;
  series = series * square + 2.0f;
  return e * 0.69314718f + ratio * series;
}

// ln(1 + x) of numbers from 0 on, small ones with all their digits.
inline Vec LogOnePlus(Vec x) {
  const Vec sum = x + 1.0f;
  return Log(sum) + (x - (sum - 1.0f)) * Reciprocal(sum);  // and what the sum rounded off
}

inline Vec Sigmoid(Vec z) {
  const Vec t = Exp(-Abs(z));  // never above 1, so that nothing overflows
  const Vec s = Reciprocal(t + 1.0f);
  return z >= 0.0f ? s : t * s;
}

// What an activation gives for a pre-activation z, and its slope there, from z and what it gave.
struct Relu {
  static Vec Value(Vec z) { return Max(z, Vec{}); }
  static Vec Slope(Vec, Vec a) { return a > 0.0f ? Broadcast(1.0f) : Vec{}; }
};

struct Elu {
  static Vec Value(Vec z) { return z > 0.0f ? z : ExpMinusOne(Min(z, Vec{})); }
  static Vec Slope(Vec z, Vec a) { return z > 0.0f ? Broadcast(1.0f) : a + 1.0f; }
};

struct Selu {
  static constexpr float kScale = 1.05070098f, kAlpha = 1.67326324f;
  static Vec Value(Vec z) { return z > 0.0f ? z * kScale : Elu::Value(z) * (kScale * kAlpha); }
  static Vec Slope(Vec z, Vec a) { return z > 0.0f ? Broadcast(kScale) : a + kScale * kAlpha; }
};

struct Gelu {
  static Vec Cumulative(Vec z) {
    for (int lane = 0; lane < kLanes; ++lane) z[lane] = 0.5f * std::erfc(-0.70710678f * z[lane]);
    return z;
  }
  static Vec Value(Vec z) { return z * Cumulative(z); }
  static Vec Slope(Vec z, Vec) {
    return Cumulative(z) + z * Exp(z * z * -0.5f) * 0.39894228f;
  }
};

struct Silu {
  static Vec Value(Vec z) { return z * Sigmoid(z); }
  static Vec Slope(Vec z, Vec) {
    const Vec s = Sigmoid(z);
    return s * (1.0f + z * (1.0f - s));
  }
};

struct Tanh {
  static Vec Value(Vec z) {
    // (1 - e^-2|z|) / (1 + e^-2|z|) loses digits near 0, where the series has them.
    const Vec t = Exp(Abs(z) * -2.0f);
    const Vec far = (1.0f - t) * Reciprocal(t + 1.0f);
    const Vec square = z * z;
    Vec p = Broadcast(-5.70498872745e-3f);
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    const Vec near = p * square * z + z;
    return Abs(z) < 0.625f ? near : (z < 0.0f ? -far : far);
  }
  static Vec Slope(Vec, Vec a) { return 1.0f - a * a; }
};

struct Logistic {
  static Vec Value(Vec z) { return Sigmoid(z); }
  static Vec Slope(Vec, Vec a) { return a * (1.0f - a); }
};

struct Linear {
  static Vec Value(Vec z) { return z; }
  static Vec Slope(Vec, Vec) { return Broadcast(1.0f); }
};

// Calls function(the activation's functions) for the one that is named.
template <typename F>
auto WithActivation(Activation activation, F function) {
  switch (activation) {
    case Activation::kRelu: return function(Relu());
    case Activation::kElu: return function(Elu());
    case Activation::kSelu: return function(Selu());
    case Activation::kGelu: return function(Gelu());
    case Activation::kSilu: return function(Silu());
    case Activation::kTanh: return function(Tanh());
    case Activation::kSigmoid: return function(Logistic());
    default: return function(Linear());
  }
}

// A loss of an error e = reconstruction - target, and its slope.
struct SquaredError {
  static Vec Value(Vec e) { return e * e; }
  static Vec Slope(Vec e) { return e + e; }
};

struct AbsoluteError {
  static Vec Value(Vec e) { return Abs(e); }
  static Vec Slope(Vec e) {
    return e > 0.0f ? Broadcast(1.0f) : (e < 0.0f ? Broadcast(-1.0f) : Vec{});
  }
};

struct Huber {  // with a delta of 1
  static Vec Value(Vec e) { return Abs(e) <= 1.0f ? 0.5f * e * e : Abs(e) - 0.5f; }
  static Vec Slope(Vec e) { return Max(Min(e, Broadcast(1.0f)), Broadcast(-1.0f)); }
};

// What adds up a loss: Add takes N vectors of pre-activations z with their targets x, and gives the
// slopes by z; Fold, called for every kFoldRows vectors at the least, makes `sum` theirs.
constexpr int kFoldRows = 32;

// Of an activation's error.
template <typename Activation, typename Loss>
struct ErrorSum {
  template <int N>
  [[gnu::always_inline]] void Add(const Vec (&z)[N], const Vec (&x)[N], Vec (&slopes)[N]) {
    for (int i = 0; i < N; ++i) {
      const Vec a = Activation::Value(z[i]), error = a - x[i];
      sum += Loss::Value(error);
      slopes[i] = Loss::Slope(error) * Activation::Slope(z[i], a);
    }
  }
  void Fold() {}

  Vec sum = {};
};

// Cross-entropy of a sigmoid: max(z, 0) - z x + log(1 + t), t = e^-|z|. The factors 1 + t, at most
// 2, are multiplied before their logarithm is taken; the product is kept less 1, for the sake of
// small t.
struct CrossEntropySum {
  template <int N>
  [[gnu::always_inline]] void Add(const Vec (&z)[N], const Vec (&x)[N], Vec (&slopes)[N]) {
    Vec t[N];
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) t[i] = -Abs(z[i]);
    Exp(t);
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      sum += Max(z[i], Vec{}) - z[i] * x[i];
      product = product * t[i] + (product + t[i]);
      const Vec inverse = Reciprocal(t[i] + 1.0f);
      slopes[i] = (z[i] >= 0.0f ? inverse : t[i] * inverse) - x[i];
    }
  }
  void Fold() {
    sum += LogOnePlus(product);
    product = Vec{};
  }

  Vec sum = {}, product = {};
};

}  // namespace tfae
