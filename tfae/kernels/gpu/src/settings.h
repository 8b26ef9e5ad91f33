// What a launch of the epoch kernel is given.
#pragma once

#include <cstdint>

namespace tfae::gpu {

constexpr int kTensors = 4;  // encoder's kernel and bias, decoder's kernel and bias
constexpr int kKinds = 3;    // values, first and second slots

// tfae/kernels/gpu/plan.py has the same fields in the same order, and says what they mean.
struct Settings {
  const void* rows;
  const int32_t* order;
  const float* center;
  const float* width;
  const float* given[kKinds][kTensors];
  float* tensors[kKinds][kTensors];
  const float* rates;
  const float* decays;
  float* partials;
  float* hidden_slopes;
  float* exchanged;
  float* spilled;
  float* squares;
  float* gradients;
  float* weights;
  float* bias_gradients;
  double* losses;
  const float* given_loss_scale;
  const int64_t* given_good_steps;
  const int64_t* given_skipped_steps;
  float* loss_scale;
  int64_t* good_steps;
  int64_t* skipped_steps;
  int32_t row_count, features, hidden, batch;
  int32_t activation, output_activation, loss, optimizer, slots;
  int32_t slice, slices, padded_hidden, chunk, own;
  int32_t at_raw, at_inputs, at_encoder, at_decoder, at_exchanged, at_slopes, at_sums, at_share;
  int32_t at_own, at_output_bias, at_places;
  float constants[3];
  float clip_norm;
};

static_assert(sizeof(Settings) == 45 * sizeof(void*) + 30 * 4, "as in plan.py");

}  // namespace tfae::gpu
