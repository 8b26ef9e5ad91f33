"""What every benchmark shares: its options, the rows it runs on, its table and its JSON."""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import shlex
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from tfae.data.sources import load
from tfae.errors import TfaeError
from tfae.spec import Stack


def make_parser(name, doc):
    """A parser with the options that every benchmark has.

    Args:
        name: The module's, in `benchmarks`.
        doc: Its docstring; the first line is the description.
    """
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=doc.split("\n")[0])
    parser.add_argument("--dataset", default="auto", help="auto, mnist, glyphs or a file of images")
    parser.add_argument("--data-dir", metavar="DIR", help="where MNIST is kept")
    parser.add_argument("--rows", type=int, help="train on the first so many rows only")
    parser.add_argument("--quick", action="store_true", help="less work, done within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    return parser


def parse(parser, argv, **quick):
    """The parsed options; with --quick, those that were not given are as `quick` says."""
    if parser.parse_args(argv).quick:
        parser.set_defaults(**quick)
        print("quick: a look whether it works; no figure to quote")
    options = parser.parse_args(argv)
    options.command = _command(parser.prog, sys.argv[1:] if argv is None else argv)
    return options


def load_images(options):
    """The `Source` that the options name; ends the process, with one line, where there is none."""
    try:
        source = load(options.dataset, options.data_dir)
    except TfaeError as error:
        sys.exit(f"benchmarks: {error}")
    if source.train.dtype != np.uint8:
        sys.exit(f"benchmarks: {source.title} has no bytes; the contestants take images")
    if options.rows:
        source = dataclasses.replace(
            source,
            train=source.train[: options.rows],
            validation=source.validation[: max(options.rows // 6, 1)],
        )
    return source


def stack_of(config, features):
    """The `Stack` of a `TrainConfig` and D features."""
    return Stack.mirrored(features, config.layers, config.activation, config.output_activation)


def initial_weights(config, features, seed):
    """Kernel and bias of each layer, arrays that Keras draws after `set_random_seed(seed)`."""
    from tfae.model import Autoencoder

    return [param.numpy() for param in Autoencoder(stack_of(config, features), seed=seed).params]


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


def timed(function, *args):
    """(result, seconds) of a call."""
    begin = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - begin


def spread(values):
    """The median, the extremes and the values themselves."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "runs": list(values),
    }


def write_json(options, work, results, **more):
    """Write the results, with the machine and the command that made them, where --json says."""
    if not options.json:
        return
    from tfae.environment import describe_environment

    document = {
        "command": options.command,
        "environment": describe_environment() | _peer_versions(),
        "work": work,
        "results": results,
        **more,
    }
    options.json.write_text(json.dumps(document, indent=1) + "\n")


def _peer_versions():
    installed = (name for name in ("torch", "jax") if importlib.util.find_spec(name))
    return {name: importlib.metadata.version(name) for name in installed}


def _command(prog, argv):
    """The command line as anybody could type it: without this machine's directories."""
    words = list(argv)
    for flag in ("--data-dir", "--json"):
        if flag in words:
            words[words.index(flag) + 1] = "DIR" if flag == "--data-dir" else "FILE"
    return f"{prog} {shlex.join(words)}".strip()


def print_table(header, rows):
    """A table for the terminal: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for first, *others in (header, *rows):
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join(cells).rstrip())
