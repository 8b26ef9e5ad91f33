// The kernels of a cubin, one for each kind of products and of rows. They need no CUDA runtime: the
// driver launches them, cooperatively, since all their blocks wait for each other; those of clusters
// in clusters.
#include "epoch.h"

#if __CUDA_ARCH__ >= 900
#include "cluster_epoch.h"
#define TFAE_HAS_CLUSTERS
#endif

extern __shared__ __align__(16) unsigned char shared_memory[];

namespace tfae::gpu {

__device__ __forceinline__ Block ThisBlock() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), shared_memory};
}

#ifdef TFAE_HAS_CLUSTERS
__device__ __forceinline__ Cluster ThisCluster() {
  unsigned rank, size;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  const int blocks = static_cast<int>(size);
  return {static_cast<int>(blockIdx.x) / blocks, static_cast<int>(gridDim.x) / blocks,
          static_cast<int>(rank), blocks};
}
#endif

}  // namespace tfae::gpu

#define TFAE_KERNEL extern "C" __global__ void __launch_bounds__(tfae::gpu::kThreads, 1)

#define TFAE_EPOCH(name, half, row)                                                   \
  TFAE_KERNEL tfae_epoch_##name(const __grid_constant__ tfae::gpu::Settings settings) { \
    const tfae::gpu::Block block = tfae::gpu::ThisBlock();                            \
    tfae::gpu::Epoch<half, row>(block, settings).Run();                               \
  }

TFAE_EPOCH(bfloat16_uint8, tfae::gpu::BFloat16, uint8_t)
TFAE_EPOCH(bfloat16_float32, tfae::gpu::BFloat16, float)
TFAE_EPOCH(float16_uint8, tfae::gpu::Float16, uint8_t)
TFAE_EPOCH(float16_float32, tfae::gpu::Float16, float)

#ifdef TFAE_HAS_CLUSTERS
#define TFAE_CLUSTER_EPOCH(name, half, row)                                                   \
  TFAE_KERNEL tfae_cluster_epoch_##name(const __grid_constant__ tfae::gpu::Settings settings) { \
    const tfae::gpu::Block block = tfae::gpu::ThisBlock();                                    \
    const tfae::gpu::Cluster cluster = tfae::gpu::ThisCluster();                              \
    tfae::gpu::ClusterEpoch<half, row>(block, cluster, settings).Run();                       \
  }

TFAE_CLUSTER_EPOCH(bfloat16_uint8, tfae::gpu::BFloat16, uint8_t)
TFAE_CLUSTER_EPOCH(bfloat16_float32, tfae::gpu::BFloat16, float)
TFAE_CLUSTER_EPOCH(float16_uint8, tfae::gpu::Float16, uint8_t)
TFAE_CLUSTER_EPOCH(float16_float32, tfae::gpu::Float16, float)
#endif
