// Whole epochs and evaluations, on a team of threads.
#pragma once

#include <cmath>

#include "network.h"
#include "optimizer.h"
#include "threads.h"

namespace tfae {

// A thread is worth its meetings with the others from so many rows of a batch on.
constexpr int kRowsAThread = 8;
// Inputs that are mostly zero are walked through by those that are not.
constexpr double kSparseBelow = 0.5;
constexpr int kSampledRows = 1000;
// What a thread updates at a time: rows and columns of a kernel.
constexpr int kUnitRows = 16;
constexpr int kUnitColumns = 64;

inline int ThreadsFor(int64_t rows, int threads) {
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, rows / kRowsAThread)));
}

template <typename T>
bool IsSparse(const Rows<T>& rows, int64_t count, int features) {
  if (rows.center) return false;
  const int64_t values = std::min<int64_t>(count, kSampledRows) * features;
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
        parameters_(parameters), slots_(slots), kernels_(stack, parameters.values, true),
        barrier_(threads_), squares_(threads_) {
    Share();
    const bool sparse = IsSparse(rows, row_count, stack.features());
    for (int t = 0; t < threads_; ++t) {
      blocks_.emplace_back(stack, parameters.values, kernels_, loss, sparse, true);
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
    return sum;
  }

  // Updates this thread's share of the parameters, and the kernels' copies of them.
  void Update(int thread, int64_t step, float scale) {
    const bool clips = schedule_.clip_norm > 0;
    if (clips) {
      double squares = 0;
      for (double share : squares_) squares += share;
      const float norm = std::sqrt(static_cast<float>(squares));
      scale = schedule_.clip_norm / std::max(norm, schedule_.clip_norm);
    }
    const float rate = schedule_.rates[step];
    const float kept = schedule_.decays ? 1.0f - schedule_.decays[step] : 1.0f;
    float* values = parameters_.values;
    ForEachVector(thread, [&](size_t at) {
      float* slots[2] = {};
      for (int s = 0; s < Optimizer::kSlots; ++s) slots[s] = slots_[s].values + at;
      const Vec gradient = (clips ? Load(blocks_[0].gradients + at) : Gradient(at)) * scale;
      const Vec value = Load(values + at) * kept;
      Store(values + at, value - optimizer_.Update(gradient, slots, rate));
    });
    for (size_t u = shares_[thread]; u < shares_[thread + 1]; ++u) {
      const Unit& unit = units_[u];
      kernels_.Update(unit.layer, unit.rows, unit.columns);
    }
  }

  // A part of a kernel, the bias being its last row.
  struct Unit {
    size_t layer;
    Range rows, columns;
  };

  // Cuts the parameters into units, and these into shares of about the same size.
  void Share() {
    for (size_t l = 0; l < stack_.layers.size(); ++l) {
      const Layer& layer = stack_.layers[l];
      for (int i = 0; i <= layer.inputs; i += kUnitRows) {
        for (int j = 0; j < layer.stride; j += kUnitColumns) {
          units_.push_back({l, {i, std::min(i + kUnitRows, layer.inputs + 1)},
                            {j, std::min(j + kUnitColumns, layer.stride)}});
        }
      }
    }
    size_t shared = 0;
    for (size_t u = 0; u < units_.size(); ++u) {
      while (shared * threads_ >= stack_.size * shares_.size()) shares_.push_back(u);
      shared += static_cast<size_t>(units_[u].rows.size()) * units_[u].columns.size();
    }
    shares_.resize(threads_ + 1, units_.size());
  }

  template <typename F>
  void ForEachVector(int thread, F function) const {
    for (size_t u = shares_[thread]; u < shares_[thread + 1]; ++u) {
      const Unit& unit = units_[u];
      const Layer& layer = stack_.layers[unit.layer];
      for (int i = unit.rows.begin; i < unit.rows.end; ++i) {
        const size_t row = layer.kernel + static_cast<size_t>(i) * layer.stride;
        for (int j = unit.columns.begin; j < unit.columns.end; j += kLanes) function(row + j);
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
  Kernels<Arithmetic> kernels_;
  std::vector<Block<T, Arithmetic>> blocks_;  // a thread each
  std::vector<Unit> units_;
  std::vector<size_t> shares_ = {0};  // where each thread's units begin
  Barrier barrier_;
  std::vector<double> squares_;  // of each thread's share of the gradients
};

// Has each thread call function(block, rows, first, count) for the blocks of its share of the rows.
// Returns the sum of their losses.
template <typename T, typename Arithmetic, typename F>
double ForEachBlock(const Stack& stack, Loss loss, const Rows<T>& rows, int64_t count, int threads,
                    const Parameters& parameters, F function) {
  const bool sparse = IsSparse(rows, count, stack.features());
  const Kernels<Arithmetic> kernels(stack, parameters.values, false);
  std::vector<Block<T, Arithmetic>> blocks;
  threads = ThreadsFor(count, threads);
  for (int t = 0; t < threads; ++t) {
    blocks.emplace_back(stack, parameters.values, kernels, loss, sparse, false);
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
