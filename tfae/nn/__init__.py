"""What a network is, in TensorFlow alone: no Keras, no kernels, no files, no engines."""
