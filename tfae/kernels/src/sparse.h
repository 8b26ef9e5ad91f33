// The first layer, where most of its inputs are zero: only those that are not are walked through.
#pragma once

#include <algorithm>
#include <vector>

#include "rows.h"
#include "stack.h"

namespace tfae {

// Inputs that are mostly zero are walked through by those that are not, as long as the first kernel,
// whose rows that reads here and there, stays in the nearer caches.
constexpr double kSparseBelow = 0.5;
constexpr int kSampledRows = 1000;
constexpr int kSparseKernel = 1 << 19;  // floats

// Whether that pays for such rows, which are given whole.
template <typename T>
bool IsSparse(const Rows<T>& rows, int64_t count, const Stack& stack) {
  if (rows.center || stack.layers.size() == 1) return false;
  if (stack.layers.front().kernel_size() > kSparseKernel) return false;
  const int64_t values = std::min<int64_t>(count, kSampledRows) * stack.features();
  return std::count_if(rows.data, rows.data + values, [](T v) { return v != 0; }) <
         kSparseBelow * values;
}

template <typename T>
class SparseLayer {
 public:
  SparseLayer(const Layer& layer, int block_rows, int row_stride, bool trains)
      : layer_(layer), block_rows_(block_rows), row_stride_(row_stride),
        positions_(row_stride + kLanes), counts_(row_stride),
        entries_(trains ? static_cast<size_t>(row_stride) * block_rows : 0) {}

  // Writes the pre-activations of `count` rows, and lists what of them is not zero.
  void Forward(const T* rows, int count, const float* kernel, const float* bias, float* before) {
    std::fill(counts_.begin(), counts_.end(), 0);
    for (int r = 0; r < count; ++r) {
      const T* row = rows + static_cast<size_t>(r) * row_stride_;
      const int nonzero = Positions(row);
      for (int column = 0; column < layer_.columns; column += 2 * kLanes) {
        float* to = before + static_cast<size_t>(r) * layer_.stride + column;
        const bool lists = column == 0 && !entries_.empty();
        if (column + kLanes < layer_.columns) {
          Row<2>(row, r, nonzero, lists, kernel + column, bias + column, to);
        } else {
          Row<1>(row, r, nonzero, lists, kernel + column, bias + column, to);
        }
      }
    }
  }

  // Adds the kernel's gradient of the rows that came last, whose pre-activations have these slopes;
  // begins it where `adds` is false.
  void AddKernelGradient(const float* slopes, bool adds, float* gradients) const {
    for (int f = 0; f < layer_.inputs; ++f) {
      for (int column = 0; column < layer_.columns; column += 2 * kLanes) {
        float* to = gradients + layer_.kernel + static_cast<size_t>(f) * layer_.stride + column;
        if (column + kLanes < layer_.columns) {
          Feature<2>(f, slopes + column, adds, to);
        } else {
          Feature<1>(f, slopes + column, adds, to);
        }
      }
    }
  }

 private:
  // A value that is not zero, in the list of its feature.
  struct Entry {
    float value;
    int32_t row;  // of the block
  };

  // How many values of a row are not zero; positions_ has which.
  int Positions(const T* row) {
    int count = 0;
    for (int f = 0; f < row_stride_; f += kLanes) {
      count += NonZero(row + f, f, positions_.data() + count);
    }
    return count;
  }

  // The value of a feature f of row r, which is put on f's list.
  float Take(const T* row, int r, int f, bool lists) {
    const float value = Value(row[f]);
    if (lists) entries_[static_cast<size_t>(f) * block_rows_ + counts_[f]++] = {value, r};
    return value;
  }

  // One row's columns; four sums each, since an addition waits for the one before it. The products
  // leave time to list the row's values.
  template <int V>
  void Row(const T* row, int r, int count, bool lists, const float* kernel, const float* bias,
           float* to) {
    Vec sums[4][V] = {};
    int i = 0;
    for (; i + 4 <= count; i += 4) {
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) {
        const int f = positions_[i + s];
        const Vec value = Broadcast(Take(row, r, f, lists));
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
          sums[s][v] += value * Load(kernel + static_cast<size_t>(f) * layer_.stride + v * kLanes);
        }
      }
    }
    for (; i < count; ++i) {
      const int f = positions_[i];
      const Vec value = Broadcast(Take(row, r, f, lists));
      for (int v = 0; v < V; ++v) {
        sums[0][v] += value * Load(kernel + static_cast<size_t>(f) * layer_.stride + v * kLanes);
      }
    }
    for (int v = 0; v < V; ++v) {
      Store(to + v * kLanes, Load(bias + v * kLanes) + (sums[0][v] + sums[1][v]) +
                                 (sums[2][v] + sums[3][v]));
    }
  }

  template <int V>
  void Feature(int f, const float* slopes, bool adds, float* to) const {
    const Entry* entries = entries_.data() + static_cast<size_t>(f) * block_rows_;
    Vec sums[2][V] = {};
    if (adds) {
      for (int v = 0; v < V; ++v) sums[0][v] = Load(to + v * kLanes);
    }
    const int count = counts_[f];
    int i = 0;
    for (; i + 2 <= count; i += 2) {
#pragma GCC unroll 2
      for (int s = 0; s < 2; ++s) {
        const Vec value = Broadcast(entries[i + s].value);
        const float* row = slopes + static_cast<size_t>(entries[i + s].row) * layer_.stride;
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sums[s][v] += value * Load(row + v * kLanes);
      }
    }
    if (i < count) {
      const Vec value = Broadcast(entries[i].value);
      const float* row = slopes + static_cast<size_t>(entries[i].row) * layer_.stride;
      for (int v = 0; v < V; ++v) sums[0][v] += value * Load(row + v * kLanes);
    }
    for (int v = 0; v < V; ++v) Store(to + v * kLanes, sums[0][v] + sums[1][v]);
  }

  const Layer& layer_;
  const int block_rows_, row_stride_;
  std::vector<int32_t> positions_;  // of a row's values that are not zero
  std::vector<int> counts_;         // of each feature's entries
  std::vector<Entry> entries_;      // [features, block_rows]
};

}  // namespace tfae
