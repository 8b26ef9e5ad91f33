// From gradients to parameters: the loss scale, clipping, and the optimizer's step.
#pragma once

#include "exchange.h"
#include "functions.h"
#include "settings.h"

namespace tfae::gpu {

constexpr int kGrowthSteps = 2000;  // good steps before the loss scale is doubled

struct LossScale {
  float value;
  int64_t good_steps, skipped_steps;

  TFAE_DEVICE static LossScale Given(const Settings& s) {
    return {*s.given_loss_scale, *s.given_good_steps, *s.given_skipped_steps};
  }
  // What a precision begins with that has one, or has none.
  TFAE_DEVICE static LossScale First(const LossScale& given, bool scales) {
    return scales ? given : LossScale{1.0f, 0, 0};
  }
  TFAE_DEVICE void Write(const Settings& s) const {
    *s.loss_scale = value;
    *s.good_steps = good_steps;
    *s.skipped_steps = skipped_steps;
  }
  TFAE_DEVICE void Adapt(bool finite) {
    if (!finite) {
      *this = {value / 2, 0, skipped_steps + 1};
    } else if (++good_steps == kGrowthSteps) {
      value *= 2;
      good_steps = 0;
    }
  }
};

TFAE_DEVICE bool IsFinite(float value) { return value - value == 0; }

// Whether gradients want a factor, of which all blocks together know.
template <typename Half>
TFAE_DEVICE bool NeedsFactor(const Settings& s) {
  return Half::kScalesLoss || s.clip_norm > 0;
}

// What the gradients are to be multiplied by: they are of a scaled loss, and may be clipped. Also
// whether all are finite, where the loss is scaled.
//
// Args:
//   squares: This thread's part of the sum of the squares of all gradients, over the loss scale.
//   scratch: Room for a number a warp.
template <typename Half>
TFAE_DEVICE float FactorOf(const Block& block, const Settings& s, float squares, float* scratch,
                           uint32_t flag, float loss_scale, bool& finite) {
  const float of_block = block.Sum(squares, scratch);
  if (block.IsFirstThread()) Hand(s.squares + block.index, of_block, flag);
  float sum = 0;
  block.ForEach(block.count, [&](int other) { sum += Take(s.squares + other, flag); });
  sum = block.Sum(sum, scratch);
  finite = !Half::kScalesLoss || IsFinite(sum);
  const float norm = sqrtf(sum);
  if (s.clip_norm <= 0) return 1.0f / loss_scale;
  // What is not finite stays so, as in TensorFlow: it must not pass for a small step.
  const float clipped = IsFinite(norm) ? s.clip_norm / fmaxf(norm, s.clip_norm) : NAN;
  return clipped / loss_scale;
}

// A parameter after so many updates and one more; `first` and `second` are its slots.
TFAE_DEVICE float UpdatedValue(const Settings& s, int update, float value, float gradient,
                               float& first, float& second) {
  const float decay = s.decays ? s.decays[update] : 0.0f;
  return value - value * decay - Step(static_cast<Optimizer>(s.optimizer), s.constants,
                                      s.rates[update], gradient, first, second);
}

}  // namespace tfae::gpu
