"""Dense autoencoders in low-level TensorFlow, with Keras' numbers at the hardware's speed."""
