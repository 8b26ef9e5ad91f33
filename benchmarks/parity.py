"""Keras' numbers: every engine of tfae beside Keras, from the same weights in the same order.

float32: every epoch's training and validation loss within 2e-6 of Keras', with the difference of
Keras' own two compile modes (jit_compile on and off) beside it as the yardstick. Where an epoch
leaves that tolerance it is run again step by step, and the first step that differs is named. On a
GPU, TF32 is off: it keeps 10 bits of a product's inputs, and who rounds them when would be all that
is compared.

Mixed precisions round, and two correct programs round apart, so that steps need not agree: there
the mean of the final validation losses over some seeds is held against Keras' under the same
policy, and so are the training losses of first epochs. An engine that differs is held against
Keras' other compile mode, too: on a processor without half-precision products the two round so
unlike each other that an engine can agree with one alone.
"""

import itertools
import sys

import numpy as np

from benchmarks import harness
from benchmarks.contestants import engine_absence
from tfae.config import ENGINES, PRECISIONS, TrainConfig, parse_widths
from tfae.host.startup import import_tensorflow

LOSS_RTOL = 2e-6  # ten times what Keras' own compile modes differ by over 50 epochs
LOSS_RTOL_ON_GPU = 1e-5  # where those have other kernels for the same product
MIXED_LOSS_RTOL = 3e-3  # of the mean over the seeds
# Of a first epoch's training loss, which shows a batch left out or a wrong mean, 4e-4 of it and
# more: rounding errors are of either sign, and an epoch's average has 47 million of them.
MIXED_EPOCH_RTOL = 2e-4
EPOCH_DIFFERENCES = {
    "loss_difference": "training loss",
    "val_loss_difference": "validation loss",
}
OPTIMIZERS = ("adadelta", "adam")


def main(argv=None, ours=None):
    """Run the benchmark; exit status 1 where a verdict is no.

    Args:
        argv: The arguments; None for the command line's.
        ours: The contestant to check; None for `benchmarks.contestants.ours.Tfae`.
    """
    parser = harness.make_parser("parity", __doc__)
    parser.add_argument("--epochs", type=harness.positive, default=50, help="(default: 50)")
    for name, choices in (
        ("engines", ENGINES[1:]),
        ("precisions", PRECISIONS),
        ("optimizers", OPTIMIZERS),
    ):
        parser.add_argument(
            f"--{name}",
            type=harness.some_of(*choices),
            default=list(choices),
            metavar="NAME[,NAME]",
            help=f"of {', '.join(choices)} (default: all)",
        )
    parser.add_argument("--layers", type=parse_widths, default=(32,), help="such as 128,64,32")
    parser.add_argument(
        "--seeds", type=harness.positive, default=5, help="a mixed precision (default: 5)"
    )
    quick = {"rows": 12_000, "epochs": 2, "seeds": 2, "precisions": ["float32", "mixed_bfloat16"]}
    options = harness.parse(parser, argv, **quick)
    tf = import_tensorflow()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    from benchmarks.contestants.ours import Tfae

    source = harness.load_images(options)
    absent = _absent(options)
    for (engine, precision), reason in absent.items():
        print(f"{engine}, {precision}: absent, {reason}", flush=True)
    results = []
    for precision in options.precisions:
        for optimizer in options.optimizers:
            config = TrainConfig(layers=options.layers, optimizer=optimizer, precision=precision)
            compare = _compare_epochs if precision == "float32" else _compare_seeds
            engines = [name for name in options.engines if (name, precision) not in absent]
            for result in compare(ours or Tfae, config, source, engines, options):
                print(_verdict(result), flush=True)
                results.append(result)
    work = harness.describe_work(source, config)
    work |= {"optimizer": "as named", "epochs": options.epochs, "final_loss": "validation"}
    _print(results, work)
    lines = [f"{engine}, {precision}: {why}" for (engine, precision), why in absent.items()]
    harness.write_json(options, work, results, absent=lines)
    if not all(result["passed"] for result in results):
        sys.exit(1)


def _absent(options):
    """Why there is no such engine in such a precision, by (engine, precision)."""
    pairs = itertools.product(options.engines, options.precisions)
    reasons = {pair: engine_absence(*pair) for pair in pairs}
    return {pair: reason for pair, reason in reasons.items() if reason}


def _compare_epochs(ours, config, source, engines, options):
    """A result for each engine in float32, compared epoch by epoch."""
    from benchmarks.contestants.keras_fit import KerasFit
    from tfae.host.environment import visible_gpus

    parts = source.train, source.validation
    keras, yardstick = (KerasFit(config, *parts, jit_compile=jit) for jit in (False, True))
    contestants = [keras, yardstick, *(ours(config, *parts, engine=engine) for engine in engines)]
    curves, seconds = _train_side_by_side(contestants, config, source, 0, options.epochs)
    differences = np.abs(curves / curves[0] - 1)  # [contestants, epochs, 2]
    tolerance = LOSS_RTOL_ON_GPU if visible_gpus() else LOSS_RTOL
    for number, engine in enumerate(engines, start=2):
        per_epoch = differences[number].max(axis=1)
        first_bad = int(np.argmax(~(per_epoch <= tolerance)))  # 0 also where there is none
        passed = bool(per_epoch[first_bad] <= tolerance)
        yield {
            **_describe(engine, config, seconds[number], curves[number], len(source.train)),
            "tolerance": tolerance,
            "difference": float(per_epoch.max()),
            "loss_difference": differences[number, :, 0].tolist(),
            "val_loss_difference": differences[number, :, 1].tolist(),
            "weight_difference": _weight_difference(contestants[number], keras),
            "yardstick": float(differences[1].max()),
            "yardstick_difference": differences[1].max(axis=1).tolist(),
            "yardstick_weight_difference": _weight_difference(yardstick, keras),
            "keras_final_loss": float(curves[0, -1, 1]),
            "first_step": None
            if passed
            else _first_step(contestants[number], keras, config, source, first_bad),
            "passed": passed,
        }


def _compare_seeds(ours, config, source, engines, options):
    """A result for each engine in a mixed precision, compared by the mean over the seeds."""
    from benchmarks.contestants.keras_fit import KerasFit

    parts = source.train, source.validation
    contestants = [
        KerasFit(config, *parts),
        *(ours(config, *parts, engine=engine) for engine in engines),
    ]
    runs = [
        _train_side_by_side(contestants, config, source, seed, options.epochs)
        for seed in range(options.seeds)
    ]
    losses = np.array([curves for curves, _ in runs])  # [seeds, contestants, epochs, 2]
    compiled = None
    for number, engine in enumerate(engines, start=1):
        curves, seconds = runs[0]
        held = _held_against(losses[:, 0], losses[:, number])
        if not held["passed"]:
            if compiled is None:
                compiled = _compiled_keras(config, source, options)
            other = _held_against(compiled, losses[:, number])
            if other["passed"]:
                own = _held_against(losses[:, 0], compiled)
                held = {
                    **other,
                    "reference": "jit_compile=True",
                    "yardstick": own["difference"],
                    "first_epoch_yardstick": own["first_epoch_difference"],
                }
        yield {
            **_describe(engine, config, seconds[number], curves[number], len(source.train)),
            "seeds": options.seeds,
            **held,
        }


def _compiled_keras(config, source, options):
    """[seeds, epochs, 2] losses of Keras with jit_compile."""
    from benchmarks.contestants.keras_fit import KerasFit

    keras = KerasFit(config, source.train, source.validation, jit_compile=True)
    runs = (
        _train_side_by_side([keras], config, source, seed, options.epochs)
        for seed in range(options.seeds)
    )
    return np.array([curves[0] for curves, _ in runs])


def _held_against(keras, ours):
    """How [seeds, epochs, 2] losses differ from Keras', and the verdict."""
    finals, keras_finals = ours[:, -1, 1], keras[:, -1, 1]
    difference = float(abs(finals.mean() / keras_finals.mean() - 1))
    first_difference = float(np.abs(ours[:, 0, 0] / keras[:, 0, 0] - 1).max())
    return {
        "tolerance": MIXED_LOSS_RTOL,
        "difference": difference,
        "first_epoch_difference": first_difference,
        "first_epoch_tolerance": MIXED_EPOCH_RTOL,
        "final_losses": harness.spread(finals.tolist()),
        "keras_final_losses": harness.spread(keras_finals.tolist()),
        "final_loss": float(finals.mean()),
        "keras_final_loss": float(keras_finals.mean()),
        "passed": difference <= MIXED_LOSS_RTOL and first_difference <= MIXED_EPOCH_RTOL,
    }


def _train_side_by_side(contestants, config, source, seed, epochs):
    """Train all from the same weights in the same orders.

    Returns:
        [contestants, epochs, 2] training and validation losses, and [contestants, epochs] seconds
        of training.
    """
    weights = harness.initial_weights(config, source.train.shape[1], seed)
    for contestant in contestants:
        contestant.reset(weights)
    losses, seconds = [], []
    for order in _orders(seed, len(source.train), epochs):
        for contestant in contestants:
            loss, epoch_s = harness.timed(contestant.train_in_order, order)
            seconds.append(epoch_s)
            losses.append((loss, contestant.evaluate()))
    shape = epochs, len(contestants)
    return np.reshape(losses, (*shape, 2)).swapaxes(0, 1), np.reshape(seconds, shape).T


def _orders(seed, rows, epochs):
    rng = np.random.default_rng(seed)
    return [rng.permutation(rows) for _ in range(epochs)]


def _first_step(run, keras, config, source, epoch):
    """Which step is the first whose loss differs, as a phrase; `epoch` counts from 0."""
    weights = harness.initial_weights(config, source.train.shape[1], 0)
    run.reset(weights)
    keras.reset(weights)
    *before, order = _orders(0, len(source.train), epoch + 1)
    for whole in before:
        run.train_in_order(whole)
        keras.train_in_order(whole)
    for step, start in enumerate(range(0, len(order), config.batch_size), start=1):
        batch = order[start : start + config.batch_size]
        ours, theirs = run.train_in_order(batch), keras.train_in_order(batch)
        if not abs(ours / theirs - 1) <= LOSS_RTOL:
            return f"epoch {epoch + 1}, step {step}: {ours:.9g}, Keras {theirs:.9g}"
    return f"epoch {epoch + 1}: every step alone agrees, the epoch does not"


def _weight_difference(run, keras):
    pairs = zip(run.weights(), keras.weights(), strict=True)
    return float(max(np.abs(ours - theirs).max() for ours, theirs in pairs))


def _describe(engine, config, seconds, curve, rows):
    """What every result has; the first epoch compiles."""
    epoch_s = harness.spread(seconds[1:].tolist() or seconds.tolist())
    return {
        "name": f"{engine}, {config.precision}, {config.optimizer}",
        "engine": engine,
        "precision": config.precision,
        "optimizer": config.optimizer,
        "epoch_s": epoch_s,
        "rows_per_s": rows / epoch_s["median"],
        "compile_s": max(float(seconds[0]) - epoch_s["median"], 0.0),
        "final_loss": float(curve[-1, 1]),
    }


def _verdict(result):
    word = "yes" if result["passed"] else "NO"
    if "first_epoch_difference" in result:
        where = (
            f"first epochs' training losses differ by up to {result['first_epoch_difference']:.1e} "
            f"of {MIXED_EPOCH_RTOL:.0e} allowed, final validation losses' means by "
            f"{result['difference']:.1e} of {MIXED_LOSS_RTOL:.0e}"
        )
        if "reference" in result:
            where += (
                f", from Keras with {result['reference']}, which itself is "
                f"{result['first_epoch_yardstick']:.1e} and {result['yardstick']:.1e} from Keras "
                "without"
            )
    else:
        worst = {key: int(np.argmax(result[key])) for key in EPOCH_DIFFERENCES}
        where = ", ".join(
            f"{label} differs most in epoch {worst[key] + 1}, by {result[key][worst[key]]:.1e}"
            for key, label in EPOCH_DIFFERENCES.items()
        )
    first_step = result.get("first_step")
    return f"{result['name']}: {word}; {where}" + (f"; {first_step}" if first_step else "")


def final_losses(result, whose):
    """The final validation loss, or the mean and the extremes over the seeds.

    Args:
        result: One of the results.
        whose: "" for ours, "keras_" for Keras'.
    """
    if f"{whose}final_losses" not in result:
        return f"{result[f'{whose}final_loss']:.5f}"
    spread = result[f"{whose}final_losses"]
    return f"{spread['mean']:.5f} ({spread['min']:.4f} to {spread['max']:.4f})"


def _print(results, work):
    print(f"\n{work['dataset']}, {work['rows']:,} rows, {work['layers']}, {work['epochs']} epochs")
    print("difference: of the losses, relative to Keras'; the largest epoch's in float32, the")
    print("mean's over the seeds in mixed precisions. Keras: between its own compile modes.\n")
    header = "", "difference", "allowed", "Keras", "weights", "loss", "Keras' loss", "same"
    rows = [
        (
            result["name"],
            f"{result['difference']:.1e}",
            f"{result['tolerance']:.0e}",
            f"{result['yardstick']:.1e}" if "yardstick" in result else "",
            f"{result['weight_difference']:.1e}" if "weight_difference" in result else "",
            final_losses(result, ""),
            final_losses(result, "keras_"),
            "yes" if result["passed"] else "NO",
        )
        for result in results
    ]
    harness.print_table(header, rows)


if __name__ == "__main__":
    harness.run(main)
