"""What runs the epochs, and which engine it is to be."""

from tfae import console
from tfae.engines.fused import FusedEngine
from tfae.engines.xla import XlaEngine
from tfae.errors import ConfigError, TrainingError
from tfae.kernels.build import KernelError
from tfae.kernels.library import load
from tfae.optimizers import make_optimizer
from tfae.precision import PRECISIONS
from tfae.schedules import make_schedule


def make_engine(config, model, row_count, say=console.say):
    """The engine for a `TrainConfig`, and why it was taken.

    Args:
        config: The `TrainConfig`.
        model: The `Autoencoder` to be trained in place.
        row_count: N, training rows an epoch.
        say: Called with a line where something takes long.

    Returns, raises:
        As `pick_engine`.
    """
    total_steps = config.epochs * -(-row_count // config.batch_size)
    return pick_engine(
        config.engine,
        model,
        config.loss,
        make_optimizer(config),
        make_schedule(config.schedule, config.learning_rate, total_steps),
        batch_size=config.batch_size,
        precision=PRECISIONS[config.precision],
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        say=say,
    )


def pick_engine(name, model, *parts, precision, say=console.say, **settings):
    """The engine of that name, or the fastest one, and why it was taken.

    Args:
        name: "auto", "xla" or "fused".
        model, *parts, precision, **settings: What an `Engine` is made of.
        say: Called with a line where something takes long.

    Returns:
        (engine, reason), the reason a phrase for a person.

    Raises:
        ConfigError: The engine that was asked for by name does not take this run.
        TrainingError: It cannot be built on this machine.
    """
    settings["precision"] = precision
    if name == "xla":
        return XlaEngine(model, *parts, **settings), "asked for by name"
    native, reason = _kernels_for(name, precision.name, model.stack, say)
    if native:
        return FusedEngine(model, *parts, native=native, **settings), reason
    return XlaEngine(model, *parts, **settings), reason


def _kernels_for(name, precision, stack, say):
    """The native kernels for a run, and why they were taken; or None, and why not."""
    named = name == "fused"
    refusal = FusedEngine.refusal(precision)
    if refusal and named:
        raise ConfigError(f"engine fused does not take this run: {refusal}; use engine xla")
    refusal = refusal or (None if named else FusedEngine.drawback(stack))
    if refusal:
        return None, refusal
    try:
        native = load(say)
    except KernelError as error:
        if named:
            raise TrainingError(f"engine fused: {error}; engine xla needs no compiler") from None
        return None, f"no fused kernels: {error}"
    if precision == "mixed_bfloat16" and not native.has_bfloat16:
        reason = "the fused kernels have no bfloat16 products for this processor"
        if named:
            raise TrainingError(f"engine fused: {reason}; use engine xla")
        return None, reason
    return native, "asked for by name" if named else "expected to be the fastest here"
