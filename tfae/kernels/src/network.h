// What one thread does with a block of rows: forward, loss and backward through the stack.
#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "all_reduce.h"
#include "functions.h"
#include "gemm.h"
#include "rows.h"
#include "sparse.h"
#include "sparse_bfloat16.h"
#include "stack.h"
#include "weights.h"

namespace tfae {

constexpr int kPrefetch = 8;  // rows that are fetched ahead from memory
// Columns of the last layer that are taken at a time. They stay in the second-level cache; the
// slopes below, which every panel adds to, are read and written the less often.
constexpr int kPanelVectors = 6;
constexpr int kPanelColumns = kPanelVectors * kLanes;

// A thread's passes over blocks of rows, and the gradients that they add up. Its products multiply
// by `Arithmetic`; all else is float32. Where threads share a stack's columns, they sum what its
// first layer gives and the slopes that it gets.
template <typename T, typename Arithmetic>
class Block {
 public:
  Block(const Stack& stack, const float* parameters, const Weights<Arithmetic>& weights, Loss loss,
        bool sparse, bool trains, int block_rows = kBlockRows, AllReduce* all_reduce = nullptr,
        int thread = 0)
      : stack_(stack), parameters_(parameters), weights_(weights), loss_(loss),
        all_reduce_(all_reduce), thread_(thread), input_stride_(stack.input_stride()),
        rows_(static_cast<size_t>(block_rows) * input_stride_ + 64),
        no_bias_(thread > 0 ? stack.layers.front().stride : 0), panel_(block_rows * kPanelColumns),
        panel_slopes_(block_rows, kPanelColumns) {
    // In float32 the slopes take the pre-activations' place.
    if constexpr (std::is_same_v<Arithmetic, Float32>) panel_slopes_.Set(panel_, block_rows);
    inputs_.emplace_back(sparse ? 0 : block_rows, input_stride_);
    for (const Layer& layer : stack.layers) {
      const int rows = &layer == &stack.layers.back() ? 0 : block_rows;  // the last one's: panel_
      const size_t size = static_cast<size_t>(rows) * layer.stride;
      before_.emplace_back(size);
      after_.emplace_back(size);
      slopes_.emplace_back(trains ? size : 0);
      inputs_.emplace_back(rows, layer.stride);
      slope_operands_.emplace_back(trains ? rows : 0, layer.stride);
    }
    if (sparse) {
      sparse_.emplace(stack.layers.front(), block_rows, input_stride_);
    } else {
      values_ = Floats(rows_.size());
    }
    if (trains) gradients = Floats(stack.size);
  }

  // Forgets the gradients; the next block begins them anew.
  void Begin() { begun_ = false; }
  bool begun() const { return begun_; }

  // Adds the gradients of the sum of the loss over the features and these rows.
  void Train(const Rows<T>& rows, const int32_t* order, int count) {
    Gather(rows, order, count);
    Hidden();
    LossPanels<true>();
    Backward();
    begun_ = true;
  }

  // Adds the loss of `count` rows from the first on.
  void Evaluate(const Rows<T>& rows, int count) {
    Gather(rows, nullptr, count);
    Hidden();
    LossPanels<false>();
  }

  // Writes what the last layer gives for `count` rows from the first on.
  void Forward(const Rows<T>& rows, int count, float* to) {
    Gather(rows, nullptr, count);
    Hidden();
    const Layer& layer = stack_.layers.back();
    WithActivation(layer.activation, [&](auto activation) {
      for (int column = 0; column < layer.columns; column += kPanelColumns) {
        const int columns = OutputPanel(column);
        const int kept = std::min(columns, layer.outputs - column);
        for (int r = 0; r < count; ++r) {
          float* from = panel_ + r * kPanelColumns;
          for (int v = 0; v < columns; v += kLanes) {
            Store(from + v, activation.Value(Load(from + v)));
          }
          std::copy_n(from, kept, to + static_cast<size_t>(r) * layer.outputs + column);
        }
      }
    });
  }

  Floats gradients;
  double loss_sum = 0;  // over features and rows

 private:
  void Gather(const Rows<T>& rows, const int32_t* order, int count) {
    count_ = count;
    const int features = stack_.features();
    for (int r = 0; r < count; ++r) {
      const size_t row = order ? order[r] : r;
      if (order && r + kPrefetch < count) {
        const char* ahead = reinterpret_cast<const char*>(
            rows.data + static_cast<size_t>(order[r + kPrefetch]) * rows.stride);
        for (size_t byte = 0; byte < features * sizeof(T); byte += 64) {
          __builtin_prefetch(ahead + byte);
        }
      }
      T* to = rows_.data() + static_cast<size_t>(r) * input_stride_;
      std::copy_n(rows.data + row * rows.stride, features, to);
      if constexpr (std::is_same_v<T, float>) {
        if (rows.center) {
          for (int f = 0; f < features; ++f) to[f] = (to[f] - rows.center[f]) / rows.width[f];
        }
      }
    }
    if (!sparse_) {
      for (size_t i = 0; i < static_cast<size_t>(count) * input_stride_; i += kLanes) {
        Store(values_ + i, LoadValues(rows_.data() + i));
      }
      inputs_[0].Set(values_, count);
    }
  }

  // Units of what a product takes along a sum of so many numbers.
  static int Depth(int count) { return (count + Arithmetic::kDepth - 1) / Arithmetic::kDepth; }

  void Hidden() {
    for (size_t l = 0; l + 1 < stack_.layers.size(); ++l) {
      const Layer& layer = stack_.layers[l];
      // In the sum over the threads it is added once.
      const float* bias = l == 0 && thread_ > 0 ? no_bias_.data() : parameters_ + layer.bias;
      float* const to = Terms(l, before_[l]);
      if (l == 0 && sparse_) {
        sparse_->Forward(rows_, count_, weights_.Straight(0), bias, to);
      } else {
        Product<Arithmetic>(count_, layer.columns / kLanes, Depth(layer.inputs), inputs_[l].Left(),
                            weights_.Straight(l), {to, layer.stride}, {bias, 0});
      }
      SumOverThreads(l, before_[l]);
      WithActivation(layer.activation, [&](auto activation) {
        for (int i = 0; i < count_ * layer.stride; i += kLanes) {
          Store(after_[l] + i, activation.Value(Load(before_[l] + i)));
        }
      });
      ClearPadding(after_[l], layer);
      inputs_[l + 1].Set(after_[l], count_);
    }
  }

  // Where this thread writes a layer's values or slopes. The first layer's are for all threads to
  // add, where these share columns.
  float* Terms(size_t l, float* values) const {
    return l == 0 && all_reduce_ ? all_reduce_->Terms(thread_) : values;
  }

  // Adds what all threads wrote there.
  void SumOverThreads(size_t l, float* values) {
    if (l > 0 || !all_reduce_) return;
    all_reduce_->Sum(static_cast<size_t>(count_) * stack_.layers[0].stride, values);
  }

  // A sigmoid gives 1/2 for a padding's 0.
  void ClearPadding(float* values, const Layer& layer) const {
    if (layer.columns == layer.outputs) return;
    for (int r = 0; r < count_; ++r) {
      float* row = values + static_cast<size_t>(r) * layer.stride;
      std::fill(row + layer.outputs, row + layer.columns, 0.0f);
    }
  }

  // The last layer's pre-activations of a panel of columns from this one on, of which it has fewer
  // at the end: returns how many, in whole vectors.
  int OutputPanel(int column) {
    const size_t l = stack_.layers.size() - 1;
    const Layer& layer = stack_.layers[l];
    const int columns = std::min(kPanelColumns, layer.columns - column);
    const auto kernel = weights_.Straight(l);
    Product<Arithmetic>(count_, columns / kLanes, Depth(layer.inputs), inputs_[l].Left(),
                        {kernel.data + column, kernel.stride}, {panel_, kPanelColumns},
                        {parameters_ + layer.bias + column, 0});
    return columns;
  }

  // The last layer, the loss, and what depends on them, a panel at a time.
  template <bool kTrains>
  void LossPanels() {
    const size_t l = stack_.layers.size() - 1;
    const Layer& layer = stack_.layers[l];
    for (int column = 0; column < layer.columns; column += kPanelColumns) {
      const int columns = OutputPanel(column);
      for (int v = 0; v < columns; v += kLanes) LossOf<kTrains>(layer, column + v, v);
      if constexpr (kTrains) {
        AddKernelGradient(l, column, columns, panel_slopes_);
        if (l == 0) continue;
        const RowMajor<float> below{Terms(l - 1, slopes_[l - 1]), stack_.layers[l - 1].stride};
        const auto kernel = weights_.Transposed(l);
        Product<Arithmetic>(count_, stack_.layers[l - 1].columns / kLanes, Depth(columns),
                            panel_slopes_.Left(),
                            {kernel.data + Depth(column) * kernel.stride, kernel.stride}, below,
                            {column ? below.data : nullptr, below.stride});
      }
    }
  }

  // One vector of columns of the last layer, which begins `at` the panel: adds the loss and the
  // bias' gradient, and makes the loss' slopes by the pre-activations.
  template <bool kTrains>
  void LossOf(const Layer& layer, int column, int at) {
    if (loss_ == Loss::kBinaryCrossentropy) {
      return AddLoss<kTrains>(layer, column, at, CrossEntropySum());
    }
    WithActivation(layer.activation, [&](auto activation) {
      const auto add = [&](auto loss) {
        AddLoss<kTrains>(layer, column, at, ErrorSum<decltype(activation), decltype(loss)>());
      };
      switch (loss_) {
        case Loss::kMse: return add(SquaredError());
        case Loss::kMae: return add(AbsoluteError());
        default: return add(Huber());
      }
    });
  }

  template <bool kTrains, typename LossSum>
  void AddLoss(const Layer& layer, int column, int at, LossSum loss) {
    const T* const targets = rows_.data() + column;
    const float* const panel = panel_ + at;
    const size_t stride = input_stride_;
    const int count = count_;
    const Ints kept = FirstLanes(layer.outputs - column);
    Vec sum = {};  // of slopes
    int r = 0;
    const auto take = [&](auto rows) __attribute__((always_inline)) {
      Vec z[rows], x[rows], slopes[rows];
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        z[i] = Load(panel + (r + i) * kPanelColumns);
        x[i] = LoadValues(targets + (r + i) * stride);
      }
      loss.Add(z, x, slopes);
      if constexpr (kTrains) {
#pragma GCC unroll 4
        for (int i = 0; i < rows; ++i) {
          slopes[i] = FromBits(Bits(slopes[i]) & kept);
          sum += slopes[i];
        }
        panel_slopes_.Put(r, at, slopes);
      }
      r += rows;
    };
    while (r < count) {
      const int end = std::min(r + kFoldRows, count);
      while (r + 4 <= end) take(std::integral_constant<int, 4>());
      if (r + 2 <= end) take(std::integral_constant<int, 2>());
      if (r < end) take(std::integral_constant<int, 1>());
      loss.Fold();
    }
    loss_sum += Sum(FromBits(Bits(loss.sum) & kept));
    if (kTrains) AddBiasGradient(layer, column, sum);
  }

  void AddBiasGradient(const Layer& layer, int column, Vec sum) {
    float* to = gradients + layer.bias + column;
    Store(to, begun_ ? Load(to) + sum : sum);
  }

  // Of `columns` columns from `column` on, whose pre-activations' slopes these are.
  void AddKernelGradient(size_t l, int column, int columns, const Operand<Arithmetic>& slopes) {
    const Layer& layer = stack_.layers[l];
    float* to = gradients + layer.kernel + column;
    Product<Arithmetic>(layer.inputs, columns / kLanes, Depth(count_), inputs_[l].LeftTransposed(),
                        slopes.Right(), {to, layer.stride}, {begun_ ? to : nullptr, layer.stride});
  }

  // The hidden layers, from the last: slopes_ holds the loss' slope by each one's activations, then
  // by its pre-activations.
  void Backward() {
    for (size_t l = stack_.layers.size() - 1; l-- > 0;) {
      const Layer& layer = stack_.layers[l];
      float* slopes = slopes_[l];
      SumOverThreads(l, slopes);
      WithActivation(layer.activation, [&](auto activation) {
        for (int column = 0; column < layer.columns; column += kLanes) {
          Vec sum = {};
          for (int r = 0; r < count_; ++r) {
            const size_t i = static_cast<size_t>(r) * layer.stride + column;
            const Vec slope = Load(slopes + i) *
                              activation.Slope(Load(before_[l] + i), Load(after_[l] + i));
            Store(slopes + i, slope);
            sum += slope;
          }
          AddBiasGradient(layer, column, sum);
        }
      });
      slope_operands_[l].Set(slopes, count_);
      if (l == 0 && sparse_) {
        float* const to = gradients + layer.kernel;
        if (!begun_) std::fill_n(to, layer.kernel_size(), 0.0f);
        sparse_->AddKernelGradient(slope_operands_[0], count_, to);
        continue;
      }
      AddKernelGradient(l, 0, layer.columns, slope_operands_[l]);
      if (l > 0) {
        const Layer& below = stack_.layers[l - 1];
        Product<Arithmetic>(count_, below.columns / kLanes, Depth(layer.outputs),
                            slope_operands_[l].Left(), weights_.Transposed(l),
                            {slopes_[l - 1], below.stride}, {nullptr, 0});
      }
    }
  }

  const Stack& stack_;
  const float* const parameters_;
  const Weights<Arithmetic>& weights_;
  const Loss loss_;
  AllReduce* const all_reduce_;
  const int thread_;
  const int input_stride_;
  int count_ = 0;
  bool begun_ = false;
  Array<T> rows_;                       // [block_rows, input_stride]
  Floats values_;                       // the same as floats, where the first layer is dense
  Floats no_bias_;                      // zeros, like the first layer's bias
  std::vector<Floats> before_, after_;  // pre-activations and activations of the hidden layers
  std::vector<Floats> slopes_;          // the loss' slope by them
  std::vector<Operand<Arithmetic>> inputs_;          // of each layer
  std::vector<Operand<Arithmetic>> slope_operands_;  // of each hidden layer
  Floats panel_;                                     // [block_rows, kPanelColumns]
  Operand<Arithmetic> panel_slopes_;
  std::optional<SparseLayer<T, Arithmetic>> sparse_;  // the first layer, where it is not dense
};

}  // namespace tfae
