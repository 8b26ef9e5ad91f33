// The ops' kernels for rows of floats.
#include "kernels.h"

namespace tfae {
namespace {

TFAE_REGISTER(float);

}  // namespace
}  // namespace tfae
