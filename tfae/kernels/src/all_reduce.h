// Sums over a team of threads.
#pragma once

#include <vector>

#include "stack.h"
#include "threads.h"

namespace tfae {

class AllReduce {
 public:
  AllReduce(int threads, size_t max_count, Barrier& barrier) : barrier_(barrier) {
    for (auto& terms : terms_) {
      for (int t = 0; t < threads; ++t) terms.emplace_back(max_count);
    }
  }

  // Replaces this thread's values, whole vectors and `max_count` at most, by their sum over all threads,
  // which all call this: added in the threads' order, so that it is the same for all to the bit.
  void Sum(int thread, float* values, size_t count) {
    // Others may still be reading the last sum's terms; not those of the one before it.
    const std::vector<Floats>& terms = terms_[barrier_.phase() % 2];
    std::copy_n(values, count, terms[thread].data());
    barrier_.Wait();
    for (size_t i = 0; i < count; i += kLanes) {
      Vec sum = Load(terms[0] + i);
      for (size_t t = 1; t < terms.size(); ++t) sum += Load(terms[t] + i);
      Store(values + i, sum);
    }
  }

 private:
  Barrier& barrier_;
  std::vector<Floats> terms_[2];  // of each thread
};

}  // namespace tfae
