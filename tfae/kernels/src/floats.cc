// The kernels for rows of floats.
#include "instances.h"

namespace tfae {
TFAE_INSTANCES(, float);
}  // namespace tfae
