// Matrices as the products want them: as they lie in float32, rounded and paired in bfloat16.
#pragma once

#include "gemm.h"
#include "stack.h"
#include "transpose.h"

namespace tfae {

// A matrix [rows, columns] of a block of rows, to the left or to the right of a product.
template <typename Arithmetic>
class Operand;

// All layers' kernels, straight [inputs, outputs] for the way forward, transposed for the way back.
template <typename Arithmetic>
class Weights;

// What both kinds have in common: the transposed kernels, but for the first layer's.
template <typename Arithmetic>
class TransposedWeights {
 public:
  using Unit = typename Arithmetic::Unit;

  TransposedWeights(const Stack& stack, const float* parameters, bool trains)
      : stack_(stack), parameters_(parameters) {
    for (const Layer& layer : stack.layers) {
      const bool needed = trains && &layer != &stack.layers.front();
      const size_t rows = layer.stride / Arithmetic::kDepth;
      stride_.push_back(Stride(layer.inputs));
      transposed_.emplace_back(needed ? rows * stride_.back() : 0);
    }
  }

  RowMajor<const Unit> Transposed(size_t l) const { return {transposed_[l], stride_[l]}; }

 protected:
  const Stack& stack_;
  const float* parameters_;
  std::vector<int> stride_;
  std::vector<Array<Unit>> transposed_;
};

template <>
class Operand<Float32> {
 public:
  Operand(int /*rows*/, int stride) : stride_(stride) {}

  // Takes over a matrix, which must stay where it is.
  void Set(float* values, int /*rows*/) { values_ = values; }

  // Writes a vector of columns of N rows.
  template <int N>
  [[gnu::always_inline]] void Put(int row, int column, const Vec (&values)[N]) {
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      Store(values_ + static_cast<size_t>(row + i) * stride_ + column, values[i]);
    }
  }

  Strided<float> Left() const { return {values_, stride_, 1}; }
  Strided<float> LeftTransposed() const { return {values_, 1, stride_}; }
  RowMajor<const float> Right() const { return {values_, stride_}; }

 private:
  int stride_;
  float* values_ = nullptr;
};

template <>
class Weights<Float32> : public TransposedWeights<Float32> {
 public:
  Weights(const Stack& stack, const float* parameters, bool trains)
      : TransposedWeights(stack, parameters, trains) {
    for (size_t l = 0; l < stack_.layers.size(); ++l) Update(l, {0, stack_.layers[l].inputs});
  }

  RowMajor<const float> Straight(size_t l) const {
    const Layer& layer = stack_.layers[l];
    return {parameters_ + layer.kernel, layer.stride};
  }

  // Follows a change in some rows of a layer's kernel; the bias may be the last.
  void Update(size_t l, Range rows) {
    if (transposed_[l].size() == 0) return;
    const Layer& layer = stack_.layers[l];
    Transpose(std::min(rows.end, layer.inputs) - rows.begin, layer.outputs,
              parameters_ + layer.kernel + static_cast<size_t>(rows.begin) * layer.stride,
              layer.stride, transposed_[l] + rows.begin, stride_[l]);
  }
};

#ifdef TFAE_BFLOAT16
template <>
class Operand<BFloat16> {
 public:
  Operand(int rows, int stride)
      : stride_(stride), neighbours_(static_cast<size_t>(rows) * stride / 2),
        interleaved_(static_cast<size_t>(rows + 1) / 2 * stride) {}

  // Rounds a matrix.
  void Set(const float* values, int rows) {
    for (int r = 0; r < rows; r += 2) {
      const float* row = values + static_cast<size_t>(r) * stride_;
      for (int c = 0; c < stride_; c += kLanes) {
        if (r + 1 < rows) {
          Put(r, c, {Load(row + c), Load(row + stride_ + c)});
        } else {
          Put(r, c, {Load(row + c)});
        }
      }
    }
  }

  // Rounds a vector of columns of N rows, the first one even. An odd last row is paired with zeros.
  template <int N>
  [[gnu::always_inline]] void Put(int row, int column, const Vec (&values)[N]) {
#pragma GCC unroll 4
    for (int i = 0; i < N; i += 2) {
      const bool both = i + 1 < N;
      const Pairs rounded = Round(values[i], both ? values[i + 1] : Vec{});
      StoreFirst(Neighbours(row + i) + column / 2, rounded);
      if (both) StoreSecond(Neighbours(row + i + 1) + column / 2, rounded);
      StorePairs(Interleaves(row + i) + column, Interleaved(rounded));
    }
  }

  // A row's pairs of neighbours, and an even row's pairs with the row below.
  Pair* Neighbours(int row) { return &neighbours_[static_cast<size_t>(row) * stride_ / 2]; }
  Pair* Interleaves(int row) { return &interleaved_[static_cast<size_t>(row) / 2 * stride_]; }

  Strided<Pair> Left() const { return {neighbours_.data(), stride_ / 2, 1}; }
  Strided<Pair> LeftTransposed() const { return {interleaved_.data(), 1, stride_}; }
  RowMajor<const Pair> Right() const { return {interleaved_.data(), stride_}; }

 private:
  int stride_;
  Array<Pair> neighbours_;   // [rows, columns / 2]
  Array<Pair> interleaved_;  // [rows / 2, columns]
};

template <>
class Weights<BFloat16> : public TransposedWeights<BFloat16> {
 public:
  Weights(const Stack& stack, const float* parameters, bool trains)
      : TransposedWeights(stack, parameters, trains) {
    for (const Layer& layer : stack.layers) {
      straight_.emplace_back(static_cast<size_t>(layer.inputs + 1) / 2 * layer.stride);
    }
    for (size_t l = 0; l < stack_.layers.size(); ++l) Update(l, {0, stack_.layers[l].inputs});
  }

  RowMajor<const Pair> Straight(size_t l) const {
    return {straight_[l].data(), stack_.layers[l].stride};
  }

  // Follows a change in some rows of a layer's kernel, the first one even; the bias may be the
  // last.
  void Update(size_t l, Range rows) {
    const Layer& layer = stack_.layers[l];
    const int last = std::min(rows.end, layer.inputs);
    for (int i = rows.begin; i < last; i += 2) {
      const float* row = parameters_ + layer.kernel + static_cast<size_t>(i) * layer.stride;
      Pair* straight = &straight_[l][static_cast<size_t>(i) / 2 * layer.stride];
      for (int j = 0; j < layer.stride; j += kLanes) {
        const Vec second = i + 1 < last ? Load(row + layer.stride + j) : Vec{};
        StorePairs(straight + j, Interleaved(Round(Load(row + j), second)));
      }
    }
    if (transposed_[l].size() == 0) return;
    for (int i = rows.begin; i < last; i += kLanes) {
      const int count = std::min(kLanes, last - i);
      const float* from = parameters_ + layer.kernel + static_cast<size_t>(i) * layer.stride;
      for (int j = 0; j < layer.stride; j += 2 * kLanes) {
        const int columns = std::min(2 * kLanes, layer.stride - j);
        Pair pairs[kLanes * kLanes];  // of neighbours: [kLanes rows, kLanes]
        for (int r = 0; r < count; ++r) {
          for (int c = 0; c < columns; c += kLanes) {
            const Vec values = Load(from + r * layer.stride + j + c);
            StoreFirst(pairs + r * kLanes + c / 2, Round(values, Vec{}));
          }
        }
        Pair* to = &transposed_[l][static_cast<size_t>(j) / 2 * stride_[l] + i];
        Transpose(count, columns / 2, pairs, kLanes, to, stride_[l]);
      }
    }
  }

 private:
  std::vector<Array<Pair>> straight_;
};
#endif

}  // namespace tfae
