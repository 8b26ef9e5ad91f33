// Blocks in clusters, whose blocks write to each other's shared memory: on a GPU as CUDA has them,
// elsewhere threads that are given each other's.
//
// What is handed through shared memory is flagged as in exchange.h, and for the same reasons.
#pragma once

#include "exchange.h"

#ifndef __CUDACC__
#include <condition_variable>
#include <mutex>
#endif

namespace tfae::gpu {

// Four numbers, as they lie in a block's own shared memory now.
struct Shared {
  TFAE_DEVICE static Quad LookAtQuad(const float* from) {
#ifdef __CUDACC__
    Quad quad;
    asm volatile("ld.relaxed.cluster.shared::cta.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(quad.at[0]), "=f"(quad.at[1]), "=f"(quad.at[2]), "=f"(quad.at[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(from))));
    return quad;
#else
    return tfae::gpu::LookAtQuad(from);
#endif
  }
};

#ifndef __CUDACC__
// Where so many threads wait for each other.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const int round = round_;
    if (++waiting_ == count_) {
      waiting_ = 0;
      ++round_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return round_ != round; });
    }
  }

 private:
  const int count_;
  int waiting_ = 0, round_ = 0;
  std::mutex mutex_;
  std::condition_variable all_;
};
#endif

struct Cluster {
  int index, count;  // this one, of so many
  int rank, size;    // this block in it, of so many
#ifdef __CUDACC__
  // All blocks of the cluster are there, and what they wrote is seen by all.
  TFAE_DEVICE void Sync() const {
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;"
                 ::: "memory");
  }
  // Writes four numbers to a place in a block's shared memory, named by where it lies in one's own.
  TFAE_DEVICE void Hand(int to, float* place, const Quad& quad, uint32_t flag) const {
    unsigned address;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(address)
        : "r"(static_cast<unsigned>(__cvta_generic_to_shared(place))), "r"(to));
    asm volatile("st.relaxed.cluster.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};"
                 :: "r"(address), "r"(Flagged(quad.at[0], flag)), "r"(Flagged(quad.at[1], flag)),
                    "r"(Flagged(quad.at[2], flag)), "r"(Flagged(quad.at[3], flag)));
  }
#else
  unsigned char* const* shared;  // of each of its blocks
  Barrier* barrier;

  void Sync() const { barrier->Wait(); }
  void Hand(int to, float* place, const Quad& quad, uint32_t flag) const {
    auto* at = reinterpret_cast<unsigned char*>(place) - shared[rank] + shared[to];
    HandQuad(reinterpret_cast<float*>(at), quad, flag);
  }
#endif
};

}  // namespace tfae::gpu
