// The steps of an epoch: their batches, and how each updates the parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "optimizer.h"
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

// One step's update of the parameters, the first of `state`, and of their slots, the others. Calls
// function(update), where update(gradient, at) updates the vector of parameters from `at` on.
template <typename F>
void WithUpdate(const Optimizer& optimizer, const Schedule& schedule, int64_t step,
                const std::vector<Parameters>& state, F function) {
  const float rate = schedule.rates[step];
  const float decay = schedule.decays ? schedule.decays[step] : 0.0f;
  float* const values = state[0].values;
  std::visit(
      [&](const auto optimizer) {
        constexpr int kSlots = decltype(optimizer)::kSlots;
        float* first[2] = {};
        for (int s = 0; s < kSlots; ++s) first[s] = state[s + 1].values;
        function([=](Vec gradient, size_t at) {
          float* slots[2] = {};
          for (int s = 0; s < kSlots; ++s) slots[s] = first[s] + at;
          const Vec value = Load(values + at), decayed = value - value * decay;
          Store(values + at, decayed - optimizer.Update(gradient, slots, rate));
        });
      },
      optimizer);
}

}  // namespace tfae
