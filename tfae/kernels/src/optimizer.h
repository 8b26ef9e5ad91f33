// Adadelta, Adam and SGD, a vector of parameters at a time, as tfae/nn/optimizers.py has them. What is
// left of 1 comes from outside: in float32, 1 - 0.999 is off by a part in 80,000.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "simd.h"

namespace tfae {

struct Adadelta {
  static constexpr int kConstants = 3, kSlots = 2;
  static Adadelta From(const std::vector<float>& c) { return {c[0], c[1], c[2]}; }
  float rho, one_less_rho, epsilon;

  Vec Update(Vec grad, float* const* slots, float rate) const {
    const Vec mean_grad2 = rho * Load(slots[0]) + one_less_rho * (grad * grad);
    const Vec old_update2 = Load(slots[1]);
    // sqrt(a) / sqrt(b) = a / sqrt(a b), with one root and no division.
    const Vec a = old_update2 + epsilon, b = mean_grad2 + epsilon;
    const Vec update = grad * a * InverseSqrt(a * b);
    Store(slots[0], mean_grad2);
    Store(slots[1], rho * old_update2 + one_less_rho * (update * update));
    return rate * update;
  }
};

struct Adam {  // the rate has the bias correction in it
  static constexpr int kConstants = 3, kSlots = 2;
  static Adam From(const std::vector<float>& c) { return {c[0], c[1], c[2]}; }
  float one_less_beta_1, one_less_beta_2, epsilon;

  Vec Update(Vec grad, float* const* slots, float rate) const {
    Vec mean = Load(slots[0]), variance = Load(slots[1]);
    mean += (grad - mean) * one_less_beta_1;
    variance += (grad * grad - variance) * one_less_beta_2;
    Store(slots[0], mean);
    Store(slots[1], variance);
    return mean * rate / (Sqrt(variance) + epsilon);
  }
};

struct Sgd {
  static constexpr int kConstants = 0, kSlots = 0;
  static Sgd From(const std::vector<float>&) { return {}; }

  Vec Update(Vec grad, float* const*, float rate) const { return rate * grad; }
};

struct Momentum {
  static constexpr int kConstants = 2, kSlots = 1;
  static Momentum From(const std::vector<float>& c) { return {c[0], c[1] != 0}; }
  float momentum;
  bool nesterov;

  Vec Update(Vec grad, float* const* slots, float rate) const {
    const Vec velocity = momentum * Load(slots[0]) - rate * grad;
    Store(slots[0], velocity);
    return nesterov ? rate * grad - momentum * velocity : -velocity;
  }
};

using Optimizer = std::variant<Adadelta, Adam, Sgd, Momentum>;

// The optimizer of that name, whose constants are 0.
inline Optimizer OptimizerOf(const std::string& name) {
  if (name == "adadelta") return Adadelta();
  if (name == "adam") return Adam();
  if (name == "momentum") return Momentum();
  return Sgd();
}

}  // namespace tfae
