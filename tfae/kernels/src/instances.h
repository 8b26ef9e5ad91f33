// What the ops call, for each kind of rows and products: compiled in a file a kind, side by side,
// and without TensorFlow's headers, which take as long to read as such a file to compile.
#pragma once

#include "infer.h"
#include "train.h"

#define TFAE_INSTANCES_OF(specifier, T, Arithmetic)                                               \
  specifier template double TrainEpoch<T, Arithmetic>(                                            \
      const Stack&, Loss, const Optimizer&, const Schedule&, const Rows<T>&, int64_t, Order, int, \
      const Tensors<const float>&, const Tensors<float>&);                                        \
  specifier template double Evaluate<T, Arithmetic>(const Stack&, Loss, const Rows<T>&, int64_t,  \
                                                    int, const Parameters&)

#ifdef TFAE_BFLOAT16
#define TFAE_INSTANCES_OF_BFLOAT16(specifier, T) TFAE_INSTANCES_OF(specifier, T, BFloat16);
#else
#define TFAE_INSTANCES_OF_BFLOAT16(specifier, T)
#endif

// With `extern`: they are elsewhere.
#define TFAE_INSTANCES(specifier, T)                                              \
  TFAE_INSTANCES_OF(specifier, T, Float32);                                       \
  TFAE_INSTANCES_OF_BFLOAT16(specifier, T)                                        \
  specifier template void Forward<T>(const Stack&, const Rows<T>&, int64_t, int,  \
                                     const Parameters&, float*)
