"""python -m tfae.train: a run, from its options to its report."""

import dataclasses
import statistics
import sys
import time

from tfae.config import TrainConfig, flag_of, parse_args
from tfae.errors import ConfigError, DataError, TfaeError, TrainingError
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
        print("tfae: interrupted at once; --resume goes on from the last checkpoint", file=sys.stderr)
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
                f"{flag_of(name)} is {value}, but the run in {workdir.path} has "
                f"{getattr(stored, name)}: leave the flag out, or start another run"
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
    say = (lambda *line: None) if invocation.quiet else (lambda *line: print(*line, flush=True))

    # Data first: what is wrong with it is said before TensorFlow takes its seconds to load.
    from tfae.data.scaling import fit_scaling
    from tfae.data.sources import load
    from tfae.spec import Stack

    earlier = workdir.read_run() if invocation.resume else {}
    dataset = config.dataset
    if dataset == "auto" and earlier:
        dataset = earlier["dataset"]["name"]
    source = load(
        dataset,
        config.data_dir,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        block_rows=config.block_rows,
        quiet=invocation.quiet,
    )
    rows, features = source.train.shape
    say(f"data: {source.title}, {rows:,} + {len(source.validation):,} rows of {features:,}")
    say(f"  from {source.origin}; validation: {source.validation_from}")
    if source.reason:
        say(f"  {source.reason}")
    stack = Stack.mirrored(features, config.layers, config.activation, config.output_activation)
    scaling = fit_scaling(config.scale, source.train, stack, config.loss)
    facts = _dataset_facts(source)
    if earlier and earlier["dataset"]["sha256"] != facts["sha256"]:
        raise DataError(
            f"the rows are not those that the run in {workdir.path} was started on "
            f"({earlier['dataset']['origin']}): give the same --data-dir, or start another run"
        )

    from tfae.startup import import_tensorflow

    tf = import_tensorflow()
    from tfae import artifact, report
    from tfae.assess import EXAMPLES, assess
    from tfae.callbacks import (
        EarlyStopping,
        History,
        LossGuard,
        SaveCheckpoints,
        StopOnSignal,
        TensorBoard,
    )
    from tfae.checkpoint import Checkpoints
    from tfae.data.feed import Feed
    from tfae.engines import choose_engine
    from tfae.environment import describe_environment, peak_memory_bytes
    from tfae.model import Autoencoder
    from tfae.optimizers import make_optimizer
    from tfae.precision import PRECISIONS
    from tfae.progress import make_progress
    from tfae.schedules import make_schedule
    from tfae.trainer import Trainer

    # The model and what trains it.
    steps = config.epochs * -(-rows // config.batch_size)
    model = Autoencoder(stack, scaling, config.seed)
    engine_class, engine_reason = choose_engine(config.engine)
    engine = engine_class(
        model,
        config.loss,
        make_optimizer(config.optimizer, config.momentum, config.nesterov),
        make_schedule(config.schedule, config.learning_rate, steps),
        batch_size=config.batch_size,
        precision=PRECISIONS[config.precision],
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
    )
    feed = Feed(source.train, config.seed, config.batch_size, config.block_rows)
    validation = tf.constant(source.validation)
    environment = describe_environment()
    say(
        f"model: {stack}, {stack.parameter_count:,} parameters; {config.precision} on "
        f"{environment['device']}, engine {engine.name} ({engine_reason})"
    )

    # The work directory, from here on: everything that could be wrong with the input was checked.
    if workdir is None:
        workdir = WorkDir.unused(source.name.replace(":", "-"))
    if invocation.resume:
        workdir.write_config(config)
    else:
        workdir.create(config, invocation.overwrite)
    early_stopping = EarlyStopping(engine.state, config.patience) if config.patience else None
    trackables = {"state": engine.state}
    if early_stopping:
        trackables["early_stopping"] = early_stopping
    checkpoints = Checkpoints(workdir.checkpoints, **trackables)
    first = checkpoints.restore_last() if invocation.resume else 0
    history = History(workdir, workdir.read_history()[:first])
    workdir.write_history(history.records)
    if invocation.resume:
        say(f"resuming {workdir.path} after epoch {first}")

    warnings = []

    def warn(line):
        warnings.append(line)
        print(f"warning: {line}", file=sys.stderr)

    signals = StopOnSignal()
    callbacks = [LossGuard(config.loss, config.optimizer, config.learning_rate, warn), history]
    if early_stopping:
        callbacks.append(early_stopping)
    callbacks.append(signals)
    if config.tensorboard:
        shown = validation[: EXAMPLES]
        callbacks.append(TensorBoard(workdir.tensorboard, model, shown, source.image_shape))
    callbacks += [SaveCheckpoints(checkpoints, config.checkpoint_every)]
    callbacks += make_progress(invocation.quiet)

    facts = {
        "status": "running",
        "dataset": facts,
        "engine": {"name": engine.name, "reason": engine_reason},
        "device": environment["device"],
        "precision": config.precision,
        "seed": config.seed,
        "layers": str(stack),
        "parameters": stack.parameter_count,
        "scaling": scaling.kind if source.train.dtype != "uint8" else "bytes / 255",
        "environment": environment,
    }
    workdir.write_run(facts)

    # Training.
    trainer = Trainer(engine, feed, validation, config.epochs, callbacks)
    begin = time.perf_counter()
    try:
        trainer.train(after=first)
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"the device ran out of memory ({str(error).splitlines()[0]}): lower --batch-size, or "
            "set --block-rows 65536"
        ) from None
    except TrainingError as error:
        workdir.write_run({**facts, "status": "failed", "stop_reason": str(error)})
        raise
    facts.update(
        epochs=trainer.epoch,
        stop_reason=trainer.stop_reason,
        skipped_steps=engine.state.skipped_steps,
        warnings=warnings,
        train_s=time.perf_counter() - begin,
    )
    if signals.received and trainer.epoch < config.epochs:
        workdir.write_run({**facts, "status": "interrupted"})
        say(f"interrupted after epoch {trainer.epoch}, which is saved. To go on:")
        say(f"  python -m tfae.train --resume --workdir {workdir.path}")
        return INTERRUPTED

    # What the run leaves.
    final = history.records[-1]
    if early_stopping:
        early_stopping.restore_best()
        final = history.records[int(early_stopping.best_epoch) - 1]
    artifact.save(model, workdir.model)
    assessment = assess(model, source.train, source.validation)
    report.save_examples(workdir, assessment, source.image_shape)
    later = history.records[first + 1 :] or history.records
    facts.update(
        status="done",
        final={
            "epoch": final["epoch"],
            "loss": final["loss"],
            "val_loss": final["val_loss"],
            "mse": assessment.mse,
            "pca_mse": assessment.pca_mse,
        },
        # The first epoch of a process compiles, which is no part of the rate.
        epoch_s=statistics.median(record["epoch_s"] for record in later),
        rows_per_s=statistics.median(record["rows_per_s"] for record in later),
        peak_memory_gb=peak_memory_bytes() / 1e9,
    )
    workdir.write_run(facts)
    report.write_report(workdir)
    _say_results(say, facts, workdir)
    return 0


def _dataset_facts(source):
    return {
        "name": source.name,
        "title": source.title,
        "origin": source.origin,
        "reason": source.reason,
        "rows": source.train.shape[0],
        "validation_rows": source.validation.shape[0],
        "features": source.train.shape[1],
        "validation_from": source.validation_from,
        "sha256": source.sha256(),
    }


def _say_results(say, facts, workdir):
    final, stop_reason = facts["final"], facts["stop_reason"]
    if stop_reason:
        say(f"stopped after epoch {facts['epochs']}: {stop_reason}")
    say(
        f"trained {facts['epochs']} epochs in {facts['train_s']:.1f} s "
        f"({facts['epoch_s']:.3f} s an epoch, {facts['rows_per_s']:,.0f} rows/s)"
    )
    pca = f"; PCA of the same size {final['pca_mse']:.5f}" if final["pca_mse"] is not None else ""
    say(f"validation loss {final['val_loss']:.4f}, squared error {final['mse']:.5f}{pca}")
    say(f"see {workdir.report}")


if __name__ == "__main__":
    sys.exit(main())
