// The first layer in bfloat16, where most of its inputs are zero: whole products, which are faster
// there than walking through each row, without the features that are zero in all rows of a block.
#pragma once

#include <algorithm>

#include "sparse.h"

namespace tfae {

#ifdef TFAE_BFLOAT16
// Neighbouring features go together, as the products take them.
template <typename T>
class SparseLayer<T, BFloat16> {
 public:
  SparseLayer(const Layer& layer, int block_rows, int row_stride)
      : layer_(layer), row_stride_(row_stride), not_zero_((row_stride + 63) / 64 * 64),
        kept_(not_zero_.size() / 2), masks_(not_zero_.size() / (2 * kLanes)),
        inputs_(block_rows + 1, row_stride + kOverrun),
        kernel_(kept_.size() * layer.stride), gradient_(2 * kept_.size() * layer.stride) {}

  // Writes the pre-activations of `count` rows. Reads up to a vector beyond them.
  void Forward(const T* rows, int count, RowMajor<const Pair> kernel, const float* bias,
               float* before) {
    FindKept(rows, count);
    for (int r = 0; r < count; r += 2) {
      Pack(rows + static_cast<size_t>(r) * row_stride_, r, r + 1 < count);
    }
    const int columns = layer_.columns, stride = layer_.stride;
    Pair* to = kernel_;
    for (int k = 0; k < kept_count_; ++k, to += stride) {
      const Pair* from = kernel.data + kept_[k] * kernel.stride;
      for (int c = 0; c < columns; c += kLanes) StorePairs(to + c, LoadPairs(from + c));
    }
    Product<BFloat16>(count, columns / kLanes, kept_count_, inputs_.Left(), {kernel_, stride},
                      {before, stride}, {bias, 0});
  }

  // Adds the kernel's gradient of the rows that came last, whose pre-activations have these slopes.
  void AddKernelGradient(const Operand<BFloat16>& slopes, int count, float* gradient) {
    Product<BFloat16>(2 * kept_count_, layer_.columns / kLanes, (count + 1) / 2,
                      inputs_.LeftTransposed(), slopes.Right(), {gradient_, layer_.stride},
                      {nullptr, 0});
    for (int f = 0; f < 2 * kept_count_; ++f) {
      const int feature = 2 * kept_[f / 2] + f % 2;
      if (feature >= layer_.inputs) continue;
      const float* from = gradient_ + static_cast<size_t>(f) * layer_.stride;
      float* to = gradient + static_cast<size_t>(feature) * layer_.stride;
      for (int c = 0; c < layer_.columns; c += kLanes) {
        Store(to + c, Load(to + c) + Load(from + c));
      }
    }
  }

 private:
  // How far beyond the last feature Pack may write.
  static constexpr int kOverrun = 2 * kLanes;

  void FindKept(const T* rows, int count) {
    uint8_t* const not_zero = not_zero_;
    const int features = row_stride_;
    const size_t whole = not_zero_.size() / 64 * 64;  // as it is; so that the compiler sees it
    std::fill_n(not_zero, whole, 0);
    for (int r = 0; r < count; ++r) {
      const T* row = rows + static_cast<size_t>(r) * features;
      for (size_t f = 0; f < whole; ++f) not_zero[f] |= row[f] != 0;
    }
    kept_count_ = 0;
    std::fill_n(masks_.data(), masks_.size(), 0);
    for (int pair = 0; pair < features / 2; ++pair) {
      if (!not_zero[2 * pair] && !not_zero[2 * pair + 1]) continue;
      kept_[kept_count_++] = pair;
      masks_[pair / kLanes] |= 1 << pair % kLanes;
    }
  }

  // An even row, and the one below if there is one.
  void Pack(const T* row, int r, bool both) {
    const uint16_t* const masks = masks_;
    const int vectors = static_cast<int>(masks_.size()), stride = row_stride_;
    Pair *first = inputs_.Neighbours(r), *second = inputs_.Neighbours(r + 1);
    Pair* interleaves = inputs_.Interleaves(r);
    for (int v = 0; v < vectors; ++v) {
      const auto packed = [&](const T* from) {
        const Pairs pairs = Round(LoadValues(from), LoadValues(from + kLanes));
        return _mm512_maskz_compress_epi32(masks[v], pairs);
      };
      const T* from = row + 2 * v * kLanes;
      const Pairs a = packed(from), b = both ? packed(from + stride) : Pairs{};
      StorePairs(first, a);
      StorePairs(second, b);
      StoreInterleaved(interleaves, a, b);
      const int count = __builtin_popcount(masks[v]);
      first += count;
      second += count;
      interleaves += 2 * count;
    }
  }

  const Layer& layer_;
  const int row_stride_;
  Array<uint8_t> not_zero_;  // whether a feature is that in any row
  Array<int> kept_;          // the pairs of features that are not left out
  int kept_count_ = 0;
  Array<uint16_t> masks_;  // the same in bits
  // Of the features that are kept:
  Operand<BFloat16> inputs_;  // [rows, features]
  Array<Pair> kernel_;        // [features / 2, outputs]
  Floats gradient_;           // [features, outputs]
};
#endif

}  // namespace tfae
