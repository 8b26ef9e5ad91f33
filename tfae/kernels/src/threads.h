// A team of threads, and where they meet: at least twice a step.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace tfae {

// Where threads wait for each other: spinning at first, since a step takes some microseconds, then
// asleep. To yield instead would give time slices away on a busy machine, at each of an epoch's
// hundreds of meetings.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}

  // How often they have met.
  unsigned phase() const { return phase_.load(std::memory_order_acquire); }

  void Wait() {
    const unsigned phase = this->phase();
    if (waiting_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
      waiting_.store(0, std::memory_order_relaxed);
      {
        const std::lock_guard<std::mutex> lock(mutex_);  // or one about to sleep would miss it
        phase_.store(phase + 1, std::memory_order_release);
      }
      next_phase_.notify_all();
      return;
    }
    for (int spins = 0; spins < kSpins; ++spins) {
      if (this->phase() != phase) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    std::unique_lock<std::mutex> lock(mutex_);
    next_phase_.wait(lock, [&] { return this->phase() != phase; });
  }

 private:
  static constexpr int kSpins = 2000;
  const int threads_;
  std::atomic<int> waiting_{0};
  std::atomic<unsigned> phase_{0};
  std::mutex mutex_;
  std::condition_variable next_phase_;
};

// Runs work(thread) for each thread from 0 on, and returns when all are done. Where the system has
// no more threads to give, none works, and std::system_error is thrown.
template <typename F>
void RunThreads(int threads, F work) {
  enum { kWait, kGo, kGiveUp };
  std::atomic<int> gate{kWait};  // whoever works waits for the others at barriers: all or none
  const auto begin = [&](int thread) {
    while (gate.load(std::memory_order_acquire) == kWait) std::this_thread::yield();
    if (gate.load(std::memory_order_relaxed) == kGo) work(thread);
  };
  std::vector<std::thread> others;
  const auto finish = [&](int verdict) {
    gate.store(verdict, std::memory_order_release);
    if (verdict == kGo) work(0);
    for (std::thread& thread : others) thread.join();
  };
  try {
    for (int t = 1; t < threads; ++t) others.emplace_back(begin, t);
  } catch (...) {
    finish(kGiveUp);
    throw;
  }
  finish(kGo);
}

}  // namespace tfae
