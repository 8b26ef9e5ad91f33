// A stack of dense layers: its shape and its memory.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "simd.h"

namespace tfae {

// In the order of the names in Python.
enum class Activation { kRelu, kElu, kSelu, kGelu, kSilu, kTanh, kSigmoid, kLinear };
enum class Loss { kBinaryCrossentropy, kMse, kMae, kHuber };

// In whole vectors.
inline int Padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// From one row of a matrix to the next: in whole vectors, and an odd number of them, so that the
// rows begin in different sets of the cache. Two are as good.
inline int Stride(int columns) {
  const int vectors = Padded(columns) / kLanes;
  return (vectors > 2 ? vectors | 1 : vectors) * kLanes;
}

// Zeros at first, aligned to a cache line.
template <typename T>
class Array {
 public:
  explicit Array(size_t count = 0) : size_(count) {
    if (count == 0) return;
    const size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_, 0, bytes);
  }
  Array(Array&& other) noexcept { *this = std::move(other); }
  Array& operator=(Array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Array() { std::free(data_); }
  T* data() const { return data_; }
  size_t size() const { return size_; }
  operator T*() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};
using Floats = Array<float>;

struct Range {
  int begin, end;
};

struct Layer {
  int inputs, outputs;
  int columns;  // outputs in whole vectors; what is beyond the outputs is zero everywhere
  int stride;   // from row to row; what is beyond the columns is never looked at
  Activation activation;
  size_t kernel, bias;  // where they begin among all parameters
  size_t kernel_size() const { return bias - kernel; }
};

struct Stack {
  std::vector<Layer> layers;
  size_t size = 0;  // of all parameters, in whole vectors

  Stack(const std::vector<int>& widths, const std::vector<Activation>& activations) {
    for (size_t l = 0; l + 1 < widths.size(); ++l) {
      const int stride = Stride(widths[l + 1]);
      const size_t kernel = size, bias = size + static_cast<size_t>(widths[l]) * stride;
      layers.push_back({widths[l], widths[l + 1], Padded(widths[l + 1]), stride, activations[l],
                        kernel, bias});
      size = bias + stride;
    }
  }

  // The same with so many inputs and outputs.
  Stack Narrowed(int features) const {
    std::vector<int> widths{features};
    std::vector<Activation> activations;
    for (const Layer& layer : layers) {
      widths.push_back(&layer == &layers.back() ? features : layer.outputs);
      activations.push_back(layer.activation);
    }
    return Stack(widths, activations);
  }

  int features() const { return layers.front().inputs; }
  int input_stride() const { return Stride(features()); }
};

// The columns that a stack takes and gives, of so many.
struct Columns {
  int begin, end, total;
};

inline Columns AllColumns(const Stack& stack) {
  const int outputs = stack.layers.back().outputs;
  return {0, outputs, outputs};
}

// Parameters or slots: padded here, [inputs, outputs] and [outputs] for each layer outside.
class Parameters {
 public:
  // Of a stack that has some columns only, the tensors outside have all.
  Parameters(const Stack& stack, Columns columns)
      : values(stack.size), stack_(&stack), columns_(columns) {}
  explicit Parameters(const Stack& stack) : Parameters(stack, AllColumns(stack)) {}

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
      const bool last = l + 1 == stack_->layers.size();
      const int width = last ? columns_.total : layer.outputs;
      const int first_row = l == 0 ? columns_.begin : 0, from = last ? columns_.begin : 0;
      for (int i = 0; i < layer.inputs; ++i) {
        row(2 * l, static_cast<size_t>(first_row + i) * width + from, layer.outputs,
            layer.kernel + static_cast<size_t>(i) * layer.stride);
      }
      row(2 * l + 1, from, layer.outputs, layer.bias);
    }
  }
  const Stack* stack_;
  Columns columns_;
};

// The tensors outside: the parameters, then each kind of slot like them.
template <typename Float>
using Tensors = std::vector<std::vector<Float*>>;

inline std::vector<Parameters> ReadAll(const Stack& stack, Columns columns,
                                       const Tensors<const float>& from) {
  std::vector<Parameters> all;
  for (const auto& tensors : from) {
    all.emplace_back(stack, columns);
    all.back().Read(tensors);
  }
  return all;
}

inline void WriteAll(const std::vector<Parameters>& all, const Tensors<float>& to) {
  for (size_t kind = 0; kind < all.size(); ++kind) all[kind].Write(to[kind]);
}

}  // namespace tfae
