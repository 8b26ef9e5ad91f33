// From a tile of the outputs' products to their loss and its slopes.
#pragma once

#include "functions.h"
#include "settings.h"
#include "tile.h"

namespace tfae::gpu {

// Two floats, which are loaded at once.
struct alignas(8) Pair {
  float first, second;
};

// Makes of the products in a tile, of outputs without their biases, the loss' slopes by these
// outputs, and puts them, rounded, to `slopes`.
//
// Args:
//   raw, slopes: The targets and the slopes, [16, 16] each, `stride` apart.
//   bias: [16].
//   rows, pixels: How many of the tile there are; the slopes of others are 0.
//   upstream: What every slope is multiplied by.
//   loss: What the losses are added to.
//   loss_of: It is given an output before its activation and the target.
template <typename Half, typename LossOfOutput>
TFAE_DEVICE void PutSlopesOf(LossOfOutput loss_of, Tile& tile, const float* raw, const float* bias,
                             int stride, int rows, int pixels, float upstream, float& loss,
                             uint16_t* slopes) {
  tile.ForEachPair([&](int r, int c, float& first, float& second) {
    const int at = r * stride + c;
    const auto x = *reinterpret_cast<const Pair*>(raw + at);
    const auto b = *reinterpret_cast<const Pair*>(bias + c);
    const LossAndSlope of_first = loss_of(first + b.first, x.first);
    const LossAndSlope of_second = loss_of(second + b.second, x.second);
    // All of it is computed, and what is padding taken away, so that no thread waits for another.
    const bool has_first = r < rows && c < pixels, has_second = r < rows && c + 1 < pixels;
    loss += (has_first ? of_first.loss : 0.0f) + (has_second ? of_second.loss : 0.0f);
    first = has_first ? of_first.slope * upstream : 0.0f;
    second = has_second ? of_second.slope * upstream : 0.0f;
    *reinterpret_cast<Halves<2>*>(slopes + at) = {{Half::Round(first), Half::Round(second)}};
  });
}

// The same, of the loss and the activation that the settings name.
template <typename Half, typename... Rest>
TFAE_DEVICE void PutSlopes(const Settings& s, Tile& tile, Rest&&... rest) {
  if (static_cast<Loss>(s.loss) == Loss::kBinaryCrossentropy) {
    PutSlopesOf<Half>([](float z, float x) { return CrossEntropyOf(z, x); }, tile, rest...);
  } else {
    const auto loss = static_cast<Loss>(s.loss);
    const auto activation = static_cast<Activation>(s.output_activation);
    PutSlopesOf<Half>([=](float z, float x) { return LossOf(loss, activation, z, x); }, tile,
                      rest...);
  }
}

}  // namespace tfae::gpu
