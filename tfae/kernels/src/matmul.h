// Products of any matrices: what is to the right is packed into strips, which stay in the cache.
#pragma once

#include <algorithm>

#include "gemm.h"
#include "stack.h"

namespace tfae {

// C[rows, columns] = A[rows, depth] B[depth, columns], each in rows without gaps, A or B given
// transposed where it is said so.
struct Matmul {
  const float *a, *b;
  float* c;
  int rows, columns, depth;
  bool transposed_a, transposed_b;
};

class MatmulBuffers {
 public:
  static constexpr int kStrip = 2 * kLanes;
  static constexpr int kDepth = 512;   // of a strip: it fills half of the nearest cache
  static constexpr int kLeftRows = 4 * kTileRows;

  MatmulBuffers()
      : strip_(kStrip * kDepth), tile_(kStrip * kLeftRows) {}

  // The rows from rows.begin and the columns from columns.begin, a multiple of kStrip.
  void Run(const Matmul& m, Range rows, Range columns) {
    for (int k = 0; k < m.depth; k += kDepth) {
      const int depth = std::min(kDepth, m.depth - k);
      for (int j = columns.begin; j < columns.end; j += kStrip) {
        Pack(m, k, depth, j, std::min(kStrip, columns.end - j));
        for (int i = rows.begin; i < rows.end; i += kLeftRows) {
          Block(m, k, depth, {i, std::min(i + kLeftRows, rows.end)}, j,
                std::min(kStrip, columns.end - j));
        }
      }
    }
  }

 private:
  void Pack(const Matmul& m, int k, int depth, int j, int width) {
    if (m.transposed_b) {
      for (int column = 0; column < width; ++column) {
        const float* from = m.b + static_cast<size_t>(j + column) * m.depth + k;
        for (int d = 0; d < depth; ++d) strip_[d * kStrip + column] = from[d];
      }
    } else {
      const float* from = m.b + static_cast<size_t>(k) * m.columns + j;
      for (int d = 0; d < depth; ++d, from += m.columns) {
        if (width == kStrip) {
          Store(strip_ + d * kStrip, Load(from));
          Store(strip_ + d * kStrip + kLanes, Load(from + kLanes));
        } else {
          std::copy_n(from, width, strip_ + d * kStrip);
        }
      }
    }
    if (width == kStrip) return;
    for (int d = 0; d < depth; ++d) std::fill_n(strip_ + d * kStrip + width, kStrip - width, 0.0f);
  }

  void Block(const Matmul& m, int k, int depth, Range rows, int j, int width) {
    const int count = rows.end - rows.begin;
    Strided<float> a{m.a + static_cast<size_t>(rows.begin) * m.depth + k, m.depth, 1};
    if (m.transposed_a) a = {m.a + static_cast<size_t>(k) * m.rows + rows.begin, 1, m.rows};
    float* c = m.c + static_cast<size_t>(rows.begin) * m.columns + j;
    const RowMajor<const float> strip{strip_, kStrip};
    const int vectors = width > kLanes ? 2 : 1;
    const bool whole = width == kStrip || width == kLanes;
    const RowMajor<float> to = whole ? RowMajor<float>{c, m.columns}
                                     : RowMajor<float>{tile_, kStrip};
    if (!whole && k > 0) Copy(count, width, c, m.columns, tile_, kStrip);
    const RowMajor<const float> first{k > 0 ? to.data : nullptr, to.stride};
    Product<Float32>(count, vectors, depth, a, strip, to, first);
    if (!whole) Copy(count, width, tile_, kStrip, c, m.columns);
  }

  static void Copy(int rows, int columns, const float* from, int from_stride, float* to,
                   int to_stride) {
    for (int r = 0; r < rows; ++r, from += from_stride, to += to_stride) {
      std::copy_n(from, columns, to);
    }
  }

  Floats strip_, tile_;
};

}  // namespace tfae
