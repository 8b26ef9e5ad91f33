// The same kernels on the processor, a thread for a block: the same arithmetic, slowly, but for
// what only a block's threads together do, the layouts of tiles in registers among it.
#include <cstring>
#include <thread>
#include <vector>

#include "epoch.h"

namespace {

template <typename Half, typename T>
void Run(const tfae::gpu::Settings& settings, int blocks, int shared_bytes) {
  std::vector<std::thread> threads;
  for (int index = 0; index < blocks; ++index) {
    threads.emplace_back([&settings, index, blocks, shared_bytes] {
      std::vector<tfae::gpu::Quad> memory(shared_bytes / sizeof(tfae::gpu::Quad));
      auto* shared = reinterpret_cast<unsigned char*>(memory.data());
      std::memset(shared, 0xff, shared_bytes);  // NaN: what is read before it was written shows
      tfae::gpu::Block block{index, blocks, shared};
      tfae::gpu::Epoch<Half, T>(block, settings).Run();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

#define TFAE_EPOCH(name, half, row)                                                         \
  extern "C" void name(const tfae::gpu::Settings* settings, int blocks, int shared_bytes) { \
    Run<half, row>(*settings, blocks, shared_bytes);                                        \
  }

TFAE_EPOCH(tfae_epoch_bfloat16_uint8, tfae::gpu::BFloat16, uint8_t)
TFAE_EPOCH(tfae_epoch_bfloat16_float32, tfae::gpu::BFloat16, float)
TFAE_EPOCH(tfae_epoch_float16_uint8, tfae::gpu::Float16, uint8_t)
TFAE_EPOCH(tfae_epoch_float16_float32, tfae::gpu::Float16, float)
