// What one thread does with a block of rows: forward, loss and backward through the stack.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "functions.h"
#include "gemm.h"
#include "operands.h"
#include "stack.h"

namespace tfae {

// Rows that a thread takes at a time: their activations stay in its second-level cache.
constexpr int kBlockRows = 128;
constexpr int kPrefetch = 8;  // rows that are fetched ahead from memory
// Columns of the last layer that are taken at a time: they stay in the first-level cache.
constexpr int kPanelVectors = 4;
constexpr int kPanelColumns = kPanelVectors * kLanes;

// The training rows: bytes from 0 to 255, seen as 0 to 1, or floats, seen as (x - center) / width
// where these are given.
template <typename T>
struct Rows {
  const T* data;
  const float* center = nullptr;
  const float* width = nullptr;
};

inline float Value(float value) { return value; }
inline float Value(uint8_t byte) { return byte * (1.0f / 255); }
inline Vec LoadValues(const float* from) { return Load(from); }
inline Vec LoadValues(const uint8_t* from) { return LoadBytes(from); }

template <typename F>
auto WithActivation(Activation activation, F function) {
  switch (activation) {
    case Activation::kRelu: return function(Relu());
    case Activation::kElu: return function(Elu());
    case Activation::kSelu: return function(Selu());
    case Activation::kGelu: return function(Gelu());
    case Activation::kSilu: return function(Silu());
    case Activation::kTanh: return function(Tanh());
    case Activation::kSigmoid: return function(Logistic());
    default: return function(Linear());
  }
}

// A thread's passes over blocks of rows, and the gradients that they add up. Its products multiply
// by `Arithmetic`; all else is float32.
template <typename T, typename Arithmetic>
class Block {
 public:
  Block(const Stack& stack, const float* parameters, const Kernels<Arithmetic>& kernels, Loss loss,
        bool sparse, bool trains)
      : stack_(stack), parameters_(parameters), kernels_(kernels), loss_(loss), sparse_(sparse),
        input_stride_(stack.input_stride()),
        rows_(static_cast<size_t>(kBlockRows) * input_stride_),
        panel_(kBlockRows * kPanelColumns), panel_operand_(kBlockRows, kPanelColumns) {
    inputs_.emplace_back(sparse ? 0 : kBlockRows, input_stride_);
    for (const Layer& layer : stack.layers) {
      const int rows = &layer == &stack.layers.back() ? 0 : kBlockRows;  // the last one's: panel_
      const size_t size = static_cast<size_t>(rows) * layer.stride;
      before_.emplace_back(size);
      after_.emplace_back(size);
      slopes_.emplace_back(trains ? size : 0);
      inputs_.emplace_back(rows, layer.stride);
      slope_operands_.emplace_back(trains ? rows : 0, layer.stride);
    }
    if (sparse) {
      positions_.resize(input_stride_ + kLanes);
      counts_.resize(input_stride_);
      entries_.resize(trains ? rows_.size() : 0);
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
    Hidden(true);
    LossPanels<true>();
    Backward();
    begun_ = true;
  }

  // Adds the loss of `count` rows from the first on.
  void Evaluate(const Rows<T>& rows, int count) {
    Gather(rows, nullptr, count);
    Hidden(false);
    LossPanels<false>();
  }

  // Writes what the last layer gives for `count` rows from the first on.
  void Forward(const Rows<T>& rows, int count, float* to) {
    Gather(rows, nullptr, count);
    Hidden(false);
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
  // A value of the first layer's input that is not zero, in the list of its feature.
  struct Entry {
    float value;
    int32_t row;  // of the block
  };

  void Gather(const Rows<T>& rows, const int32_t* order, int count) {
    count_ = count;
    const int features = stack_.features();
    for (int r = 0; r < count; ++r) {
      const size_t row = order ? order[r] : r;
      if (order && r + kPrefetch < count) {
        const char* ahead = reinterpret_cast<const char*>(
            rows.data + static_cast<size_t>(order[r + kPrefetch]) * features);
        for (size_t byte = 0; byte < features * sizeof(T); byte += 64) {
          __builtin_prefetch(ahead + byte);
        }
      }
      T* to = rows_.data() + static_cast<size_t>(r) * input_stride_;
      std::copy_n(rows.data + row * features, features, to);
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

  void Hidden(bool trains) {
    for (size_t l = 0; l + 1 < stack_.layers.size(); ++l) {
      const Layer& layer = stack_.layers[l];
      if (l == 0 && sparse_) {
        SparseForward(layer, trains);
      } else {
        Product<Arithmetic>(count_, layer.columns / kLanes, Depth(layer.inputs), inputs_[l].Left(),
                            kernels_.Straight(l), {before_[l], layer.stride},
                            {parameters_ + layer.bias, 0});
      }
      WithActivation(layer.activation, [&](auto activation) {
        for (int i = 0; i < count_ * layer.stride; i += kLanes) {
          Store(after_[l] + i, activation.Value(Load(before_[l] + i)));
        }
      });
      ClearPadding(after_[l], layer);
      inputs_[l + 1].Set(after_[l], count_);
    }
  }

  // A sigmoid gives 1/2 for a padding's 0.
  void ClearPadding(float* values, const Layer& layer) const {
    if (layer.columns == layer.outputs) return;
    for (int r = 0; r < count_; ++r) {
      float* row = values + static_cast<size_t>(r) * layer.stride;
      std::fill(row + layer.outputs, row + layer.columns, 0.0f);
    }
  }

  // The first layer's pre-activations from the inputs that are not zero, which it lists.
  void SparseForward(const Layer& layer, bool trains) {
    std::fill(counts_.begin(), counts_.end(), 0);
    int32_t* positions = positions_.data();
    for (int r = 0; r < count_; ++r) {
      const T* row = rows_.data() + static_cast<size_t>(r) * input_stride_;
      int count = 0;
      for (int f = 0; f < input_stride_; f += kLanes) {
        count += NonZero(row + f, f, positions + count);
      }
      if (trains) {
        for (int i = 0; i < count; ++i) {
          const int f = positions[i];
          entries_[static_cast<size_t>(f) * kBlockRows + counts_[f]++] = {Value(row[f]), r};
        }
      }
      for (int column = 0; column < layer.columns; column += 2 * kLanes) {
        const float* kernel = parameters_ + layer.kernel + column;
        const float* bias = parameters_ + layer.bias + column;
        float* to = before_[0] + static_cast<size_t>(r) * layer.stride + column;
        if (column + kLanes < layer.columns) {
          SparseRow<2>(row, count, kernel, layer.stride, bias, to);
        } else {
          SparseRow<1>(row, count, kernel, layer.stride, bias, to);
        }
      }
    }
  }

  // One row's columns; four sums each, since an addition waits for the one before it.
  template <int V>
  void SparseRow(const T* row, int count, const float* kernel, int stride, const float* bias,
                 float* to) const {
    const int32_t* positions = positions_.data();
    Vec sums[4][V] = {};
    int i = 0;
    for (; i + 4 <= count; i += 4) {
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) {
        const int f = positions[i + s];
        const Vec value = Broadcast(Value(row[f]));
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
          sums[s][v] += value * Load(kernel + static_cast<size_t>(f) * stride + v * kLanes);
        }
      }
    }
    for (; i < count; ++i) {
      const int f = positions[i];
      const Vec value = Broadcast(Value(row[f]));
      for (int v = 0; v < V; ++v) {
        sums[0][v] += value * Load(kernel + static_cast<size_t>(f) * stride + v * kLanes);
      }
    }
    for (int v = 0; v < V; ++v) {
      Store(to + v * kLanes, Load(bias + v * kLanes) + (sums[0][v] + sums[1][v]) +
                                 (sums[2][v] + sums[3][v]));
    }
  }

  // The last layer's pre-activations of a panel of columns from this one on, of which it has fewer
  // at the end: returns how many, in whole vectors.
  int OutputPanel(int column) {
    const size_t l = stack_.layers.size() - 1;
    const Layer& layer = stack_.layers[l];
    const int columns = std::min(kPanelColumns, layer.columns - column);
    const auto kernel = kernels_.Straight(l);
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
      for (int v = 0; v < columns; v += kLanes) LossOf<kTrains>(layer, column + v, panel_ + v);
      if constexpr (kTrains) {
        panel_operand_.Set(panel_, count_);
        AddKernelGradient(l, column, columns, panel_operand_);
        if (l == 0) continue;
        const RowMajor<float> below{slopes_[l - 1], stack_.layers[l - 1].stride};
        const auto kernel = kernels_.Transposed(l);
        Product<Arithmetic>(count_, stack_.layers[l - 1].columns / kLanes, Depth(columns),
                            panel_operand_.Left(),
                            {kernel.data + Depth(column) * kernel.stride, kernel.stride}, below,
                            {column ? below.data : nullptr, below.stride});
      }
    }
  }

  // One vector of columns of the last layer, whose pre-activations lie at `panel`: adds the loss
  // and the bias' gradient, and leaves the loss' slope at `panel`.
  template <bool kTrains>
  void LossOf(const Layer& layer, int column, float* panel) {
    const T* targets = rows_.data() + column;
    if (loss_ == Loss::kBinaryCrossentropy) return CrossEntropy<kTrains>(layer, column, panel);
    WithActivation(layer.activation, [&](auto activation) {
      auto with_loss = [&](auto loss) {
        Vec sum = {}, slopes = {};
        for (int r = 0; r < count_; ++r) {
          const Vec z = Load(panel + r * kPanelColumns);
          const Vec a = activation.Value(z);
          const Vec error = a - LoadValues(targets + static_cast<size_t>(r) * input_stride_);
          sum += loss.Value(error);
          if constexpr (kTrains) {
            const Vec slope = loss.Slope(error) * activation.Slope(z, a);
            slopes += slope;
            Store(panel + r * kPanelColumns, slope);
          }
        }
        Finish<kTrains>(layer, column, panel, sum, slopes);
      };
      switch (loss_) {
        case Loss::kMse: return with_loss(SquaredError());
        case Loss::kMae: return with_loss(AbsoluteError());
        default: return with_loss(Huber());
      }
    });
  }

  // max(z, 0) - z x + log(1 + t), t = e^-|z|. Of 32 rows the factors 1 + t, at most 2, are
  // multiplied before their logarithm is taken; what 1 + t rounds off is added again.
  template <bool kTrains>
  void CrossEntropy(const Layer& layer, int column, float* panel) {
    const T* targets = rows_.data() + column;
    Vec sum = {}, slopes = {};
    for (int start = 0; start < count_; start += 32) {
      Vec product = Broadcast(1.0f), rounded = {};
      for (int r = start; r < std::min(start + 32, count_); ++r) {
        const Vec z = Load(panel + r * kPanelColumns);
        const Vec x = LoadValues(targets + static_cast<size_t>(r) * input_stride_);
        const Vec t = Exp(-Abs(z));
        const Vec factor = t + 1.0f;
        const Vec inverse = Reciprocal(factor);
        sum += Max(z, Vec{}) - z * x;
        rounded += (t - (factor - 1.0f)) * inverse;
        product *= factor;
        if constexpr (kTrains) {
          const Vec slope = (z >= 0.0f ? inverse : t * inverse) - x;
          slopes += slope;
          Store(panel + r * kPanelColumns, slope);
        }
      }
      sum += Log(product) + rounded;
    }
    Finish<kTrains>(layer, column, panel, sum, slopes);
  }

  template <bool kTrains>
  void Finish(const Layer& layer, int column, float* panel, Vec sum, Vec slopes) {
    const int lanes = std::min(kLanes, layer.outputs - column);
    if (lanes < kLanes) {
      for (int lane = lanes; lane < kLanes; ++lane) sum[lane] = slopes[lane] = 0;
      for (int r = 0; kTrains && r < count_; ++r) {
        std::fill(panel + r * kPanelColumns + lanes, panel + r * kPanelColumns + kLanes, 0.0f);
      }
    }
    loss_sum += Sum(sum);
    if (kTrains) AddBiasGradient(layer, column, slopes);
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
      if (l == 0 && sparse_) {
        SparseKernelGradient(layer);
        continue;
      }
      slope_operands_[l].Set(slopes, count_);
      AddKernelGradient(l, 0, layer.columns, slope_operands_[l]);
      if (l > 0) {
        const Layer& below = stack_.layers[l - 1];
        Product<Arithmetic>(count_, below.columns / kLanes, Depth(layer.outputs),
                            slope_operands_[l].Left(), kernels_.Transposed(l),
                            {slopes_[l - 1], below.stride}, {nullptr, 0});
      }
    }
  }

  void SparseKernelGradient(const Layer& layer) {
    for (int f = 0; f < layer.inputs; ++f) {
      for (int column = 0; column < layer.columns; column += 2 * kLanes) {
        if (column + kLanes < layer.columns) {
          SparseFeature<2>(layer, f, column);
        } else {
          SparseFeature<1>(layer, f, column);
        }
      }
    }
  }

  template <int V>
  void SparseFeature(const Layer& layer, int f, int column) {
    const Entry* entries = entries_.data() + static_cast<size_t>(f) * kBlockRows;
    const float* slopes = slopes_[0] + column;
    float* to = gradients + layer.kernel + static_cast<size_t>(f) * layer.stride + column;
    Vec sums[2][V] = {};
    if (begun_) {
      for (int v = 0; v < V; ++v) sums[0][v] = Load(to + v * kLanes);
    }
    const int count = counts_[f];
    int i = 0;
    for (; i + 2 <= count; i += 2) {
#pragma GCC unroll 2
      for (int s = 0; s < 2; ++s) {
        const Vec value = Broadcast(entries[i + s].value);
        const float* row = slopes + static_cast<size_t>(entries[i + s].row) * layer.stride;
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sums[s][v] += value * Load(row + v * kLanes);
      }
    }
    if (i < count) {
      const Vec value = Broadcast(entries[i].value);
      const float* row = slopes + static_cast<size_t>(entries[i].row) * layer.stride;
      for (int v = 0; v < V; ++v) sums[0][v] += value * Load(row + v * kLanes);
    }
    for (int v = 0; v < V; ++v) Store(to + v * kLanes, sums[0][v] + sums[1][v]);
  }

  const Stack& stack_;
  const float* const parameters_;
  const Kernels<Arithmetic>& kernels_;
  const Loss loss_;
  const bool sparse_;
  const int input_stride_;
  int count_ = 0;
  bool begun_ = false;
  Array<T> rows_;                       // [kBlockRows, input_stride]
  Floats values_;                       // the same as floats, where the first layer is dense
  std::vector<Floats> before_, after_;  // pre-activations and activations of the hidden layers
  std::vector<Floats> slopes_;          // the loss' slope by them
  std::vector<Operand<Arithmetic>> inputs_;          // of each layer
  std::vector<Operand<Arithmetic>> slope_operands_;  // of each hidden layer
  Floats panel_;                                     // [kBlockRows, kPanelColumns]
  Operand<Arithmetic> panel_operand_;
  std::vector<int32_t> positions_;  // of a row's values that are not zero
  std::vector<int> counts_;         // of each feature's entries
  std::vector<Entry> entries_;      // [features, kBlockRows]
};

}  // namespace tfae
