"""What runs the epochs. Every engine has the interface of `tfae.engines.xla.XlaEngine`."""

from tfae.engines.xla import XlaEngine
from tfae.optimizers import make_optimizer
from tfae.precision import PRECISIONS
from tfae.schedules import make_schedule


def make_engine(config, model, row_count):
    """The engine that `--engine` asks for, and why it was taken.

    Args:
        config: The `TrainConfig`.
        model: The `Autoencoder` to be trained in place.
        row_count: N, training rows an epoch.

    Returns:
        (engine, reason), the reason a phrase for a person.
    """
    total_steps = config.epochs * -(-row_count // config.batch_size)
    engine = XlaEngine(
        model,
        config.loss,
        make_optimizer(config),
        make_schedule(config.schedule, config.learning_rate, total_steps),
        batch_size=config.batch_size,
        precision=PRECISIONS[config.precision],
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
    )
    reason = "the only one of this version" if config.engine == "auto" else "asked for by name"
    return engine, reason
