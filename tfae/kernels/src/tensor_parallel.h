// An epoch in which each thread has some columns of the rows, and trains the narrower stack that
// takes and gives them: of two layers, whose hidden values, and the slopes by them, all threads add.
// Weights never leave their thread.
#pragma once

#include <deque>
#include <numeric>

#include "all_reduce.h"
#include "network.h"
#include "optimizer.h"
#include "threads.h"

namespace tfae {

// A thread is worth its meetings with the others from so many columns on.
constexpr int kColumnsAThread = 2 * kLanes;

// How many threads share the columns of such a stack; 1 where they are too few, or where what the
// threads would add, the hidden values of a batch, is more than the weights, whose gradients they
// add otherwise.
inline int ThreadsForColumns(const Stack& stack, int64_t batch, int threads) {
  if (stack.layers.size() != 2) return 1;
  threads = std::min(threads, stack.features() / kColumnsAThread);
  return threads > 1 && threads * batch < 2 * stack.features() ? threads : 1;
}

template <typename T, typename Arithmetic, typename Optimizer>
class TensorParallel {
 public:
  TensorParallel(const Stack& stack, Loss loss, const Schedule<Optimizer>& schedule,
                 const Rows<T>& rows, bool sparse, Order order, int threads,
                 const Tensors<const float>& from)
      : features_(stack.features()), threads_(threads), schedule_(schedule), order_(order),
        block_rows_(static_cast<int>(
            std::min<int64_t>({order.count, schedule.batch, kMostBlockRows}))),
        barrier_(threads),
        team_(threads, static_cast<size_t>(block_rows_) * stack.layers[0].stride, barrier_),
        squares_(threads) {
    const int vectors = Padded(features_) / kLanes;
    const auto first = [&](int thread) {  // the first threads have a vector more than others
      return std::min((vectors * thread + threads - 1) / threads * kLanes, features_);
    };
    for (int t = 0; t < threads; ++t) {
      members_.emplace_back(*this, t, stack, Range{first(t), first(t + 1)}, loss, rows, sparse,
                            from);
    }
  }

  // The sum over rows and features of the loss that each row had before its batch's update.
  double Epoch() {
    RunThreads(threads_, [this](int thread) {
      int64_t step = 0;
      for (int64_t start = 0; start < order_.count; start += schedule_.batch, ++step) {
        const int batch =
            static_cast<int>(std::min<int64_t>(schedule_.batch, order_.count - start));
        Block<T, Arithmetic>& block = members_[thread].block;
        block.Begin();
        for (int first = 0; first < batch; first += block_rows_) {
          block.Train(members_[thread].rows, order_.rows + start + first,
                      std::min(block_rows_, batch - first));
        }
        Update(thread, step, 1.0f / (static_cast<float>(batch) * features_));
      }
    });
    double sum = 0;
    for (const Member& member : members_) sum += member.block.loss_sum;
    return sum;
  }

  void Write(const Tensors<float>& to) const {
    for (const Member& member : members_) WriteAll(member.state, to);
  }

 private:
  static constexpr int64_t kMostBlockRows = 2 * kBlockRows;

  // What a thread has.
  struct Member {
    Member(TensorParallel& all, int thread, const Stack& whole, Range columns, Loss loss,
           const Rows<T>& whole_rows, bool sparse, const Tensors<const float>& from)
        : stack(whole.Narrowed(columns.end - columns.begin)), rows(whole_rows),
          state(ReadAll(stack, {columns.begin, whole.features()}, from)),
          weights(stack, state[0].values, true),
          block(stack, state[0].values, weights, loss, sparse, true, all.block_rows_, &all.team_,
                thread) {
      rows.data += columns.begin;
      if (rows.center) {
        rows.center += columns.begin;
        rows.width += columns.begin;
      }
    }

    Stack stack;
    Rows<T> rows;
    std::vector<Parameters> state;
    Weights<Arithmetic> weights;
    Block<T, Arithmetic> block;
  };

  void Update(int thread, int64_t step, float scale) {
    Member& member = members_[thread];
    const float* gradients = member.block.gradients;
    if (schedule_.clips()) scale *= schedule_.ClipScale(Squares(thread, scale));
    for (size_t at = 0; at < member.stack.size; at += kLanes) {
      schedule_.Update(step, Load(gradients + at) * scale, member.state, at);
    }
    for (size_t l = 0; l < member.stack.layers.size(); ++l) {
      member.weights.Update(l, {0, member.stack.layers[l].inputs});
    }
  }

  // The sum of the squares of all threads' gradients.
  double Squares(int thread, float scale) {
    const Stack& stack = members_[thread].stack;
    const float* gradients = members_[thread].block.gradients;
    double squares = 0;
    for (size_t at = 0; at < stack.size; at += kLanes) {
      // All threads have the hidden layer's bias, the same one.
      if (at == stack.layers[0].bias && thread > 0) at = stack.layers[1].kernel;
      const Vec gradient = Load(gradients + at) * scale;
      squares += Sum(gradient * gradient);
    }
    squares_[thread] = squares;
    barrier_.Wait();
    return std::accumulate(squares_.begin(), squares_.end(), 0.0);
  }

  const int features_, threads_;
  const Schedule<Optimizer> schedule_;
  const Order order_;
  const int block_rows_;
  Barrier barrier_;
  AllReduce team_;
  std::vector<double> squares_;  // of each thread's gradients
  std::deque<Member> members_;   // which stay where they are
};

}  // namespace tfae
