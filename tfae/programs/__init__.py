"""A step of TensorFlow's graph as a program of the native kernels, with nothing to compile."""
