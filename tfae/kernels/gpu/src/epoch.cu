// The kernel of a cubin, which is compiled for one plan (tfae/kernels/gpu/plan.py): its sizes, which
// halves its products take, which kind of rows it reads. It needs no CUDA runtime: the driver
// launches it, cooperatively, since all its blocks wait for each other; with clusters, in these.
#ifdef TFAE_CLUSTERS
#include "cluster_epoch.h"
#else
#include "epoch.h"
#endif

extern __shared__ __align__(16) unsigned char shared_memory[];

namespace tfae::gpu {

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    tfae_epoch(const __grid_constant__ Settings settings) {
  const Block block{static_cast<int>(blockIdx.x), Settings::blocks, shared_memory};
#ifdef TFAE_CLUSTERS
  const int size = Settings::cluster;
  const Cluster cluster{block.index / size, block.count / size, block.index % size, size};
  ClusterEpoch<TFAE_HALF, TFAE_ROWS>(block, cluster, settings).Run();
#else
  Epoch<TFAE_HALF, TFAE_ROWS>(block, settings).Run();
#endif
}

}  // namespace tfae::gpu
