"""A step of TensorFlow's graph as a program that the native kernels run, with nothing to compile."""
