"""What every benchmark shares: its options, the rows it runs on, its table and its JSON."""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import shlex
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from tfae.config import Parser
from tfae.data.sources import load
from tfae.errors import DataError, TfaeError
from tfae.host.startup import import_tensorflow
from tfae.nn.spec import Stack


def make_parser(name, doc, rows=True):
    """A parser with the options that every benchmark has.

    Args:
        name: The module's, in `benchmarks`.
        doc: Its docstring; the first line is the description.
        rows: Whether there is --rows.
    """
    parser = Parser(f"python -m benchmarks.{name}", description=doc.split("\n")[0])
    parser.add_argument("--dataset", default="auto", help="auto, mnist, glyphs or a file of images")
    parser.add_argument("--data-dir", metavar="DIR", help="where MNIST is kept")
    if rows:
        parser.add_argument("--rows", type=positive, help="train on the first so many rows only")
    else:
        parser.set_defaults(rows=None)
    parser.add_argument("--quick", action="store_true", help="less work, done in a minute or two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    return parser


def positive(text):
    """A whole number from 1 on, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def some_of(*choices):
    """A function from text with commas to a list of these names, for argparse."""

    def parse_names(text):
        names = text.split(",")
        unknown = [name for name in names if name not in choices]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(choices)}")
        return names

    return parse_names


def run(main):
    """Call a benchmark's `main` as a program; what cannot be done is one line."""
    try:
        main()
    except TfaeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)


def parse(parser, argv, **quick):
    """The parsed options; with --quick, those that were not given are as `quick` says."""
    if parser.parse_args(argv).quick:
        parser.set_defaults(**quick)
        print("quick: a look whether it works; no figure to quote")
    options = parser.parse_args(argv)
    if options.json and options.json.is_dir():
        parser.error(f"--json {options.json} is a directory; name a file")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: there is no directory {options.json.parent}")
    options.command = _command(parser.prog, sys.argv[1:] if argv is None else argv)
    return options


def load_images(options):
    """The `Source` that the options name.

    Raises:
        DataError: It cannot be had, or has no bytes.
    """
    source = load(options.dataset, options.data_dir)
    if source.train.dtype != np.uint8:
        raise DataError(f"{source.title} has no bytes, and the contestants take images")
    if options.rows:
        source = dataclasses.replace(
            source,
            train=source.train[: options.rows],
            validation=source.validation[: max(options.rows // 6, 1)],
        )
    return source


def resized(images, count, features):
    """Bytes [N, D] of images: these, taken again from the first one where more are asked for, their
    pixels repeated or left out.
    """
    pixels = np.linspace(0, images.shape[1] - 1, features).round().astype(int)
    rows = np.empty((count, features), np.uint8)
    for start in range(0, count, len(images)):
        rows[start : start + len(images)] = images[: count - start, pixels]
    return rows


def stack_of(config, features):
    """The `Stack` of a `TrainConfig` and D features."""
    return Stack.mirrored(features, config.layers, config.activation, config.output_activation)


def initial_weights(config, features, seed):
    """Kernel and bias of each layer, arrays that Keras draws after `set_random_seed(seed)`.

    Hidden biases are the configuration's.
    """
    from tfae.nn.network import initial_params

    stack = stack_of(config, features)
    return [param.numpy() for param in initial_params(stack, seed, config.initial_bias)]


def describe_work(source, config):
    """Under `work` in the JSON: what was trained on what."""
    return {
        "dataset": source.title,
        "rows": source.train.shape[0],
        "validation_rows": len(source.validation),
        "layers": str(stack_of(config, source.train.shape[1])),
        "optimizer": f"{config.optimizer}, learning rate {config.learning_rate:g}",
        "batch_size": config.batch_size,
    }


def timed(function, *args, **kwargs):
    """(result, seconds) of a call."""
    begin = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - begin


def spread(values):
    """The median, the extremes, the mean and its standard deviation, and the values."""
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "std": statistics.pstdev(values),
        "min": min(values),
        "max": max(values),
        "runs": list(values),
    }


def write_json(options, work, results, environment=None, say=True, **more):
    """Write the results, with the machine and the command that made them, where --json says.

    Args:
        options: What `parse` gave.
        work: What was trained on what.
        results: A dictionary for each contestant: `name`, `engine`, `precision`, `epoch_s` (a
            `spread`), `rows_per_s`, `compile_s`, `final_loss` (which loss that is, `work` says
            under the same name) and what else the benchmark measured.
        environment: What `describe_environment` gave in another; of this process by default.
        say: Whether to print where it was written.
        more: Beside them in the document.
    """
    if not options.json:
        return
    document = {
        "command": options.command,
        "environment": environment or describe_environment(),
        "work": work,
        "results": results,
        **more,
    }
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    if say:
        print(f"wrote {options.json}")


def describe_environment():
    """The machine, the device and the versions, the peers' too, as JSON can hold them."""
    import_tensorflow()
    from tfae.host import environment

    versions = {}
    for name in ("torch", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return environment.describe_environment() | versions


def _command(prog, argv):
    """The command line as anybody could type it: without this machine's directories."""
    words = [part for word in argv for part in word.split("=", 1)]
    for flag, shown in (("--data-dir", "DIR"), ("--json", "FILE"), ("--plot", "FILE")):
        if flag in words:
            words[words.index(flag) + 1] = shown
    return f"{prog} {shlex.join(words)}".strip()


def print_table(header, rows):
    """A table for the terminal: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for first, *others in (header, *rows):
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join(cells).rstrip())
