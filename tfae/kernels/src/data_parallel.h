// An epoch in which each thread has some rows of a batch, and all add their gradients.
#pragma once

#include <numeric>

#include "network.h"
#include "threads.h"
#include "update.h"

namespace tfae {

template <typename T, typename Arithmetic>
class DataParallel {
 public:
  DataParallel(const Stack& stack, Loss loss, const Optimizer& optimizer, const Schedule& schedule,
               const Rows<T>& rows, bool sparse, Order order, int threads,
               const Tensors<const float>& from)
      : stack_(stack), optimizer_(optimizer), schedule_(schedule), rows_(rows), order_(order),
        threads_(threads), state_(ReadAll(stack, AllColumns(stack), from)),
        weights_(stack, state_[0].values, true), barrier_(threads), squares_(threads) {
    for (int t = 0; t < threads; ++t) {
      blocks_.emplace_back(stack, state_[0].values, weights_, loss, sparse, true);
    }
  }

  // Returns the sum over rows and features of the loss that each row had before its batch's update.
  double Train() {
    RunThreads(threads_, [this](int thread) {
      schedule_.ForEachBatch(order_.count, [&](int64_t step, int64_t start, int batch) {
        AddGradients(thread, start, batch);
        barrier_.Wait();
        float scale = 1.0f / (static_cast<float>(batch) * stack_.features());
        if (schedule_.clips()) {
          AddSquares(thread, scale);
          barrier_.Wait();
          scale = schedule_.ClipScale(std::accumulate(squares_.begin(), squares_.end(), 0.0));
        }
        UpdateShare(thread, step, scale);
        barrier_.Wait();
      });
    });
    double sum = 0;
    for (const Block<T, Arithmetic>& block : blocks_) sum += block.loss_sum;
    return sum;
  }

  void Write(const Tensors<float>& to) const { WriteAll(state_, to); }

 private:
  // How far ahead gradients are fetched for the update.
  static constexpr int kFloatsAhead = 512;

  void AddGradients(int thread, int64_t start, int batch) {
    Block<T, Arithmetic>& block = blocks_[thread];
    block.Begin();
    int first = static_cast<int64_t>(batch) * thread / threads_;
    const int last = static_cast<int64_t>(batch) * (thread + 1) / threads_;
    for (; first < last; first += kBlockRows) {
      block.Train(rows_, order_.rows + start + first, std::min(kBlockRows, last - first));
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
  }

  Vec Gradient(size_t at) const {
    Vec sum = Load(blocks_[0].gradients + at);
    for (int t = 1; t < threads_; ++t) sum += Load(blocks_[t].gradients + at);
    // Most of them lie in another core's cache.
    for (const auto& block : blocks_) __builtin_prefetch(block.gradients + at + kFloatsAhead);
    return sum;
  }

  // Updates this thread's share of the parameters, and then what weights_ makes of them.
  void UpdateShare(int thread, int64_t step, float scale) {
    const bool summed = schedule_.clips();
    WithUpdate(optimizer_, schedule_, step, state_, [&](auto update) {
      ForEachVector(thread, [&](size_t at) {
        update((summed ? Load(blocks_[0].gradients + at) : Gradient(at)) * scale, at);
      });
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
  const Order order_;
  const int threads_;
  std::vector<Parameters> state_;
  Weights<Arithmetic> weights_;
  std::vector<Block<T, Arithmetic>> blocks_;  // a thread each
  Barrier barrier_;
  std::vector<double> squares_;  // of each thread's share of the gradients
};

}  // namespace tfae
