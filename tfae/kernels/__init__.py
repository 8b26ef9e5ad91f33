"""The native kernels: whole epochs of a stack of dense layers on the CPU, as TensorFlow ops.

`src/` has them: `kernels.h` is the way in from TensorFlow; `train.h` runs an epoch on a team of
threads, which share rows (`data_parallel.h`) or columns (`tensor_parallel.h`), `infer.h` all else;
`network.h` takes a block of rows forward and backward, `gemm.h` multiplies; `bytes.cc` and
`floats.cc` compile these, for a kind of rows each. `build.py` has them compiled by `compiler.py`,
`check.py` tries them, `library.py` loads them, `threads.py` counts; none of these knows of training
runs. `gpu/` has the epoch for a GPU. `python -m tfae.kernels` builds, checks and describes those of
the CPU by hand.
"""
