// Whole epochs and evaluations, on a team of threads.
#pragma once

#include <cmath>

#include "network.h"
#include "optimizer.h"
#include "threads.h"

namespace tfae {

// A thread is worth its meetings with the others from so many rows of a batch on.
constexpr int kRowsAThread = 8;
// Inputs that are mostly zero are walked through by those that are not, as long as the first kernel,
// whose rows that reads here and there, stays in the nearer caches.
constexpr double kSparseBelow = 0.5;
constexpr int kSampledRows = 1000;
constexpr int kSparseKernel = 1 << 19;  // floats
// How far ahead gradients are fetched for the update.
constexpr int kFloatsAhead = 512;

inline int ThreadsFor(int64_t rows, int threads) {
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, rows / kRowsAThread)));
}

template <typename T>
bool IsSparse(const Rows<T>& rows, int64_t count, const Stack& stack) {
  if (rows.center || stack.layers.size() == 1) return false;
  if (stack.layers.front().kernel_size() > kSparseKernel) return false;
  const int64_t values = std::min<int64_t>(count, kSampledRows) * stack.features();
  return std::count_if(rows.data, rows.data + values, [](T v) { return v != 0; }) <
         kSparseBelow * values;
}

// The settings of every step of an epoch.
struct Schedule {
  const float* rates;   // of the optimizer
  const float* decays;  // how much of a weight is taken away, or null
  float clip_norm;      // of the gradients, or 0
  int batch;
};

template <typename T, typename Arithmetic, typename Optimizer>
class Trainer {
 public:
  Trainer(const Stack& stack, Loss loss, Optimizer optimizer, const Schedule& schedule,
          const Rows<T>& rows, int64_t row_count, const int32_t* order, int64_t count, int threads,
          Parameters& parameters, std::vector<Parameters>& slots)
      : stack_(stack), optimizer_(optimizer), schedule_(schedule), rows_(rows), order_(order),
        count_(count), threads_(ThreadsFor(std::min<int64_t>(schedule.batch, count), threads)),
        parameters_(parameters), slots_(slots), weights_(stack, parameters.values, true),
        barrier_(threads_), squares_(threads_) {
    const bool sparse = IsSparse(rows, row_count, stack);
    for (int t = 0; t < threads_; ++t) {
      blocks_.emplace_back(stack, parameters.values, weights_, loss, sparse, true);
    }
  }

  // The mean over the rows of the loss that each had before its batch's update.
  double Epoch() {
    RunThreads(threads_, [this](int thread) {
      int64_t step = 0;
      for (int64_t start = 0; start < count_; start += schedule_.batch, ++step) {
        const int batch = static_cast<int>(std::min<int64_t>(schedule_.batch, count_ - start));
        AddGradients(thread, start, batch);
        barrier_.Wait();
        const float scale = 1.0f / (static_cast<float>(batch) * stack_.features());
        if (schedule_.clip_norm > 0) AddSquares(thread, scale);
        Update(thread, step, scale);
        barrier_.Wait();
      }
    });
    double sum = 0;
    for (const Block<T, Arithmetic>& block : blocks_) sum += block.loss_sum;
    return sum / stack_.features() / count_;
  }

 private:
  void AddGradients(int thread, int64_t start, int batch) {
    Block<T, Arithmetic>& block = blocks_[thread];
    block.Begin();
    int first = static_cast<int64_t>(batch) * thread / threads_;
    const int last = static_cast<int64_t>(batch) * (thread + 1) / threads_;
    for (; first < last; first += kBlockRows) {
      block.Train(rows_, order_ + start + first, std::min(kBlockRows, last - first));
    }
    if (!block.begun()) std::fill_n(block.gradients.data(), stack_.size, 0.0f);
  }

  // Sums the threads' gradients in blocks_[0], and the squares of this thread's share of them.
  void AddSquares(int thread, float scale) {
    double squares = 0;
    float* total = blocks_[0].gradients;
    ForEachVector(thread, [&](size_t at) {
      const Vec gradient = Gradient(at) * scale;
      Store(total + at, gradient);
      squares += Sum(gradient * gradient);
    });
    squares_[thread] = squares;
    barrier_.Wait();
  }

  Vec Gradient(size_t at) const {
    Vec sum = Load(blocks_[0].gradients + at);
    for (int t = 1; t < threads_; ++t) sum += Load(blocks_[t].gradients + at);
    // Most of them lie in another core's cache.
    for (const auto& block : blocks_) __builtin_prefetch(block.gradients + at + kFloatsAhead);
    return sum;
  }

  // Updates this thread's share of the parameters, and then what weights_ makes of them.
  void Update(int thread, int64_t step, float scale) {
    const bool clips = schedule_.clip_norm > 0;
    if (clips) {
      double squares = 0;
      for (double share : squares_) squares += share;
      const float norm = std::sqrt(static_cast<float>(squares));
      // What is not finite stays so, as in TensorFlow: it must not pass for a small step.
      scale = std::isfinite(norm) ? schedule_.clip_norm / std::max(norm, schedule_.clip_norm) : NAN;
    }
    const float rate = schedule_.rates[step];
    const float decay = schedule_.decays ? schedule_.decays[step] : 0.0f;
    float* values = parameters_.values;
    ForEachVector(thread, [&](size_t at) {
      float* slots[2] = {};
      for (int s = 0; s < Optimizer::kSlots; ++s) slots[s] = slots_[s].values + at;
      const Vec gradient = (clips ? Load(blocks_[0].gradients + at) : Gradient(at)) * scale;
      const Vec value = Load(values + at), decayed = value - value * decay;
      Store(values + at, decayed - optimizer_.Update(gradient, slots, rate));
    });
    for (size_t l = 0; l < stack_.layers.size(); ++l) {
      weights_.Update(l, Share(stack_.layers[l], thread));
    }
  }

  // The rows of a layer's kernel that a thread updates, the bias being the last one. A bfloat16
  // kernel has them in pairs.
  Range Share(const Layer& layer, int thread) const {
    const auto begin = [&](int t) { return static_cast<int>((layer.inputs + 1L) * t / threads_); };
    const int end = begin(thread + 1);
    return {begin(thread) / 2 * 2, thread + 1 < threads_ ? end / 2 * 2 : end};
  }

  template <typename F>
  void ForEachVector(int thread, F function) const {
    for (const Layer& layer : stack_.layers) {
      const Range rows = Share(layer, thread);
      const size_t end = layer.kernel + static_cast<size_t>(rows.end) * layer.stride;
      for (size_t at = layer.kernel + static_cast<size_t>(rows.begin) * layer.stride; at < end;
           at += kLanes) {
        function(at);
      }
    }
  }

  const Stack& stack_;
  const Optimizer optimizer_;
  const Schedule schedule_;
  const Rows<T> rows_;
  const int32_t* order_;
  const int64_t count_;
  const int threads_;
  Parameters& parameters_;
  std::vector<Parameters>& slots_;
  Weights<Arithmetic> weights_;
  std::vector<Block<T, Arithmetic>> blocks_;  // a thread each
  Barrier barrier_;
  std::vector<double> squares_;  // of each thread's share of the gradients
};

// Has each thread call function(block, rows, first, count) for the blocks of its share of the rows.
// Returns the sum of their losses.
template <typename T, typename Arithmetic, typename F>
double ForEachBlock(const Stack& stack, Loss loss, const Rows<T>& rows, int64_t count, int threads,
                    const Parameters& parameters, F function) {
  const bool sparse = IsSparse(rows, count, stack);
  const Weights<Arithmetic> weights(stack, parameters.values, false);
  std::vector<Block<T, Arithmetic>> blocks;
  threads = ThreadsFor(count, threads);
  for (int t = 0; t < threads; ++t) {
    blocks.emplace_back(stack, parameters.values, weights, loss, sparse, false);
  }
  RunThreads(threads, [&](int thread) {
    const int64_t last = count * (thread + 1) / threads;
    for (int64_t first = count * thread / threads; first < last; first += kBlockRows) {
      Rows<T> part = rows;
      part.data += first * stack.features();
      function(blocks[thread], part, first,
               static_cast<int>(std::min<int64_t>(kBlockRows, last - first)));
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
