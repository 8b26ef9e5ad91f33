"""Autoencoders as people publish them, by `tfae.fit` and by `model.fit`."""
