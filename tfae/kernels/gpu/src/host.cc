// The same kernels on the processor, a thread for a block: the same arithmetic, slowly, but for
// what only a block's threads together do, the layouts of tiles in registers among it.
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "cluster_epoch.h"
#include "epoch.h"

namespace {

// Calls run(block, shared memory of all blocks) in a thread for each block.
template <typename F>
void RunBlocks(int blocks, int shared_bytes, F run) {
  std::vector<std::vector<tfae::gpu::Quad>> memory(blocks);
  std::vector<unsigned char*> shared;
  for (auto& of_block : memory) {
    of_block.resize(shared_bytes / sizeof(tfae::gpu::Quad));
    shared.push_back(reinterpret_cast<unsigned char*>(of_block.data()));
    std::memset(shared.back(), 0xff, shared_bytes);  // NaN: what is read unwritten shows
  }
  std::vector<std::thread> threads;
  for (int index = 0; index < blocks; ++index) {
    threads.emplace_back([&, index] {
      run(tfae::gpu::Block{index, blocks, shared[index]}, shared.data());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

template <typename Half, typename T>
void Run(const tfae::gpu::Settings& settings, int shared_bytes) {
  RunBlocks(settings.blocks, shared_bytes,
            [&](const tfae::gpu::Block& block, unsigned char* const*) {
              tfae::gpu::Epoch<Half, T>(block, settings).Run();
            });
}

template <typename Half, typename T>
void RunClusters(const tfae::gpu::Settings& settings, int shared_bytes) {
  const int size = settings.cluster, count = settings.blocks / size;
  std::vector<std::unique_ptr<tfae::gpu::Barrier>> barriers;
  for (int index = 0; index < count; ++index) {
    barriers.push_back(std::make_unique<tfae::gpu::Barrier>(size));
  }
  RunBlocks(settings.blocks, shared_bytes,
            [&](const tfae::gpu::Block& block, unsigned char* const* shared) {
              const int index = block.index / size;
              const tfae::gpu::Cluster cluster{
                  index, count, block.index % size, size, shared + index * size,
                  barriers[index].get()};
              tfae::gpu::ClusterEpoch<Half, T>(block, cluster, settings).Run();
            });
}

}  // namespace

#define TFAE_EPOCH(name, half, row)                                                          \
  extern "C" void tfae_epoch_##name(const tfae::gpu::Settings* settings, int shared_bytes) { \
    (settings->cluster > 1 ? RunClusters<half, row> : Run<half, row>)(*settings, shared_bytes); \
  }

TFAE_EPOCH(bfloat16_uint8, tfae::gpu::BFloat16, uint8_t)
TFAE_EPOCH(bfloat16_float32, tfae::gpu::BFloat16, float)
TFAE_EPOCH(float16_uint8, tfae::gpu::Float16, uint8_t)
TFAE_EPOCH(float16_float32, tfae::gpu::Float16, float)
