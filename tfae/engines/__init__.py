"""What runs the epochs, and which engine it is to be."""

from tfae import console
from tfae.engines.fused import FusedEngine
from tfae.engines.xla import XlaEngine
from tfae.errors import ConfigError, TrainingError
from tfae.kernels import KernelError, load
from tfae.optimizers import make_optimizer
from tfae.precision import PRECISIONS
from tfae.schedules import make_schedule


def make_engine(config, model, row_count, say=console.say):
    """The engine that `--engine` asks for, and why it was taken.

    Args:
        config: The `TrainConfig`.
        model: The `Autoencoder` to be trained in place.
        row_count: N, training rows an epoch.
        say: Called with a line where something takes long.

    Returns:
        (engine, reason), the reason a phrase for a person.

    Raises:
        ConfigError: The engine that was asked for by name does not take this configuration.
        TrainingError: It cannot be built on this machine.
    """
    total_steps = config.epochs * -(-row_count // config.batch_size)
    parts = (
        model,
        config.loss,
        make_optimizer(config),
        make_schedule(config.schedule, config.learning_rate, total_steps),
    )
    settings = {
        "batch_size": config.batch_size,
        "precision": PRECISIONS[config.precision],
        "weight_decay": config.weight_decay,
        "clip_norm": config.clip_norm,
    }
    named = config.engine != "auto"
    if config.engine == "xla":
        return XlaEngine(*parts, **settings), "asked for by name"
    refusal = FusedEngine.refusal(config)
    if refusal and named:
        raise ConfigError(f"--engine {config.engine} does not go here: {refusal}; use --engine xla")
    if refusal:
        return XlaEngine(*parts, **settings), refusal
    try:
        ops = load(say)
    except KernelError as error:
        if named:
            raise TrainingError(f"--engine fused: {error}; --engine xla needs no compiler") from None
        say(f"no fused kernels: {error}")
        return XlaEngine(*parts, **settings), f"no fused kernels: {error}"
    reason = "asked for by name" if named else "the fastest on this machine"
    return FusedEngine(*parts, ops=ops, **settings), reason
