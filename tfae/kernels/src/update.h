// The steps of an epoch: their batches, and how each updates the parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "stack.h"

namespace tfae {

// The settings of every step of an epoch.
struct Schedule {
  const float* rates;   // of the optimizer
  const float* decays;  // how much of a weight is taken away, or null
  float clip_norm;      // of the gradients, or 0
  int batch;            // rows, of which the last one may have fewer

  // Calls function(step, start, batch) for each batch of `count` rows.
  template <typename F>
  void ForEachBatch(int64_t count, F function) const {
    int64_t step = 0;
    for (int64_t start = 0; start < count; start += batch, ++step) {
      function(step, start, static_cast<int>(std::min<int64_t>(batch, count - start)));
    }
  }

  bool clips() const { return clip_norm > 0; }

  // What gradients are multiplied by whose squares have this sum.
  float ClipScale(double squares) const {
    const float norm = std::sqrt(static_cast<float>(squares));
    // What is not finite stays so, as in TensorFlow: it must not pass for a small step.
    return std::isfinite(norm) ? clip_norm / std::max(norm, clip_norm) : NAN;
  }
};

// One step's update of the parameters, the first of `state`, and of their slots, the others.
template <typename Optimizer>
class Update {
 public:
  Update(const Optimizer& optimizer, const Schedule& schedule, int64_t step,
         const std::vector<Parameters>& state)
      : optimizer_(optimizer), rate_(schedule.rates[step]),
        decay_(schedule.decays ? schedule.decays[step] : 0.0f), values_(state[0].values) {
    for (int s = 0; s < Optimizer::kSlots; ++s) slots_[s] = state[s + 1].values;
  }

  // Updates the vector of parameters from `at` on.
  void operator()(Vec gradient, size_t at) const {
    float* slots[2] = {};
    for (int s = 0; s < Optimizer::kSlots; ++s) slots[s] = slots_[s] + at;
    const Vec value = Load(values_ + at), decayed = value - value * decay_;
    Store(values_ + at, decayed - optimizer_.Update(gradient, slots, rate_));
  }

 private:
  const Optimizer optimizer_;
  const float rate_, decay_;
  float* const values_;
  float* slots_[2] = {};
};

}  // namespace tfae
