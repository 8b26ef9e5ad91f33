"""python -m tfae.train: a run, from its options to its report."""

import contextlib
import dataclasses
import importlib.util
import sys
from textwrap import shorten

from tfae.config import TrainConfig, flag_of, parse_args, shown
from tfae.errors import ConfigError, DataError, TfaeError, TrainingError
from tfae.host import console
from tfae.runs.workdir import WorkDir

INTERRUPTED = 130
# What may differ from the first part of a run without making it another run.
MAY_CHANGE_ON_RESUME = {
    *("dataset", "data_dir", "epochs", "checkpoint_every", "tensorboard", "workdir"),
}
# What says so where it is no MemoryError: the system, its loader, C++.
OUT_OF_MEMORY = ("Cannot allocate memory", "failed to map segment", "bad_alloc")


def main(argv=None, prog="python -m tfae.train"):
    """Run the command line and return its exit status.

    0: done. 1: the data or the machine would not do. 2: wrong usage. 130: interrupted, with a
    checkpoint saved. An error is one line on stderr.
    """
    try:
        invocation = parse_args(argv, prog)
        if invocation.resume and invocation.overwrite:
            raise ConfigError("--resume goes on with a run and --overwrite replaces it: give one")
        path = invocation.given.get("workdir")
        with WorkDir(path) if path else contextlib.nullcontext() as workdir:
            if invocation.resume:
                config = _resumed_config(invocation.given, workdir)
            else:
                config = _new_config(invocation.given, workdir, invocation.overwrite)
            return train_and_report(config, workdir, invocation)
    except Exception as error:
        line = _in_a_line(error)
        if line is None:
            raise
        print(f"tfae: {line}", file=sys.stderr)
        return getattr(error, "exit_status", 1)
    except KeyboardInterrupt:
        print("tfae: interrupted; what a checkpoint holds, --resume goes on with", file=sys.stderr)
        return INTERRUPTED


def _in_a_line(error):
    """What a person is told of an error; None where it is a mistake of the program's."""
    if isinstance(error, TfaeError):
        return str(error)
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
        reason = f" ({shorten(str(error), 160)})" if str(error) else ""
        return f"out of memory{reason}: lower --batch-size, or set --block-rows 65536"
    return str(error) if isinstance(error, OSError) else None


def _new_config(given, workdir, overwrite):
    config = TrainConfig(**given)
    if workdir:
        workdir.check_free(overwrite)
    return config


def _resumed_config(given, workdir):
    """The stored configuration with what was given anew, which may not make it another run."""
    if not workdir:
        raise ConfigError("--resume needs --workdir, the directory of the run to go on with")
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
    return config


def train_and_report(config, workdir, invocation):
    """Train as the configuration says and leave everything in the work directory.

    Args:
        config: The `TrainConfig`.
        workdir: The `WorkDir`, or None for a new one named after the data set.
        invocation: The `Invocation`: whether to resume, overwrite, be quiet.

    Returns:
        The exit status, 0 or 130.

    Raises:
        TfaeError: The options, the data or the machine would not do.
    """
    say = (lambda line: None) if invocation.quiet else console.say
    if invocation.resume and _has_ended(config, workdir, say):
        return 0

    _check_tensorboard(config)
    # Data first: what is wrong with it is said before TensorFlow takes its seconds to load.
    loaded = _load(config, invocation.quiet, say)

    from tfae.host.startup import import_tensorflow

    tf = import_tensorflow()
    from tfae.runs.run import Run

    try:
        run = Run(config, *loaded, say)
        del loaded  # the run has its own copy of the rows
        if workdir:
            return _train(run, workdir, invocation, say)
        with WorkDir.unused(run.facts["dataset"]["name"]) as workdir:
            return _train(run, workdir, invocation, say)
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"the device ran out of memory ({str(error).splitlines()[0]}): lower --batch-size or "
            "--layers, or set --block-rows 65536"
        ) from None


def _check_tensorboard(config):
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise TrainingError(  # TensorFlow does not bring it
            "--tensorboard needs the package tensorboard: pip install 'tfae[tensorboard]'"
        )


def _has_ended(config, workdir, say):
    try:
        facts = workdir.read_run()
    except DataError:  # it is written again
        return False
    if facts.get("status") != "done" or not workdir.is_complete:
        return False
    epochs, why = facts.get("epochs"), facts.get("stop_reason")
    if not why and epochs != config.epochs:
        return False
    say(f"the run in {workdir.path} has ended after epoch {epochs}: {why or 'it is complete'}")
    return True


def _load(config, quiet, say):
    """The source of rows, the stack to train on them, and their scaling."""
    from tfae.data.sources import load
    from tfae.nn.scaling import fit_scaling
    from tfae.nn.spec import Stack

    source = load(
        config.dataset,
        config.data_dir,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        block_rows=config.block_rows,
        quiet=quiet,
    )
    rows, features = source.train.shape
    say(f"data: {source.title}, {source.origin}" + (f" ({source.reason})" if source.reason else ""))
    say(
        f"  {rows:,} + {len(source.validation):,} rows of {features:,}; validation: "
        f"{source.validation_from}"
    )
    for note in source.notes:  # also with --quiet: they are about what is trained on
        print(f"warning: {note}", file=sys.stderr)
    stack = Stack.mirrored(features, config.layers, config.activation, config.output_activation)
    return (
        source,
        stack,
        fit_scaling(config.scale, source.train, source.validation, stack, config.loss),
    )


def _train(run, workdir, invocation, say):
    facts = run.facts
    say(
        f"model: {facts['layers']}, {facts['parameters']:,} parameters, "
        f"rows scaled: {facts['scaling']}"
    )
    say(
        f"  {facts['precision']} on {facts['device']}, engine {facts['engine']['name']} "
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
        say(f"  {workdir.resume_command}")
        if run.config.schedule == "constant":  # another would be bent
            say(f"With --epochs {facts['epochs']} that writes the model and the page as they are.")
        return INTERRUPTED
    run.finish(workdir)
    _say_results(say, facts)
    say(f"see {workdir.report}")
    return 0


def _say_results(say, facts):
    from tfae.runs.report import squared_error_of

    final, stop_reason = facts["final"], facts["stop_reason"]
    if stop_reason:
        say(f"stopped after epoch {facts['epochs']}: {stop_reason}")
    rate = ""
    if facts["epoch_s"] is not None:
        rate = (
            f"; the median epoch trained for {facts['epoch_s']:.3f} s, "
            f"{facts['rows_per_s']:,.0f} rows/s"
        )
    say(f"trained, validated and saved in {facts['train_s']:.1f} s{rate}")
    pca = f"; PCA of the same size: {final['pca_mse']:.3g}" if final["pca_mse"] is not None else ""
    error = f"{squared_error_of(facts)} {final['mse']:.3g}"
    say(f"validation loss {final['val_loss']:.4f}, {error}{pca}")


if __name__ == "__main__":
    sys.exit(main())
