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

  // Where a thread writes its values before it calls Sum, with no meeting between. Others may still
  // be reading the terms of the last meeting, which lie elsewhere, but none before it.
  float* Terms(int thread) const { return terms_[barrier_.phase() % 2][thread]; }

  // Writes the sums over all threads, which all call this, of `count` values, whole vectors and
  // `max_count` at most: added in the threads' order, so that they are the same for all to the bit.
  void Sum(size_t count, float* to) {
    const std::vector<Floats>& terms = terms_[barrier_.phase() % 2];
    barrier_.Wait();
    for (size_t i = 0; i < count; i += kLanes) {
      Vec sum = Load(terms[0] + i);
      for (size_t t = 1; t < terms.size(); ++t) sum += Load(terms[t] + i);
      Store(to + i, sum);
    }
  }

 private:
  Barrier& barrier_;
  std::vector<Floats> terms_[2];  // of each thread
};

}  // namespace tfae
