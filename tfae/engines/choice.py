"""Which engine a run gets, and why."""

import functools

from tfae.engines.engine import NotTaken
from tfae.engines.fused import FusedEngine
from tfae.engines.gpu import GpuEngine
from tfae.engines.xla import XlaEngine
from tfae.errors import ConfigError, TrainingError
from tfae.host import console
from tfae.host.environment import visible_gpus
from tfae.kernels.compiler import KernelError
from tfae.nn.optimizers import make_optimizer
from tfae.nn.precision import PRECISIONS
from tfae.nn.schedules import make_schedule


def make_engine(config, network, row_count, say=console.say):
    """The engine for a `TrainConfig`, and why it was taken.

    Args:
        config: The `TrainConfig`.
        network: The `tfae.nn.network.Network` to be trained in place.
        row_count: N, training rows an epoch.
        say: Called with a line where something takes long.

    Returns, raises:
        As `pick_engine`.
    """
    total_steps = config.epochs * -(-row_count // config.batch_size)
    return pick_engine(
        config.engine,
        network,
        config.loss,
        make_optimizer(config),
        make_schedule(config.schedule, config.learning_rate, total_steps),
        batch_size=config.batch_size,
        precision=PRECISIONS[config.precision],
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        say=say,
    )


def pick_engine(name, network, *parts, precision, say=console.say, **settings):
    """The engine of that name, or the fastest one, and why it was taken.

    Args:
        name: "auto", "xla" or "fused".
        network, *parts, precision, **settings: What an `Engine` is made of.
        say: Called with a line where something takes long.

    Returns:
        (engine, reason), the reason a phrase for a person.

    Raises:
        ConfigError: The engine that was asked for by name does not take this run.
        TrainingError: It cannot be built on this machine.
    """
    settings["precision"] = precision
    xla = functools.partial(XlaEngine, network, *parts, **settings)
    if name == "xla":
        return xla(), "asked for by name"
    named = name == "fused"
    fused = GpuEngine if visible_gpus() else FusedEngine
    try:
        kernels = fused.kernels_for(
            network.stack, precision.name, settings["batch_size"], named, say
        )
    except NotTaken as refusal:
        if named:
            raise ConfigError(
                f"engine fused does not take this run: {refusal}; use engine xla"
            ) from None
        return xla(), str(refusal)
    except KernelError as error:
        if named:
            raise TrainingError(f"engine fused: {error}; engine xla needs no compiler") from None
        return xla(), f"no fused kernels: {error}"
    reason = "asked for by name" if named else "expected to be the fastest here"
    return fused(network, *parts, kernels=kernels, **settings), reason
