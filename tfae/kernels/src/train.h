// Whole epochs, on a team of threads.
#pragma once

#include "data_parallel.h"
#include "tensor_parallel.h"

namespace tfae {

// Reads parameters and slots, trains on the rows that `order` names, a batch at a time, and writes
// what became of them. Returns the mean of the loss that each row had before its batch's update.
template <typename T, typename Arithmetic>
double TrainEpoch(const Stack& stack, Loss loss, const Optimizer& optimizer,
                  const Schedule& schedule, const Rows<T>& rows, int64_t row_count, Order order,
                  int threads, const Tensors<const float>& from, const Tensors<float>& to) {
  const bool sparse = IsSparse(rows, row_count, stack);
  const int64_t batch = std::min<int64_t>(schedule.batch, order.count);
  threads = ThreadsFor(batch, threads);
  const auto train = [&](auto epoch) {
    const double sum = epoch.Train();
    epoch.Write(to);
    return sum / stack.features() / order.count;
  };
  if (SharesColumns(stack, batch, threads)) {
    return train(TensorParallel<T, Arithmetic>(stack, loss, optimizer, schedule, rows, sparse,
                                               order, threads, from));
  }
  return train(DataParallel<T, Arithmetic>(stack, loss, optimizer, schedule, rows, sparse, order,
                                           threads, from));
}

}  // namespace tfae
