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
  int32_t row_count;
#ifdef TFAE_FEATURES
  // Compiled for one plan: what it says is known to the compiler, and not read.
  static constexpr int32_t features = TFAE_FEATURES;
  static constexpr int32_t hidden = TFAE_HIDDEN;
  static constexpr int32_t batch = TFAE_BATCH;
  static constexpr int32_t activation = TFAE_ACTIVATION;
  static constexpr int32_t output_activation = TFAE_OUTPUT_ACTIVATION;
  static constexpr int32_t loss = TFAE_LOSS;
  static constexpr int32_t optimizer = TFAE_OPTIMIZER;
  static constexpr int32_t slots = TFAE_SLOTS;
  static constexpr int32_t blocks = TFAE_BLOCKS;
  static constexpr int32_t cluster = TFAE_CLUSTER;
  static constexpr int32_t slice = TFAE_SLICE;
  static constexpr int32_t slices = TFAE_SLICES;
  static constexpr int32_t padded_hidden = TFAE_PADDED_HIDDEN;
  static constexpr int32_t chunk = TFAE_CHUNK;
  static constexpr int32_t own = TFAE_OWN;
  static constexpr int32_t at_raw = TFAE_AT_RAW;
  static constexpr int32_t at_inputs = TFAE_AT_INPUTS;
  static constexpr int32_t at_encoder = TFAE_AT_ENCODER;
  static constexpr int32_t at_decoder = TFAE_AT_DECODER;
  static constexpr int32_t at_exchanged = TFAE_AT_EXCHANGED;
  static constexpr int32_t at_slopes = TFAE_AT_SLOPES;
  static constexpr int32_t at_sums = TFAE_AT_SUMS;
  static constexpr int32_t at_share = TFAE_AT_SHARE;
  static constexpr int32_t at_own = TFAE_AT_OWN;
  static constexpr int32_t at_output_bias = TFAE_AT_OUTPUT_BIAS;
  static constexpr int32_t at_places = TFAE_AT_PLACES;
  int32_t plan[26];
#else
  int32_t features, hidden, batch;
  int32_t activation, output_activation, loss, optimizer, slots;
  int32_t blocks, cluster, slice, slices, padded_hidden, chunk, own;
  int32_t at_raw, at_inputs, at_encoder, at_decoder, at_exchanged, at_slopes, at_sums, at_share;
  int32_t at_own, at_output_bias, at_places;
#endif
  float constants[3];
  float clip_norm;
};

static_assert(sizeof(Settings) == 45 * sizeof(void*) + 32 * 4, "as in plan.py");

}  // namespace tfae::gpu
