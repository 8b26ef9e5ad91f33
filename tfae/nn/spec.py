"""What a stack of dense layers is: widths, activations and where the code sits.

It is known without TensorFlow, which the command line's options and errors do not wait for.
"""

from dataclasses import dataclass

from tfae.errors import ConfigError

ACTIVATIONS = ("relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "linear")
LOSSES = ("binary_crossentropy", "mse", "mae", "huber")

# The lowest and highest value that each activation can give; None where there is no bound.
OUTPUT_RANGE = {
    "relu": (0.0, None),
    "elu": (-1.0, None),
    "selu": (-1.7581, None),
    "gelu": (-0.17, None),
    "silu": (-0.2785, None),
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "linear": (None, None),
}


@dataclass(frozen=True)
class Stack:
    """A stack of dense layers that squeezes rows into a code and rebuilds them.

    Attributes:
        widths: Features in, every layer's width, features out: `(784, 32, 784)`.
        activations: One name from `ACTIVATIONS` for each layer: `("relu", "sigmoid")`.
        code_layer: How many layers the encoder has; `widths[code_layer]` is the code's size.

    Raises:
        ConfigError: A width is below 1, an activation is unknown, or the lengths do not fit.
    """

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    code_layer: int

    def __post_init__(self):
        if any(width < 1 for width in self.widths):
            raise ConfigError(f"layer widths are {self.widths}; each must be at least 1")
        unknown = sorted(set(self.activations) - set(ACTIVATIONS))
        if unknown:
            raise ConfigError(
                f"activation {unknown[0]!r} is not known; choose one of {', '.join(ACTIVATIONS)}"
            )
        if len(self.activations) != len(self.widths) - 1:
            raise ConfigError(
                f"{len(self.widths) - 1} layers need as many activations, got {self.activations}"
            )
        if not 0 < self.code_layer < len(self.widths) - 1:
            raise ConfigError(
                f"code_layer is {self.code_layer}; it must leave at least one layer on each side"
            )

    @classmethod
    def mirrored(cls, features, layers, activation="relu", output_activation="sigmoid"):
        """The stack whose decoder mirrors its encoder.

        Args:
            features: D, the number of columns of a row.
            layers: The encoder's widths down to the code: `(128, 64, 32)` gives
                D-128-64-32-64-128-D.
            activation: Of every layer but the last.
            output_activation: Of the last layer.
        """
        layers = tuple(layers)
        widths = (features, *layers, *reversed(layers[:-1]), features)
        activations = (activation,) * (len(widths) - 2) + (output_activation,)
        return cls(widths, activations, len(layers))

    @property
    def features(self):
        """D, the number of columns of a row."""
        return self.widths[0]

    @property
    def code_size(self):
        """Z, the width of the code."""
        return self.widths[self.code_layer]

    @property
    def layer_shapes(self):
        """The kernels' shapes, `((784, 32), (32, 784))`."""
        return tuple(zip(self.widths[:-1], self.widths[1:], strict=True))

    @property
    def parameter_count(self):
        """How many weights and biases the stack has."""
        return sum(inputs * outputs + outputs for inputs, outputs in self.layer_shapes)

    def __str__(self):
        return "-".join(map(str, self.widths))
