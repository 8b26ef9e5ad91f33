// The kernels of a cubin, one for each kind of products and of rows. They need no CUDA runtime: the
// driver launches them, cooperatively, since all their blocks wait for each other.
#include "epoch.h"

extern __shared__ __align__(16) unsigned char shared_memory[];

#define TFAE_EPOCH(name, half, row)                                                         \
  extern "C" __global__ void __launch_bounds__(tfae::gpu::kThreads, 1)                      \
      name(const __grid_constant__ tfae::gpu::Settings settings) {                          \
    const tfae::gpu::Block block{static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), \
                                 shared_memory};                                            \
    tfae::gpu::Epoch<half, row>(block, settings).Run();                                     \
  }

TFAE_EPOCH(tfae_epoch_bfloat16_uint8, tfae::gpu::BFloat16, uint8_t)
TFAE_EPOCH(tfae_epoch_bfloat16_float32, tfae::gpu::BFloat16, float)
TFAE_EPOCH(tfae_epoch_float16_uint8, tfae::gpu::Float16, uint8_t)
TFAE_EPOCH(tfae_epoch_float16_float32, tfae::gpu::Float16, float)
