"""Dense autoencoders as people publish them, by `model.fit` and by `tfae.fit`."""

from tfae.host.startup import import_tensorflow

import_tensorflow()
