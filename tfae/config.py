"""The configuration of a run, and the command line that is generated from its fields."""

import argparse
import dataclasses
import difflib
import json
from dataclasses import dataclass

from tfae.errors import ConfigError
from tfae.nn.spec import ACTIVATIONS, LOSSES

MAX_WIDTH = 1_000_000  # far beyond what fits in memory beside its slots
ENGINES = ("auto", "xla", "fused")
OPTIMIZERS = ("adadelta", "adam", "sgd")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SCALES = ("auto", "none", "standard", "minmax")
SCHEDULES = ("constant", "cosine", "one_cycle")

# What --recipe stands for, flag by flag. "fast" was chosen on a tenth of MNIST's training rows that
# it was not trained on.
RECIPES = {
    "tutorial": {},
    "fast": {
        "optimizer": "adam",
        "beta_2": 0.98,
        "learning_rate": 0.04,
        "schedule": "one_cycle",
        "initial_bias": 1.0,
        "epochs": 5,
    },
}

DEFAULT_LEARNING_RATES = {"adadelta": 1.0, "adam": 0.001, "sgd": 0.01}


def parse_widths(text):
    """`128,64,32` as a tuple of widths."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of widths such as 128,64,32"
        ) from None


def _option(default, help, **metadata):
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True)
class TrainConfig:
    """All that decides a run. The defaults are the Keras tutorial's model.

    A field is a flag of the command line, `batch_size` being `--batch-size`.

    Raises:
        ConfigError: A value is not allowed; the message names the flag and what is.
    """

    dataset: str = _option(
        "auto",
        "auto (MNIST where it can be had, else the built-in digits), mnist, glyphs (the built-in "
        "digits), tfds:NAME, or the PATH of a .npy, .npz, .csv or .parquet file or of a directory "
        "of IDX files",
    )
    data_dir: str | None = _option(
        None, "where data sets are kept on this machine (also TFAE_DATA_DIR)", metavar="DIR"
    )
    validation_fraction: float = _option(
        0.1, "rows held out where a data set has no validation part of its own", between=(0.0, 1.0)
    )
    scale: str = _option(
        "auto", "how float tables are scaled; bytes always by 1/255", choices=SCALES
    )
    block_rows: int = _option(
        0,
        "train on blocks of this many rows, read while the block before trains; 0 keeps the rows "
        "in memory where they fit",
        minimum=0,
    )
    layers: tuple[int, ...] = _option(
        (32,),
        "encoder widths down to the code, mirrored by the decoder: 128,64,32",
        parse=parse_widths,
        metavar="N[,N...]",
    )
    activation: str = _option("relu", "of every layer but the last", choices=ACTIVATIONS)
    output_activation: str = _option("sigmoid", "of the last layer", choices=ACTIVATIONS)
    initial_bias: float = _option(
        0.0, "of the hidden layers; above 0 it keeps relu units from dying at high learning rates"
    )
    loss: str = _option("binary_crossentropy", "what is minimised", choices=LOSSES)
    optimizer: str = _option("adadelta", "how it is minimised", choices=OPTIMIZERS)
    learning_rate: float | None = _option(
        None, "default: 1.0 for adadelta, 0.001 for adam, 0.01 for sgd", above=0.0
    )
    schedule: str = _option(
        "constant", "how the learning rate changes over the run", choices=SCHEDULES
    )
    beta_2: float = _option(0.999, "of adam: how slowly it forgets squares", between=(0.0, 1.0))
    momentum: float = _option(0.0, "of sgd", minimum=0.0, maximum=1.0)
    nesterov: bool = _option(False, "Nesterov's form of sgd's momentum")
    weight_decay: float = _option(0.0, "decoupled from the gradient, as in AdamW", minimum=0.0)
    clip_norm: float = _option(
        0.0, "largest global norm of the gradients; 0: no limit", minimum=0.0
    )
    epochs: int = _option(50, "how often every row is trained on", minimum=1, maximum=10**9)
    batch_size: int = _option(256, "rows a step", minimum=1, maximum=10**9)
    precision: str = _option("float32", "of the matrix products' inputs", choices=PRECISIONS)
    engine: str = _option("auto", "what runs the epochs", choices=ENGINES)
    seed: int = _option(0, "of the initial weights, the order and the split", minimum=0)
    patience: int = _option(
        0,
        "stop after this many epochs without a better validation loss and keep the best weights; "
        "0: never",
        minimum=0,
    )
    validate_every: int = _option(
        1, "epochs between two validations; the last epoch always has one", minimum=1
    )
    checkpoint_every: int = _option(10, "epochs between two checkpoints", minimum=1)
    tensorboard: bool = _option(False, "write scalars and reconstructions for TensorBoard")
    workdir: str | None = _option(
        None, "what the run leaves; default runs/DATASET-TIME", metavar="DIR"
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.workdir == "":
            raise ConfigError("--workdir is empty; name a directory, or leave the flag out")
        if not self.layers or not 1 <= min(self.layers) <= max(self.layers) <= MAX_WIDTH:
            raise ConfigError(
                f"--layers is {shown(self.layers)}; each width must be from 1 to {MAX_WIDTH:,}"
            )
        if self.learning_rate is None:
            rate = DEFAULT_LEARNING_RATES[self.optimizer]
            object.__setattr__(self, "learning_rate", rate)
        if self.loss == "binary_crossentropy" and self.output_activation != "sigmoid":
            raise ConfigError(
                f"--loss binary_crossentropy needs --output-activation sigmoid, not "
                f"{self.output_activation}: give both, or --loss mse"
            )
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            raise ConfigError(
                f"--momentum and --nesterov are for --optimizer sgd, not {self.optimizer}"
            )
        if self.optimizer != "adam" and self.beta_2 != TrainConfig.beta_2:
            raise ConfigError(f"--beta-2 is for --optimizer adam, not {self.optimizer}")
        if 0 < self.patience < self.validate_every:
            raise ConfigError(
                f"--patience {self.patience} ends before the next validation, of which there is "
                f"one every {self.validate_every} epochs: raise it, or lower --validate-every"
            )
        if self.nesterov and not self.momentum:
            raise ConfigError("--nesterov needs a --momentum above 0, such as 0.9")

    def to_json(self):
        """The configuration as JSON text, which `from_json` reads back to an equal one."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text):
        """The configuration of a JSON text.

        Raises:
            ConfigError: The text is not JSON, or has fields that this version does not know.
        """
        try:
            values = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"the configuration is not a JSON object: {error}") from None
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"the configuration has the unknown fields {', '.join(unknown)}")
        if isinstance(values.get("layers"), list):
            values["layers"] = tuple(values["layers"])
        return cls(**values)


def recipe(name, **changes):
    """The `TrainConfig` of a name in `RECIPES`, with changes of its own."""
    return TrainConfig(**{**RECIPES[name], **changes})


def _check(field, value):
    flag, limits = flag_of(field.name), field.metadata
    if value is None and field.default is None:
        return
    if not _is_of_type(value, field.type):
        raise ConfigError(f"{flag} is {value!r}, which is not of the type that it needs")
    if "choices" in limits and value not in limits["choices"]:
        raise ConfigError(f"{flag} is {value!r}; choose one of {', '.join(limits['choices'])}")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ConfigError(f"{flag} is {value}; it must be a finite number")
    if "maximum" in limits and value > limits["maximum"]:
        raise ConfigError(f"{flag} is {value}; it must be at most {limits['maximum']}")
    if "minimum" in limits and value < limits["minimum"]:
        raise ConfigError(f"{flag} is {value}; it must be at least {limits['minimum']}")
    if "above" in limits and not value > limits["above"]:
        raise ConfigError(f"{flag} is {value}; it must be above {limits['above']}")
    if "between" in limits and not limits["between"][0] < value < limits["between"][1]:
        low, high = limits["between"]
        raise ConfigError(f"{flag} is {value}; it must lie between {low:g} and {high:g}")


# What a field of each annotation may hold; exact types, since True is an int to isinstance.
_TYPES = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    float | None: (int, float),
    str: (str,),
    str | None: (str,),
}


def _is_of_type(value, annotation):
    if annotation in _TYPES:
        return type(value) in _TYPES[annotation]
    return isinstance(value, tuple) and all(type(width) is int for width in value)


def flag_of(name):
    """`--batch-size` for `batch_size`."""
    return "--" + name.replace("_", "-")


def flags_of(name):
    """What --recipe NAME stands for, as it can be typed."""
    return " ".join(f"{flag_of(field)} {value}" for field, value in RECIPES[name].items())


def shown(value):
    """A field's value as the command line has it: `128,64` for `(128, 64)`."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest flag for a mistyped one."""

    def error(self, message):
        """Raise `ConfigError` instead of printing the usage."""
        unknown = [word.split("=")[0] for word in message.split() if word.startswith("-")]
        if message.startswith("unrecognized") and unknown:
            options = list(self._option_string_actions)
            begun = [option for option in options if option.startswith(unknown[0])]
            near = begun or difflib.get_close_matches(unknown[0], options, 1, cutoff=0.75)
            if near and len(unknown[0]) > 2:
                message += f"; did you mean {' or '.join(near)}?"
        raise ConfigError(f"{message} (see --help)")


def add_options(parser):
    """Add a flag for each field of `TrainConfig`; a flag that is not given leaves no value."""
    for field in dataclasses.fields(TrainConfig):
        spec = {"help": field.metadata["help"], "default": argparse.SUPPRESS, "dest": field.name}
        if field.type is bool:
            parser.add_argument(flag_of(field.name), action="store_true", **spec)
            continue
        if field.default is not None:
            spec["help"] += f" (default: {shown(field.default)})"
        for key in ("choices", "metavar"):
            if key in field.metadata:
                spec[key] = field.metadata[key]
        spec["type"] = field.metadata.get("parse") or _number_or_text(field.type)
        parser.add_argument(flag_of(field.name), **spec)


def _number_or_text(annotation):
    return {int: int, float: float, float | None: float}.get(annotation, str)


@dataclass(frozen=True)
class Invocation:
    """What the command line asked for: the fields given, and how to run."""

    given: dict
    resume: bool
    overwrite: bool
    quiet: bool


def make_parser(prog):
    """The command line: a flag for each field of `TrainConfig`, and those that say how to run."""
    parser = Parser(
        prog=prog,
        allow_abbrev=False,
        description="Train a dense autoencoder. The defaults are the Keras tutorial's model: "
        "784 -> 32 relu -> 784 sigmoid, binary cross-entropy, Adadelta, batches of 256, 50 epochs.",
    )
    add_options(parser)
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="tutorial",
        help="what the flags that are not given are: the tutorial's, or the fastest way to its "
        f"loss, which is {flags_of('fast')} (default: tutorial)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from --workdir's last checkpoint"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that --workdir holds"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but warnings and errors"
    )
    return parser


def parse_args(argv, prog):
    """The `Invocation` of these arguments.

    Raises:
        ConfigError: An argument is unknown or its value is not of its type.
    """
    given = vars(make_parser(prog).parse_args(argv))
    name = given.pop("recipe")
    standing = RECIPES[name]
    optimizers = {flags["optimizer"] for flags in (standing, given) if "optimizer" in flags}
    if len(optimizers) == 2:
        raise ConfigError(
            f"--recipe {name} is one of --optimizer {standing['optimizer']}, not "
            f"{given['optimizer']}: leave one of them out"
        )
    given = {**standing, **given}
    return Invocation(
        resume=given.pop("resume"),
        overwrite=given.pop("overwrite"),
        quiet=given.pop("quiet"),
        given=given,
    )
