// Which parameters a block has, where it keeps them, and the slices of pixels that it goes through.
#pragma once

#include "block.h"
#include "inputs.h"
#include "settings.h"

namespace tfae::gpu {

// A block's parameters: of each slice the encoder [slice, hidden], the decoder [hidden, slice] and
// the pixels' biases, and all of the hidden ones, which every block keeps alike. `own_` has their
// values, both slots and gradients, one after the other.
class Slices {
 public:
  TFAE_DEVICE Slices(const Block& block, const Settings& settings)
      : block_(block), s_(settings),
        own_(s_.spilled ? s_.spilled + static_cast<size_t>(block.index) * (kKinds + 1) * Size()
                        : At<float>(s_.at_own)) {
    Enter(0);
  }

 protected:
  TFAE_DEVICE static int Least(int a, int b) { return a < b ? a : b; }
  template <typename U>
  TFAE_DEVICE U* At(int byte) const {
    return reinterpret_cast<U*>(block_.shared + byte);
  }

  TFAE_DEVICE int KernelSize() const { return s_.slice * s_.padded_hidden; }
  TFAE_DEVICE int SliceSize() const { return 2 * KernelSize() + s_.slice; }
  TFAE_DEVICE int Encoder() const { return number_ * SliceSize(); }
  TFAE_DEVICE int Decoder() const { return Encoder() + KernelSize(); }
  TFAE_DEVICE int OutputBias() const { return Decoder() + KernelSize(); }
  TFAE_DEVICE int HiddenBias() const { return s_.slices * SliceSize(); }
  TFAE_DEVICE int Size() const { return HiddenBias() + s_.padded_hidden; }
  TFAE_DEVICE float* Gradients() const { return own_ + kKinds * Size(); }
  TFAE_DEVICE bool InSlices() const { return s_.slices > 1; }

  // Goes to a slice of the block's.
  TFAE_DEVICE void Enter(int number) {
    number_ = number;
    first_ = (block_.index * s_.slices + number) * s_.slice;
    pixels_ = Least(s_.slice, s_.features - first_);  // of a last block's none, or less
  }
  // Calls f() in each slice.
  template <typename F>
  TFAE_DEVICE void ForEachSlice(F f) {
    for (int number = 0; number < s_.slices; ++number) {
      Enter(number);
      f();
    }
  }

  // Calls f(parameter, its tensor, where it is in that) for each that is not padding.
  template <typename F>
  TFAE_DEVICE void ForEachParameter(F f) {
    ForEachSlice([&] {
      const int begin = Encoder(), end = number_ + 1 < s_.slices ? begin + SliceSize() : Size();
      block_.ForEach(end - begin, [&](int j) {
        const int i = begin + j, hidden = s_.hidden, slice = s_.slice;
        if (i < Decoder()) {
          const int pixel = j / s_.padded_hidden, unit = j % s_.padded_hidden;
          if (pixel < pixels_ && unit < hidden) f(i, 0, (first_ + pixel) * hidden + unit);
        } else if (i < OutputBias()) {
          const int unit = (i - Decoder()) / slice, pixel = (i - Decoder()) % slice;
          if (pixel < pixels_ && unit < hidden) f(i, 2, unit * s_.features + first_ + pixel);
        } else if (j < SliceSize()) {
          if (i - OutputBias() < pixels_) f(i, 3, first_ + i - OutputBias());
        } else if (i - HiddenBias() < hidden) {
          f(i, 1, i - HiddenBias());
        }
      });
    });
  }

  // Reads the parameters and slots, or writes them back.
  TFAE_DEVICE void Exchange(bool reads) {
    if (reads) {
      block_.ForEach((kKinds + 1) * Size(), [&](int i) { own_[i] = 0; });
      block_.Sync();
    }
    ForEachParameter([&](int i, int tensor, int at) {
      TFAE_ONE_BY_ONE for (int kind = 0; kind <= s_.slots; ++kind) {
        float& inside = own_[kind * Size() + i];
        if (reads) {
          inside = s_.given[kind][tensor][at];
        } else if (tensor != 1 || block_.index == 0) {
          s_.tensors[kind][tensor][at] = inside;
        }
      }
    });
    block_.Sync();
  }

  const Block& block_;
  const Settings& s_;
  float* const own_;
  int number_, first_, pixels_;  // the slice: which, where it begins, how many pixels it has
};

}  // namespace tfae::gpu
