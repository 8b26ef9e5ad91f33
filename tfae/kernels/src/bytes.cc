// The kernels for rows of bytes.
#include "instances.h"

namespace tfae {
TFAE_INSTANCES(, uint8_t);
}  // namespace tfae
