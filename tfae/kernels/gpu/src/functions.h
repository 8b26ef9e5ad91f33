// Activations, losses and optimizers of one number, in float32.
#pragma once

#include "block.h"

#ifndef __CUDACC__
#include <cmath>
#endif

namespace tfae::gpu {

// In the order of the names in Python.
enum class Activation { kRelu, kElu, kSelu, kGelu, kSilu, kTanh, kSigmoid, kLinear };
enum class Loss { kBinaryCrossentropy, kMse, kMae, kHuber };
enum class Optimizer { kAdadelta, kAdam, kMomentum, kSgd };

constexpr int kSlotsOf[] = {2, 2, 1, 0};  // of an optimizer

// The processor's own, which a GPU approximates to some 2^-21, as little as rounding allows to see.
TFAE_DEVICE float Exp(float x) {
#ifdef __CUDACC__
  return __expf(x);
#else
  return std::exp(x);
#endif
}
TFAE_DEVICE float Log(float x) {
#ifdef __CUDACC__
  return __logf(x);
#else
  return std::log(x);
#endif
}

constexpr float kSeluScale = 1.05070098f, kSeluAlpha = 1.67326324f;

TFAE_DEVICE float Sigmoid(float z) {
  const float t = Exp(-fabsf(z));  // never above 1, so that nothing overflows
  return (z >= 0 ? 1.0f : t) / (1.0f + t);
}

TFAE_DEVICE float NormalCumulative(float z) { return 0.5f * erfcf(-0.70710678f * z); }

TFAE_DEVICE float Activate(Activation activation, float z) {
  switch (activation) {
    case Activation::kRelu: return z < 0 ? 0.0f : z;  // what is not a number stays so
    case Activation::kElu: return z > 0 ? z : expm1f(z);
    case Activation::kSelu: return kSeluScale * (z > 0 ? z : kSeluAlpha * expm1f(z));
    case Activation::kGelu: return z * NormalCumulative(z);
    case Activation::kSilu: return z * Sigmoid(z);
    case Activation::kTanh: return tanhf(z);
    case Activation::kSigmoid: return Sigmoid(z);
    default: return z;
  }
}

// The slope of an activation at z, where its value is a.
TFAE_DEVICE float SlopeOf(Activation activation, float z, float a) {
  switch (activation) {
    case Activation::kRelu: return a > 0 ? 1.0f : 0.0f;
    case Activation::kElu: return z > 0 ? 1.0f : a + 1.0f;
    case Activation::kSelu: return z > 0 ? kSeluScale : a + kSeluScale * kSeluAlpha;
    case Activation::kGelu: return NormalCumulative(z) + z * Exp(-0.5f * z * z) * 0.39894228f;
    case Activation::kSilu: {
      const float s = Sigmoid(z);
      return s * (1.0f + z * (1.0f - s));
    }
    case Activation::kTanh: return 1.0f - a * a;
    case Activation::kSigmoid: return a * (1.0f - a);
    default: return 1.0f;
  }
}

struct LossAndSlope {
  float loss, slope;  // the slope by the pre-activation
};

// The cross-entropy of a target x and a sigmoid of z.
TFAE_DEVICE LossAndSlope CrossEntropyOf(float z, float x) {
  const float t = Exp(-fabsf(z)), one_more = 1.0f + t;
  return {(z > 0 ? z : 0.0f) - z * x + Log(one_more), (z >= 0 ? 1.0f : t) / one_more - x};
}

// Another loss, of a target x and an activation of z.
TFAE_DEVICE LossAndSlope LossOf(Loss loss, Activation activation, float z, float x) {
  const float a = Activate(activation, z), e = a - x, slope = SlopeOf(activation, z, a);
  const float size = fabsf(e), sign = e > 0 ? 1.0f : (e < 0 ? -1.0f : 0.0f);
  switch (loss) {
    case Loss::kMse: return {e * e, 2.0f * e * slope};
    case Loss::kMae: return {size, sign * slope};
    default:  // Huber's, with a delta of 1
      return size <= 1.0f ? LossAndSlope{0.5f * e * e, e * slope}
                          : LossAndSlope{size - 0.5f, sign * slope};
  }
}

// What is taken from a parameter of that gradient; `first` and `second` are its slots. The
// constants are those of the CPU's kernels; Adam's rate has the bias correction in it.
TFAE_DEVICE float Step(Optimizer optimizer, const float* constants, float rate, float gradient,
                       float& first, float& second) {
  switch (optimizer) {
    case Optimizer::kAdadelta: {
      const float rho = constants[0], one_less_rho = constants[1], epsilon = constants[2];
      first = rho * first + one_less_rho * (gradient * gradient);
      const float update = gradient * sqrtf(second + epsilon) / sqrtf(first + epsilon);
      second = rho * second + one_less_rho * (update * update);
      return rate * update;
    }
    case Optimizer::kAdam: {
      first += (gradient - first) * constants[0];
      second += (gradient * gradient - second) * constants[1];
      return first * rate / (sqrtf(second) + constants[2]);
    }
    case Optimizer::kMomentum: {
      first = constants[0] * first - rate * gradient;
      return constants[1] != 0 ? rate * gradient - constants[0] * first : -first;
    }
    default: return rate * gradient;
  }
}

}  // namespace tfae::gpu
