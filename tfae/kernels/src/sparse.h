// The first layer, where most of its inputs are zero: in float32 only those that are not are walked
// through. (In bfloat16, see sparse_bfloat16.h.)
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "nonzero.h"
#include "rows.h"
#include "stack.h"
#include "weights.h"

namespace tfae {

// Inputs that are mostly zero are walked through by those that are not, as long as the first
// kernel, whose rows that reads here and there, stays in the nearer caches.
constexpr double kSparseBelow = 0.5;
constexpr int kSampledRows = 1000;
constexpr int kSparseKernel = 1 << 19;  // floats
constexpr int kSparseInputs = 1 << 16;  // positions are of 16 bits

// Whether that pays for such rows, which are given whole.
template <typename T>
bool IsSparse(const Rows<T>& rows, int64_t count, const Stack& stack) {
  if (rows.center || stack.layers.size() == 1) return false;
  const Layer& first = stack.layers.front();
  if (first.kernel_size() > kSparseKernel || first.inputs > kSparseInputs) return false;
  const int64_t values = std::min<int64_t>(count, kSampledRows) * stack.features();
  return std::count_if(rows.data, rows.data + values, [](T v) { return v != 0; }) <
         kSparseBelow * values;
}

template <typename T, typename Arithmetic>
class SparseLayer;

// Rows come as the positions and values of what is not zero in each (compressed sparse rows).
template <typename T>
class SparseLayer<T, Float32> {
 public:
  SparseLayer(const Layer& layer, int block_rows, int row_stride)
      : layer_(layer), row_stride_(row_stride), room_(row_stride + kNonZeroRoom),
        counts_(block_rows), positions_(block_rows * room_), values_(block_rows * room_) {}

  // Writes the pre-activations of `count` rows.
  void Forward(const T* rows, int count, RowMajor<const float> kernel, const float* bias,
               float* before) {
    ForEachPanel([&](int column, auto vectors) {
      for (int r = 0; r < count; ++r) {
        const T* row = rows + static_cast<size_t>(r) * row_stride_;
        float* to = before + static_cast<size_t>(r) * layer_.stride + column;
        if (column == 0) {
          counts_[r] = NonZero(row, row_stride_, Positions(r));
          AddInputs<vectors, true>(r, row, kernel.data, bias, to);
        } else {
          AddInputs<vectors, false>(r, row, kernel.data + column, bias + column, to);
        }
      }
    });
  }

  // Adds the kernel's gradient of the rows that came last, whose pre-activations have these slopes.
  void AddKernelGradient(const Operand<Float32>& slopes, int count, float* gradient) const {
    ForEachPanel([&](int column, auto vectors) {
      for (int r = 0; r < count; ++r) {
        AddProducts<vectors>(r, slopes.Right().data + r * slopes.Right().stride + column,
                             gradient + column);
      }
    });
  }

 private:
  uint16_t* Positions(int r) const { return positions_.data() + r * room_; }
  float* Values(int r) const { return values_.data() + r * room_; }

  // Calls function(column, vectors) for four vectors of columns at a time, then for two, then for
  // one; `vectors` is a constant.
  template <typename F>
  void ForEachPanel(F function) const {
    int column = 0;
    const auto take = [&](auto vectors) {
      for (; column + vectors * kLanes <= layer_.columns; column += vectors * kLanes) {
        function(column, vectors);
      }
    };
    take(std::integral_constant<int, 4>());
    take(std::integral_constant<int, 2>());
    take(std::integral_constant<int, 1>());
  }

  // V vectors of what a row gives; several sums each, since an addition waits for the one before,
  // but no more than leave half of the registers for the rest. The first time, the row's values are
  // kept: the products leave time for that.
  template <int V, bool kFirst>
  void AddInputs(int r, const T* row, const float* kernel, const float* bias, float* to) const {
    const uint16_t* const positions = Positions(r);
    float* const values = Values(r);
    const size_t stride = layer_.stride;
    const int count = counts_[r];
    constexpr int kSums = 4 * V <= kRegisters / 2 ? 4 : 2;
    Vec sums[kSums][V] = {};
    const auto add = [&](int i, Vec* sum) {
      const float* from = kernel + positions[i] * stride;
      if constexpr (kFirst) values[i] = Value(row[positions[i]]);
      const Vec value = Broadcast(values[i]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[v] += value * Load(from + v * kLanes);
    };
    int i = 0;
    for (; i + kSums <= count; i += kSums) {
#pragma GCC unroll 4
      for (int s = 0; s < kSums; ++s) add(i + s, sums[s]);
    }
    for (; i < count; ++i) add(i, sums[0]);
    for (int v = 0; v < V; ++v) {
      Vec sum = Load(bias + v * kLanes) + (sums[0][v] + sums[1][v]);
      if constexpr (kSums == 4) sum += sums[2][v] + sums[3][v];
      Store(to + v * kLanes, sum);
    }
  }

  // V vectors of the outer product of a row and its slopes.
  template <int V>
  void AddProducts(int r, const float* slopes, float* gradient) const {
    const uint16_t* const positions = Positions(r);
    const float* const values = Values(r);
    const size_t stride = layer_.stride;
    const int count = counts_[r];
    Vec row[V];
    for (int v = 0; v < V; ++v) row[v] = Load(slopes + v * kLanes);
    for (int i = 0; i < count; ++i) {
      float* to = gradient + positions[i] * stride;
      const Vec value = Broadcast(values[i]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        Store(to + v * kLanes, Load(to + v * kLanes) + value * row[v]);
      }
    }
  }

  const Layer& layer_;
  const int row_stride_;
  const size_t room_;          // of a row
  std::vector<int> counts_;    // of what is not zero in each row
  Array<uint16_t> positions_;  // [block_rows, room]
  Floats values_;              // [block_rows, room]
};

}  // namespace tfae
