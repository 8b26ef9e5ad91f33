// A stack of dense layers: its shape, its memory, and what one thread does with a block of rows.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "functions.h"
#include "gemm.h"

namespace tfae {

// In the order of the names in Python.
enum class Activation { kRelu, kElu, kSelu, kGelu, kSilu, kTanh, kSigmoid, kLinear };
enum class Loss { kBinaryCrossentropy, kMse, kMae, kHuber };

// Rows that a thread takes at a time: their activations stay in its second-level cache.
constexpr int kBlockRows = 128;
// Columns of the last layer that are taken at a time: they stay in the first-level cache.
constexpr int kPrefetch = 8;  // rows that are fetched ahead from memory
constexpr int kPanelVectors = 4;
constexpr int kPanelColumns = kPanelVectors * kLanes;

inline int Padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Zeros at first, aligned to a cache line.
class Floats {
 public:
  explicit Floats(size_t count = 0) {
    if (count == 0) return;
    const size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    data_ = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_, 0, bytes);
  }
  Floats(Floats&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  Floats& operator=(Floats&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Floats() { std::free(data_); }
  float* data() const { return data_; }
  operator float*() const { return data_; }

 private:
  float* data_ = nullptr;
};

struct Range {
  int begin, end;
  int size() const { return end - begin; }
};

struct Layer {
  int inputs, outputs;
  int stride;  // outputs in whole vectors; what is beyond them is zero everywhere
  Activation activation;
  size_t kernel, bias;  // where they begin among all parameters
};

struct Stack {
  std::vector<Layer> layers;
  size_t size = 0;  // of all parameters, in whole vectors

  Stack(const std::vector<int>& widths, const std::vector<Activation>& activations) {
    for (size_t l = 0; l + 1 < widths.size(); ++l) {
      const int stride = Padded(widths[l + 1]);
      const size_t kernel = size, bias = size + static_cast<size_t>(widths[l]) * stride;
      layers.push_back({widths[l], widths[l + 1], stride, activations[l], kernel, bias});
      size = bias + stride;
    }
  }
  int features() const { return layers.front().inputs; }
  int input_stride() const { return Padded(features()); }
};

// Parameters or slots: padded here, [inputs, outputs] and [outputs] for each layer outside.
class Parameters {
 public:
  explicit Parameters(const Stack& stack) : values(stack.size), stack_(&stack) {}

  void Read(const std::vector<const float*>& tensors) {
    ForEachRow([&](size_t tensor, size_t from, int count, size_t at) {
      std::copy_n(tensors[tensor] + from, count, values + at);
    });
  }
  void Write(const std::vector<float*>& tensors) const {
    ForEachRow([&](size_t tensor, size_t to, int count, size_t at) {
      std::copy_n(values + at, count, tensors[tensor] + to);
    });
  }

  Floats values;

 private:
  template <typename F>
  void ForEachRow(F row) const {
    for (size_t l = 0; l < stack_->layers.size(); ++l) {
      const Layer& layer = stack_->layers[l];
      for (int i = 0; i < layer.inputs; ++i) {
        row(2 * l, static_cast<size_t>(i) * layer.outputs, layer.outputs,
            layer.kernel + static_cast<size_t>(i) * layer.stride);
      }
      row(2 * l + 1, 0, layer.outputs, layer.bias);
    }
  }
  const Stack* stack_;
};

// Kernels with inputs and outputs exchanged, for the products of the backward pass.
class Transposed {
 public:
  explicit Transposed(const Stack& stack) {
    for (const Layer& layer : stack.layers) {
      stride_.push_back(Padded(layer.inputs));
      kernels_.emplace_back(static_cast<size_t>(layer.stride) * stride_.back());
    }
  }
  RowMajor<const float> operator[](size_t layer) const {
    return {kernels_[layer], stride_[layer]};
  }
  // Takes over a part of a layer's kernel, as far as that goes.
  void Update(const Stack& stack, const float* values, size_t l, Range rows, Range columns) {
    const Layer& layer = stack.layers[l];
    const float* kernel = values + layer.kernel;
    for (int j = columns.begin; j < std::min(columns.end, layer.outputs); ++j) {
      float* to = kernels_[l] + static_cast<size_t>(j) * stride_[l];
      const int end = std::min(rows.end, layer.inputs);
      for (int i = rows.begin; i < end; ++i) to[i] = kernel[static_cast<size_t>(i) * layer.stride + j];
    }
  }

 private:
  std::vector<int> stride_;
  std::vector<Floats> kernels_;
};

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
inline Vec LoadValues(const uint8_t* from) {
  return LoadBytes(from);
}

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

// A thread's passes over blocks of rows, and the gradients that they add up.
template <typename T>
class Block {
 public:
  Block(const Stack& stack, Loss loss, bool sparse, bool trains)
      : stack_(stack), loss_(loss), sparse_(sparse), input_stride_(stack.input_stride()),
        rows_(static_cast<size_t>(kBlockRows) * input_stride_) {
    for (const Layer& layer : stack.layers) {
      const bool hidden = &layer != &stack.layers.back();
      const size_t size = hidden ? static_cast<size_t>(kBlockRows) * layer.stride : 0;
      before_.emplace_back(size);
      after_.emplace_back(size);
      upstream_.emplace_back(trains ? size : 0);
    }
    panel_ = Floats(kBlockRows * kPanelColumns);
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
  void Train(const Rows<T>& rows, const int32_t* order, int count, const float* parameters,
             const Transposed& transposed) {
    Gather(rows, order, count);
    Hidden(parameters, true);
    Output<true>(parameters, &transposed);
    Backward(parameters, transposed);
    begun_ = true;
  }

  // Adds the loss of `count` rows from the first on.
  void Evaluate(const Rows<T>& rows, int count, const float* parameters) {
    Gather(rows, nullptr, count);
    Hidden(parameters, false);
    Output<false>(parameters, nullptr);
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
    }
  }

  Strided Inputs(size_t l) const {
    return l == 0 ? Strided{values_, input_stride_, 1}
                  : Strided{after_[l - 1], stack_.layers[l - 1].stride, 1};
  }

  void Hidden(const float* parameters, bool trains) {
    for (size_t l = 0; l + 1 < stack_.layers.size(); ++l) {
      const Layer& layer = stack_.layers[l];
      if (l == 0 && sparse_) {
        SparseForward(layer, parameters, trains);
      } else {
        Product(count_, layer.stride / kLanes, layer.inputs, Inputs(l),
                {parameters + layer.kernel, layer.stride}, {before_[l], layer.stride},
                {parameters + layer.bias, 0});
      }
      WithActivation(layer.activation, [&](auto activation) {
        for (int i = 0; i < count_ * layer.stride; i += kLanes) {
          Store(after_[l] + i, activation.Value(Load(before_[l] + i)));
        }
      });
      ClearPadding(after_[l], layer);
    }
  }

  // A sigmoid gives 1/2 for a padding's 0.
  void ClearPadding(float* values, const Layer& layer) const {
    if (layer.stride == layer.outputs) return;
    for (int r = 0; r < count_; ++r) {
      float* row = values + static_cast<size_t>(r) * layer.stride;
      std::fill(row + layer.outputs, row + layer.stride, 0.0f);
    }
  }

  // The first layer's pre-activations from the inputs that are not zero, which it lists.
  void SparseForward(const Layer& layer, const float* parameters, bool trains) {
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
      for (int column = 0; column < layer.stride; column += 2 * kLanes) {
        const float* kernel = parameters + layer.kernel + column;
        const float* bias = parameters + layer.bias + column;
        float* to = before_[0] + static_cast<size_t>(r) * layer.stride + column;
        if (column + kLanes < layer.stride) {
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

  // The last layer, a panel of columns at a time: its outputs, the loss, and what depends on them.
  template <bool kTrains>
  void Output(const float* parameters, const Transposed* transposed) {
    const size_t l = stack_.layers.size() - 1;
    const Layer& layer = stack_.layers[l];
    for (int column = 0; column < layer.stride; column += kPanelColumns) {
      const int columns = std::min(kPanelColumns, layer.stride - column);
      const RowMajor<float> panel{panel_, kPanelColumns};
      const Strided inputs = Inputs(l);
      Product(count_, columns / kLanes, layer.inputs, inputs,
              {parameters + layer.kernel + column, layer.stride}, panel,
              {parameters + layer.bias + column, 0});
      for (int v = 0; v < columns; v += kLanes) {
        LossOf<kTrains>(layer, column + v, panel_ + v);
      }
      if constexpr (kTrains) {
        AddKernelGradient(layer, column, columns, inputs, {panel_, kPanelColumns});
        if (l == 0) continue;
        const RowMajor<const float> kernel = (*transposed)[l];
        const RowMajor<float> upstream{upstream_[l - 1], stack_.layers[l - 1].stride};
        Product(count_, stack_.layers[l - 1].stride / kLanes, columns, {panel_, kPanelColumns, 1},
                {kernel.data + column * kernel.stride, kernel.stride}, upstream,
                {column ? upstream.data : nullptr, upstream.stride});
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

  void AddKernelGradient(const Layer& layer, int column, int columns, Strided inputs,
                         RowMajor<const float> slopes) {
    float* to = gradients + layer.kernel + column;
    Product(layer.inputs, columns / kLanes, count_, {inputs.data, inputs.column, inputs.row},
            slopes, {to, layer.stride}, {begun_ ? to : nullptr, layer.stride});
  }

  // The hidden layers, from the last: upstream_ holds the loss' slope by each one's activations.
  void Backward(const float* parameters, const Transposed& transposed) {
    for (size_t l = stack_.layers.size() - 1; l-- > 0;) {
      const Layer& layer = stack_.layers[l];
      float* slopes = upstream_[l];
      WithActivation(layer.activation, [&](auto activation) {
        for (int column = 0; column < layer.stride; column += kLanes) {
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
      AddKernelGradient(layer, 0, layer.stride, Inputs(l), {slopes, layer.stride});
      if (l > 0) {
        const Layer& below = stack_.layers[l - 1];
        Product(count_, below.stride / kLanes, layer.outputs, {slopes, layer.stride, 1},
                transposed[l], {upstream_[l - 1], below.stride}, {nullptr, 0});
      }
    }
  }

  void SparseKernelGradient(const Layer& layer) {
    for (int f = 0; f < layer.inputs; ++f) {
      for (int column = 0; column < layer.stride; column += 2 * kLanes) {
        if (column + kLanes < layer.stride) {
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
    const float* slopes = upstream_[0] + column;
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
  const Loss loss_;
  const bool sparse_;
  const int input_stride_;
  int count_ = 0;
  bool begun_ = false;
  std::vector<T> rows_;      // [kBlockRows, input_stride]
  Floats values_;            // the same as floats, where the first layer is dense
  std::vector<Floats> before_, after_;  // pre-activations and activations of the hidden layers
  std::vector<Floats> upstream_;        // the loss' slope by them
  Floats panel_;                        // [kBlockRows, kPanelColumns]
  std::vector<int32_t> positions_;      // of a row's values that are not zero
  std::vector<int> counts_;             // of each feature's entries
  std::vector<Entry> entries_;          // [features, kBlockRows]
};

}  // namespace tfae
