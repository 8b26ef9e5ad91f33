"""python -m tfae.train: a run, from its options to its report."""

import dataclasses
import sys

from tfae.config import TrainConfig, flag_of, parse_args, shown
from tfae.errors import ConfigError, TfaeError
from tfae.workdir import WorkDir

INTERRUPTED = 130
# What may differ from the first part of a run without making it another run.
MAY_CHANGE_ON_RESUME = {"epochs", "checkpoint_every", "data_dir", "tensorboard", "workdir"}


def main(argv=None, prog="python -m tfae.train"):
    """Run the command line and return its exit status.

    0: done. 1: the data or the machine would not do. 2: wrong usage. 130: interrupted, with a
    checkpoint saved. An error is one line on stderr.
    """
    try:
        invocation = parse_args(argv, prog)
        if invocation.resume:
            config, workdir = _resumed_config(invocation.given)
        else:
            config, workdir = _new_config(invocation.given, invocation.overwrite)
        return run(config, workdir, invocation)
    except (TfaeError, OSError, MemoryError) as error:
        reason = str(error) or "out of memory: lower --batch-size, or set --block-rows 65536"
        print(f"tfae: {reason}", file=sys.stderr)
        return getattr(error, "exit_status", 1)
    except KeyboardInterrupt:
        print(
            "tfae: interrupted; --resume goes on from the last checkpoint, where there is one",
            file=sys.stderr,
        )
        return INTERRUPTED


def _new_config(given, overwrite):
    config = TrainConfig(**given)
    if not config.workdir:
        return config, None
    workdir = WorkDir(config.workdir)
    workdir.check_free(overwrite)
    return config, workdir


def _resumed_config(given):
    """The stored configuration with what was given anew, which may not make it another run."""
    if "workdir" not in given:
        raise ConfigError("--resume needs --workdir, the directory of the run to go on with")
    workdir = WorkDir(given["workdir"])
    stored = workdir.read_config()
    for name, value in given.items():
        if name not in MAY_CHANGE_ON_RESUME and value != getattr(stored, name):
            raise ConfigError(
                f"{flag_of(name)} is {shown(value)}, but the run in {workdir.path} has "
                f"{shown(getattr(stored, name))}: leave the flag out, or start another run"
            )
    config = dataclasses.replace(stored, **given)
    if config.epochs != stored.epochs and config.schedule != "constant":
        raise ConfigError(
            f"--epochs {config.epochs} would bend the {config.schedule} schedule of a run of "
            f"{stored.epochs} epochs: leave it out"
        )
    return config, workdir


def run(config, workdir, invocation):
    """Train as the configuration says and leave everything in the work directory.

    Args:
        config: The `TrainConfig`.
        workdir: The `WorkDir`, or None for a new one named after the data set.
        invocation: The `Invocation`: whether to resume, overwrite, be quiet.

    Returns:
        The exit status, 0 or 130.
    """
    say = (lambda line: None) if invocation.quiet else (lambda line: print(line, flush=True))

    earlier = workdir.read_run() if invocation.resume else {}
    if earlier.get("status") == "done" and (
        earlier["stop_reason"] or earlier["epochs"] >= config.epochs
    ):
        why = earlier["stop_reason"] or "--epochs asks for more"
        say(f"the run in {workdir.path} has ended after epoch {earlier['epochs']}: {why}")
        return 0

    # Data first: what is wrong with it is said before TensorFlow takes its seconds to load.
    from tfae.data.scaling import fit_scaling
    from tfae.data.sources import load
    from tfae.spec import Stack

    source = load(
        # A resumed run keeps the data set that `auto` found.
        earlier["dataset"]["name"] if earlier and config.dataset == "auto" else config.dataset,
        config.data_dir,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        block_rows=config.block_rows,
        quiet=invocation.quiet,
    )
    rows, features = source.train.shape
    say(f"data: {source.title}, {rows:,} + {len(source.validation):,} rows of {features:,}")
    say(f"  {source.origin}; validation: {source.validation_from}")
    if source.reason:
        say(f"  {source.reason}")
    stack = Stack.mirrored(features, config.layers, config.activation, config.output_activation)
    scaling = fit_scaling(config.scale, source.train, stack, config.loss)

    from tfae.startup import import_tensorflow

    import_tensorflow()
    from tfae.run import Run

    run = Run(config, source, stack, scaling)
    workdir = workdir or WorkDir.unused(source.name)
    del source  # the run has its own copy of the rows
    facts = run.facts
    say(f"model: {stack}, {stack.parameter_count:,} parameters, rows scaled: {facts['scaling']}")
    say(
        f"  {config.precision} on {facts['device']}, engine {facts['engine']['name']} "
        f"({facts['engine']['reason']}); work directory {workdir.path}"
    )
    done = run.train(
        workdir,
        resume=invocation.resume,
        overwrite=invocation.overwrite,
        quiet=invocation.quiet,
    )
    if not done:
        say(f"interrupted after epoch {facts['epochs']}, which is saved. To go on:")
        say(f"  python -m tfae.train --resume --workdir {workdir.path}")
        return INTERRUPTED
    run.finish(workdir)
    _say_results(say, facts)
    say(f"see {workdir.report}")
    return 0


def _say_results(say, facts):
    final, stop_reason = facts["final"], facts["stop_reason"]
    if stop_reason:
        say(f"stopped after epoch {facts['epochs']}: {stop_reason}")
    say(
        f"trained in {facts['train_s']:.1f} s: {facts['epoch_s']:.3f} s an epoch, "
        f"{facts['rows_per_s']:,.0f} rows/s"
    )
    pca = f"; PCA of the same size: {final['pca_mse']:.5f}" if final["pca_mse"] is not None else ""
    say(f"validation loss {final['val_loss']:.4f}, squared error {final['mse']:.5f}{pca}")


if __name__ == "__main__":
    sys.exit(main())
