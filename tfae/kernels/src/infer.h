// Evaluations and what a stack gives, on a team of threads.
#pragma once

#include "network.h"
#include "threads.h"

namespace tfae {

// Has each thread call function(block, rows, first, count) for the blocks of its share of the rows.
// Returns the sum of their losses.
template <typename T, typename Arithmetic, typename F>
double ForEachBlock(const Stack& stack, Loss loss, const Rows<T>& rows, int64_t count, int threads,
                    const Parameters& parameters, F function) {
  const bool sparse = IsSparse(rows, count, stack);
  const Weights<Arithmetic> weights(stack, parameters.values, false);
  std::vector<Block<T, Arithmetic>> blocks;
  threads = ThreadsFor(count, threads);
  const int block_rows = static_cast<int>(std::min<int64_t>(kBlockRows, count));
  for (int t = 0; t < threads; ++t) {
    blocks.emplace_back(stack, parameters.values, weights, loss, sparse, false, block_rows);
  }
  RunThreads(threads, [&](int thread) {
    const int64_t last = count * (thread + 1) / threads;
    for (int64_t first = count * thread / threads; first < last; first += block_rows) {
      Rows<T> part = rows;
      part.data += first * rows.stride;
      function(blocks[thread], part, first,
               static_cast<int>(std::min<int64_t>(block_rows, last - first)));
    }
  });
  double sum = 0;
  for (const auto& block : blocks) sum += block.loss_sum;
  return sum;
}

// The mean loss over rows and features.
template <typename T, typename Arithmetic>
double Evaluate(const Stack& stack, Loss loss, const Rows<T>& rows, int64_t count, int threads,
                const Parameters& parameters) {
  return ForEachBlock<T, Arithmetic>(
             stack, loss, rows, count, threads, parameters,
             [](auto& block, const Rows<T>& part, int64_t, int rows) {
               block.Evaluate(part, rows);
             }) /
         stack.features() / count;
}

// What the last layer gives, [count, outputs].
template <typename T>
void Forward(const Stack& stack, const Rows<T>& rows, int64_t count, int threads,
             const Parameters& parameters, float* to) {
  const int outputs = stack.layers.back().outputs;
  ForEachBlock<T, Float32>(stack, Loss::kMse, rows, count, threads, parameters,
                           [&](auto& block, const Rows<T>& part, int64_t first, int rows) {
                             block.Forward(part, rows, to + first * outputs);
                           });
}

}  // namespace tfae
