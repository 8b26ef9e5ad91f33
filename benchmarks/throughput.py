"""Rows per second: every engine of tfae beside Keras, TensorFlow, PyTorch and JAX.

Each contestant has a process of its own, and trains the same stack on the same rows from the same
initial weights. Before it is timed, the loss of an epoch in a given order is compared with Keras'.
Then all take turns (A B C A B C); a figure is the median over the turns. Compiling does not count,
nor does a turn's first epoch: it sets the feed up, and the caches are full of what the contestant
before it left. The arithmetic floor, the time of the matrix products alone at the rate that a
large tf.matmul reaches, is measured in the same turns; so is inference, the training rows rebuilt,
of those that people rebuild rows with: Keras' `predict` and tfae's `reconstruct`.
"""

import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.contestants import ENTRIES
from benchmarks.floor import MatmulRate, epoch_flops
from benchmarks.worker import Worker, WorkerError
from tfae.config import TrainConfig, parse_widths
from tfae.errors import ConfigError, TrainingError

# Of an epoch's loss, from equal weights in an equal order. float32: 235 steps by other formulas of
# the same loss differ by a few 1e-7. Mixed: products of rounded inputs, whose errors are of either
# sign and have an average over an epoch of 47 million of them. A batch left out, or a mean over
# batches, moves the loss of 60,000 digits by 4e-4 and more.
LOSS_RTOL = {"float32": 1e-5, "mixed_bfloat16": 2e-4, "mixed_float16": 2e-4}
# Of the mean of rebuilt values from equal weights, sigmoids of float32 sums.
MEAN_RTOL = 1e-5
# Of the last loss, after as many epochs in orders of their own.
FINAL_LOSS_RTOL = 0.03


def main(argv=None, entries=ENTRIES):
    """Run the benchmark; exit status 1 where a loss is not what it should be."""
    parser = harness.make_parser("throughput", __doc__)
    parser.add_argument("--layers", type=parse_widths, default=(32,), help="such as 128,64,32")
    parser.add_argument(
        "--features", type=harness.positive, help="pixels, repeated or left out to give so many"
    )
    parser.add_argument(
        "--floor",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="of which products (default: float32)",
    )
    parser.add_argument("--optimizer", default="adadelta", choices=("adadelta", "adam"))
    parser.add_argument("--batch-size", type=harness.positive, default=256, help="(default: 256)")
    parser.add_argument("--turns", type=harness.positive, default=7, help="of each (default: 7)")
    parser.add_argument(
        "--epochs", type=harness.positive, default=3, help="a turn, after a first one (default: 3)"
    )
    parser.add_argument(
        "--only", metavar="TEXT[,TEXT]", help="contestants whose names have one of these"
    )
    options = harness.parse(parser, argv, rows=12_000, turns=2, epochs=1, only="eager,JAX,float32")
    config = TrainConfig(
        layers=options.layers,
        optimizer=options.optimizer,
        batch_size=options.batch_size,
    )
    source = harness.load_images(options)
    if options.features:
        parts = {
            part: harness.resized(rows, len(rows), options.features)
            for part, rows in (("train", source.train), ("validation", source.validation))
        }
        source = dataclasses.replace(source, **parts)
    work = harness.describe_work(source, config)
    work |= {"turns": options.turns, "epochs_a_turn": options.epochs}
    work |= {"final_loss": "training, last epoch"}
    entries = _chosen(entries, options.only)
    known = Worker.ask(_look_around, entries, config, source.train.shape[1])
    reasons, weights, environment = known
    absent = [f"{e.name}: {why}" for e, why in zip(entries, reasons, strict=True) if why]
    entries = [entry for entry, why in zip(entries, reasons, strict=True) if not why]
    with tempfile.TemporaryDirectory() as directory:
        np.save(Path(directory) / "train.npy", source.train)
        np.save(Path(directory) / "validation.npy", source.validation)
        runs = [_Run(entry, config, directory) for entry in entries]
        floor = Worker(MatmulRate, options.floor)
        runs, failed = _verify(runs, weights, len(source.train))
        rates = _take_turns(runs, floor, options)

    runs, drifted = _without_drifted(runs)
    rate = statistics.median(rates)
    stack = harness.stack_of(config, source.train.shape[1])
    floor_s = epoch_flops(stack, len(source.train)) / rate
    results = [run.result(len(source.train), floor_s) for run in runs]
    _print(results, work, floor_s, f"{rate / 1e9:.0f} GFLOP/s in {options.floor}")
    notes = [f"{run.entry.name}: {run.note}" for run in runs if run.note]
    for line in notes + absent + failed + drifted:
        print(line)
    harness.write_json(
        options,
        work,
        results,
        environment,
        floor={"epoch_s": floor_s, "flop_per_s": harness.spread(rates), "dtype": options.floor},
        absent=absent,
    )
    if failed or drifted:
        sys.exit(1)


def _chosen(entries, only):
    """The baseline, which the others are held against, and those that --only names."""
    baseline, *others = entries
    names = only.split(",") if only else [""]
    chosen = [entry for entry in others if any(name in entry.name for name in names)]
    if not chosen:
        known = "; ".join(entry.name for entry in others)
        raise ConfigError(f"--only {only} is in none of the names: {known}")
    return [baseline, *chosen]


def _look_around(entries, config, features):
    """In a process of its own: why each entry is absent, the weights to begin from, the machine."""
    absences = [entry.absence() for entry in entries]
    weights = harness.initial_weights(config, features, config.seed)
    return absences, weights, harness.describe_environment()


def _build(entry, config, directory):
    """In the contestant's process: the contestant."""
    rows = (np.load(Path(directory) / f"{part}.npy") for part in ("train", "validation"))
    return entry.build(dataclasses.replace(config, precision=entry.precision), *rows)


class _Run:
    """A contestant at work: its process and its times."""

    def __init__(self, entry, config, directory):
        self.entry = entry
        self.epoch_s = []
        self.parts = {}  # seconds of inference; of the feed and of the compute alone, of ours
        self._begin = (_build, entry, config, directory)

    def first_epoch(self, weights, order):
        """The loss of an epoch in this order, after one that begins the process and compiles.

        Returns:
            It, and the mean of what it rebuilt before it, None where it rebuilds nothing.
        """
        self._worker = Worker(*self._begin)
        self._worker.call("reset", weights)
        self._first_s = self._worker.call("train", 1)[0].epoch_s
        self.note = self._worker.call("note")
        self._worker.call("reset", weights)
        rebuilt = self._worker.call("timed_reconstruction")
        return self._worker.call("train_in_order", order), rebuilt and rebuilt[1]

    def turn(self, epochs):
        """Train, and keep the median time of so many epochs after a first one."""
        _, *done = self._worker.call("train", 1 + epochs)
        self.epoch_s.append(statistics.median(epoch.epoch_s for epoch in done))
        self.final_loss = done[-1].loss
        if rebuilt := self._worker.call("timed_reconstruction"):
            self.parts.setdefault("reconstruct_s", []).append(rebuilt[0])
        for part, seconds in self._worker.call("parts_s").items():
            self.parts.setdefault(part, []).append(seconds)

    def result(self, rows, floor_s):
        """Under `results` in the JSON."""
        epoch_s = harness.spread(self.epoch_s)
        return {
            "name": self.entry.name,
            "engine": self.entry.engine,
            "precision": self.entry.precision,
            "epoch_s": epoch_s,
            "rows_per_s": rows / epoch_s["median"],
            "compile_s": max(self._first_s - epoch_s["median"], 0.0),
            "final_loss": self.final_loss,
            "floors": epoch_s["median"] / floor_s,
            "note": self.note,
            **{part: harness.spread(seconds) for part, seconds in self.parts.items()},
        }


def _verify(runs, weights, rows):
    """The contestants whose first epoch has Keras' loss, and a line on each of the others."""
    order = np.random.default_rng(0).permutation(rows)
    good, failed, expected, mean = [], [], None, None
    for run in runs:
        name, tolerance = run.entry.name, LOSS_RTOL[run.entry.precision]
        try:
            loss, rebuilt = run.first_epoch(weights, order)
        except WorkerError as error:
            if expected is None:
                raise TrainingError(
                    f"{name}, which all are held against, failed: {error}"
                ) from None
            failed.append(f"{name}: FAILED, {error}")
            continue
        expected, mean = expected or loss, mean or rebuilt
        if rebuilt and not abs(rebuilt / mean - 1) <= MEAN_RTOL:
            failed.append(f"{name}: WRONG, rebuilds a mean of {rebuilt:.7f}, Keras {mean:.7f}")
        elif abs(loss / expected - 1) <= tolerance:
            print(f"{name}: ready, loss {loss:.7f}", flush=True)
            good.append(run)
        else:
            failed.append(f"{name}: WRONG, a loss of {loss:.7f} where Keras has {expected:.7f}")
    return good, failed


def _take_turns(runs, floor, options):
    """Time every contestant in every turn; returns the floor's rates, FLOP/s."""
    for run in runs:
        run.turn(1)  # warms its caches up
        run.epoch_s.clear()
        run.parts.clear()
    rates = []
    for _ in range(options.turns):
        rates.append(floor.call("flop_per_s"))
        for run in runs:
            run.turn(options.epochs)
    return rates


def _without_drifted(runs):
    """The contestants that end where Keras ends, and a line on each of the others."""
    expected = runs[0].final_loss
    drifted = [run for run in runs if not abs(run.final_loss / expected - 1) <= FINAL_LOSS_RTOL]
    return [run for run in runs if run not in drifted], [
        f"{run.entry.name}: WRONG, ends at a loss of {run.final_loss:.4f}, Keras at {expected:.4f}"
        for run in drifted
    ]


def _print(results, work, floor_s, rate):
    print(
        f"\n{work['dataset']}, {work['rows']:,} rows, {work['layers']}, {work['optimizer']}, "
        f"batches of {work['batch_size']}; median of {work['turns']} turns"
    )
    print(f"a floor: {floor_s:.4f} s, an epoch's products alone at {rate}")
    print("feed, compute: seconds of an epoch's input pipeline and of its call, each alone")
    print("rebuild: seconds to rebuild the training rows\n")
    baseline = results[0]["epoch_s"]["median"]
    rows = [
        (
            result["name"],
            f"{result['epoch_s']['median']:.4f}",
            f"{result['epoch_s']['min']:.4f} to {result['epoch_s']['max']:.4f}",
            f"{result['rows_per_s']:,.0f}",
            f"{baseline / result['epoch_s']['median']:.2f}",
            f"{result['floors']:.2f}",
            f"{result['compile_s']:.1f}",
            f"{result['final_loss']:.4f}",
            *(
                f"{result[part]['median']:.4f}" if part in result else ""
                for part in ("feed_s", "compute_s", "reconstruct_s")
            ),
        )
        for result in results
    ]
    header = "contestant", "s/epoch", "lowest to highest", "rows/s", "times Keras", "floors"
    harness.print_table((*header, "compile s", "loss", "feed s", "compute s", "rebuild s"), rows)


if __name__ == "__main__":
    harness.run(main)
