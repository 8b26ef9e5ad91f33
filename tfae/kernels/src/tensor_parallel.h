// An epoch in which each thread has some columns of the rows, and trains the narrower stack that
// takes and gives them: of two layers, whose hidden values, and the slopes by them, all threads
// add. Weights never leave their thread.
#pragma once

#include <deque>
#include <numeric>

#include "all_reduce.h"
#include "network.h"
#include "threads.h"
#include "update.h"

namespace tfae {

// Whether so many threads had better share a stack's columns than a batch's rows. Either way they
// add F features' or B rows' vectors, as long as the hidden layer: by columns each thread reads the
// values and the slopes of all threads, 2 T B; by rows it reads gradients, of its share of the
// weights from all threads, and the weights that the others updated, some 4 F.
inline bool SharesColumns(const Stack& stack, int64_t batch, int threads) {
  constexpr int kColumnsAThread = 32;
  return stack.layers.size() == 2 && threads > 1 &&
         stack.features() >= threads * kColumnsAThread && threads * batch < 2 * stack.features();
}

template <typename T, typename Arithmetic>
class TensorParallel {
 public:
  TensorParallel(const Stack& stack, Loss loss, const Optimizer& optimizer,
                 const Schedule& schedule, const Rows<T>& rows, bool sparse, Order order,
                 int threads, const Tensors<const float>& from)
      : features_(stack.features()), threads_(threads), optimizer_(optimizer), schedule_(schedule),
        order_(order),
        block_rows_(static_cast<int>(
            std::min<int64_t>({order.count, schedule.batch, kMostBlockRows}))),
        barrier_(threads),
        all_reduce_(threads, static_cast<size_t>(block_rows_) * stack.layers[0].stride, barrier_),
        squares_(threads) {
    const int vectors = Padded(features_) / kLanes;
    const auto begin = [&](int thread) {  // threads differ by a vector at most
      return std::min((vectors * thread + threads - 1) / threads * kLanes, features_);
    };
    for (int t = 0; t < threads; ++t) {
      workers_.emplace_back(*this, t, stack, Columns{begin(t), begin(t + 1), features_}, loss,
                            rows, sparse, from);
    }
  }

  // Returns the sum over rows and features of the loss that each row had before its batch's update.
  double Train() {
    RunThreads(threads_, [this](int thread) {
      Worker& worker = workers_[thread];
      schedule_.ForEachBatch(order_.count, [&](int64_t step, int64_t start, int batch) {
        worker.block.Begin();
        for (int first = 0; first < batch; first += block_rows_) {
          worker.block.Train(worker.rows, order_.rows + start + first,
                             std::min(block_rows_, batch - first));
        }
        float scale = 1.0f / (static_cast<float>(batch) * features_);
        if (schedule_.clips()) {
          squares_[thread] = Squares(thread, scale);
          barrier_.Wait();
          scale *= schedule_.ClipScale(std::accumulate(squares_.begin(), squares_.end(), 0.0));
        }
        UpdateAll(worker, step, scale);
      });
    });
    double sum = 0;
    for (const Worker& worker : workers_) sum += worker.block.loss_sum;
    return sum;
  }

  void Write(const Tensors<float>& to) const {
    for (const Worker& worker : workers_) WriteAll(worker.state, to);
  }

 private:
  // Half the columns leave room in the second-level cache for twice the rows.
  static constexpr int kMostBlockRows = 2 * kBlockRows;

  // What a thread has.
  struct Worker {
    Worker(TensorParallel& owner, int thread, const Stack& whole, Columns columns, Loss loss,
           const Rows<T>& whole_rows, bool sparse, const Tensors<const float>& from)
        : stack(whole.Narrowed(columns.end - columns.begin)), rows(whole_rows),
          state(ReadAll(stack, columns, from)), weights(stack, state[0].values, true),
          block(stack, state[0].values, weights, loss, sparse, true, owner.block_rows_,
                &owner.all_reduce_, thread) {
      rows.data += columns.begin;
      if (rows.center) {
        rows.center += columns.begin;
        rows.width += columns.begin;
      }
    }

    const Stack stack;
    Rows<T> rows;
    std::vector<Parameters> state;
    Weights<Arithmetic> weights;
    Block<T, Arithmetic> block;
  };

  // The sum of the squares of a thread's gradients.
  double Squares(int thread, float scale) const {
    const Stack& stack = workers_[thread].stack;
    const float* gradients = workers_[thread].block.gradients;
    double squares = 0;
    for (size_t at = 0; at < stack.size; at += kLanes) {
      // All threads have the hidden layer's bias, the same one.
      if (at == stack.layers[0].bias && thread > 0) at = stack.layers[1].kernel;
      const Vec gradient = Load(gradients + at) * scale;
      squares += Sum(gradient * gradient);
    }
    return squares;
  }

  void UpdateAll(Worker& worker, int64_t step, float scale) {
    const float* gradients = worker.block.gradients;
    WithUpdate(optimizer_, schedule_, step, worker.state, [&](auto update) {
      for (size_t at = 0; at < worker.stack.size; at += kLanes) {
        update(Load(gradients + at) * scale, at);
      }
    });
    for (size_t l = 0; l < worker.stack.layers.size(); ++l) {
      worker.weights.Update(l, {0, worker.stack.layers[l].inputs});
    }
  }

  const int features_, threads_;
  const Optimizer optimizer_;
  const Schedule schedule_;
  const Order order_;
  const int block_rows_;
  Barrier barrier_;
  AllReduce all_reduce_;
  std::vector<double> squares_;  // of each thread's gradients
  std::deque<Worker> workers_;   // a thread each, where they are for good
};

}  // namespace tfae
