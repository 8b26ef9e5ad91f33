"""How an epoch's time grows with rows, code, features, depth and batch: tfae beside Keras.

One of them is varied at a time around a common point. The rows are the digits, taken again from the
first where more are asked for, their pixels repeated or left out to give the features. At each
point the loss of a first epoch is compared with Keras' before it is timed; then the contestants
take turns. The slope is that of the straight line through the points in logarithms: 1 where the
time grows in proportion. At each point it is said what `--engine auto` takes there, and how much
longer than the fastest of the engines that takes.
"""

import statistics
import sys
from dataclasses import dataclass

import numpy as np

from benchmarks import harness
from benchmarks.contestants import engine_absence
from benchmarks.harness import stack_of
from tfae.config import ENGINES, TrainConfig
from tfae.host.startup import import_tensorflow

LOSS_RTOL = 1e-5  # of one epoch, from equal weights in an equal order
MOST_TIMES_BEST = 1.1  # that --engine auto may take
QUICK_POINTS = 3
TURN_S = 0.5  # so long a turn at least, in whole epochs, or ten of them


@dataclass(frozen=True)
class Point:
    """A size of the work: N rows, D features, the encoder's widths, B rows a batch."""

    rows: int = 20_000
    features: int = 784
    layers: tuple[int, ...] = (32,)
    batch_size: int = 256


# The values on the horizontal axis, and the point that each stands for.
SWEEPS = {
    "rows": {n: Point(rows=n) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)},
    "code": {z: Point(layers=(z,)) for z in (8, 32, 128, 512, 1024)},
    "features": {d: Point(features=d) for d in (64, 256, 784, 2048, 4096)},
    "layers": {2 * n: Point(layers=(128,) * (n - 1) + (32,)) for n in (1, 2, 3, 4, 6)},
    "batch": {b: Point(batch_size=b) for b in (16, 64, 256, 1024, 4096, 8192)},
}


def main(argv=None, ours=None):
    """Run the benchmark; exit status 1 where a loss is not Keras'.

    Args:
        argv: The arguments; None for the command line's.
        ours: The contestant to time; None for `benchmarks.contestants.ours.Tfae`.
    """
    parser = harness.make_parser("scaling", __doc__, rows=False)
    parser.add_argument(
        "--engines",
        type=harness.some_of(*ENGINES[1:]),
        default=list(ENGINES[1:]),
        metavar="NAME[,NAME]",
        help=f"of tfae: {', '.join(ENGINES[1:])} (default: all)",
    )
    parser.add_argument(
        "--sweeps",
        type=harness.some_of(*SWEEPS),
        default=list(SWEEPS),
        metavar="NAME[,NAME]",
        help=f"of {', '.join(SWEEPS)} (default: all)",
    )
    parser.add_argument("--turns", type=harness.positive, default=3, help="at a point (default: 3)")
    options = harness.parse(parser, argv, sweeps=["code"], turns=1)
    import_tensorflow()
    if ours is None:
        from benchmarks.contestants.ours import Tfae as ours

    absent = {engine: engine_absence(engine, "float32") for engine in options.engines}
    absent = {engine: reason for engine, reason in absent.items() if reason}
    for engine, reason in absent.items():
        print(f"tfae, {engine}: absent, {reason}")
    options.engines = [engine for engine in options.engines if engine not in absent]
    source = harness.load_images(options)
    few = QUICK_POINTS if options.quick else None
    points = [
        (sweep, value, point)
        for sweep in options.sweeps
        for value, point in list(SWEEPS[sweep].items())[:few]
    ]
    common = TrainConfig(layers=Point().layers, batch_size=Point().batch_size)
    work = harness.describe_work(source, common)
    work |= {"rows": Point().rows, "validation_rows": 0, "turns": options.turns}
    work |= {"final_loss": "training, first epoch in a given order"}
    print(
        f"{work['dataset']}; one number is varied around {work['rows']:,} rows, {work['layers']}, "
        f"batches of {work['batch_size']}; seconds an epoch, median of {work['turns']} turns"
    )
    results, choices, wrong = [], [], []
    for sweep, value, point in points:
        rows = harness.resized(source.train, point.rows, point.features)
        measured, disagreeing = _measure(point, rows, ours, options)
        results += [{"sweep": sweep, "value": value, **result} for result in measured]
        choices.append({"sweep": sweep, "value": value, **_choice(point, measured)})
        wrong += [f"{sweep} {value}: WRONG, {line}" for line in disagreeing]
        times = ", ".join(f"{r['name']} {r['epoch_s']['median']:.4f} s" for r in measured)
        print(f"{sweep} {value:,}: {times}; auto: {choices[-1]['engine']}", flush=True)

    slopes = _slopes(results)
    print("\nslopes in logarithms: 1 where the time grows in proportion")
    names = dict.fromkeys(result["name"] for result in results)
    rows = [
        (sweep, *(f"{by[name]:.2f}" if name in by else "" for name in names))
        for sweep, by in slopes.items()
    ]
    harness.print_table(("slope of", *names), rows)
    timed = [choice for choice in choices if choice["times_best"]]
    if timed:
        worst = max(timed, key=lambda choice: choice["times_best"])
        line = (
            f"--engine auto takes at most {worst['times_best']:.2f} times as long as the fastest "
            f"engine ({worst['sweep']} {worst['value']:,}: {worst['engine']})"
        )
        print(line)
        if worst["times_best"] > MOST_TIMES_BEST and not options.quick:
            wrong.append(f"WRONG: {line}")
    for line in wrong:
        print(line)
    harness.write_json(options, work, results, slopes=slopes, choices=choices, absent=absent)
    if wrong:
        sys.exit(1)


def _measure(point, rows, ours, options):
    """A result for each contestant that has Keras' loss at this point, a line on each other."""
    from benchmarks.contestants.keras_fit import KerasFit

    config = TrainConfig(layers=point.layers, batch_size=point.batch_size)
    contestants = {"Keras fit": KerasFit(config, rows, rows[:1])}
    for engine in options.engines:
        contestants[f"tfae, {engine}"] = ours(config, rows, rows[:1], engine=engine)
    weights = harness.initial_weights(config, point.features, 0)
    order = np.random.default_rng(0).permutation(point.rows)
    losses, first_s, epochs, times = {}, {}, {}, {}
    wrong = []
    for name, contestant in contestants.items():
        contestant.reset(weights)
        first_s[name] = contestant.train(1)[0].epoch_s  # compiles
        contestant.reset(weights)
        losses[name] = contestant.train_in_order(order)
        if not abs(losses[name] / losses["Keras fit"] - 1) <= LOSS_RTOL:
            wrong.append(f"{name}: a loss of {losses[name]:.7f}, Keras {losses['Keras fit']:.7f}")
            continue
        times[name] = []
        epochs[name] = min(10, int(TURN_S / contestant.train(1)[0].epoch_s) + 1)
    for _ in range(options.turns):
        for name, seconds in times.items():
            done = contestants[name].train(epochs[name])
            seconds.append(statistics.median(epoch.epoch_s for epoch in done))
    measured = []
    for name, seconds in times.items():
        epoch_s = harness.spread(seconds)
        result = {
            "name": name,
            "engine": "fit" if name == "Keras fit" else contestants[name].engine.name,
            "precision": "float32",
            "epoch_s": epoch_s,
            "rows_per_s": point.rows / epoch_s["median"],
            "compile_s": max(first_s[name] - epoch_s["median"], 0.0),
            "final_loss": losses[name],
        }
        measured.append(result)
    return measured, wrong


def _choice(point, measured):
    """What `--engine auto` takes at this point, and its time in those of the fastest engine.

    The latter is None where what it takes was not timed.
    """
    from tfae.engines import make_engine
    from tfae.nn.network import Network, initial_params

    config = TrainConfig(layers=point.layers, batch_size=point.batch_size)
    stack = stack_of(config, point.features)
    engine, _ = make_engine(config, Network(stack, initial_params(stack)), point.rows)
    times = {r["engine"]: r["epoch_s"]["median"] for r in measured if r["engine"] != "fit"}
    taken = times.get(engine.name)
    return {"engine": engine.name, "times_best": taken and taken / min(times.values())}


def _slopes(results):
    """Of each sweep and contestant: how the time's logarithm grows with the value's."""
    slopes = {}
    for sweep in dict.fromkeys(result["sweep"] for result in results):
        slopes[sweep] = {}
        for name in dict.fromkeys(result["name"] for result in results):
            points = [r for r in results if (r["sweep"], r["name"]) == (sweep, name)]
            values = np.log([r["value"] for r in points])
            times = np.log([r["epoch_s"]["median"] for r in points])
            if len(points) > 1:
                slopes[sweep][name] = float(np.polyfit(values, times, 1)[0])
    return slopes


if __name__ == "__main__":
    harness.run(main)
