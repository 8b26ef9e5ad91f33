"""The whole command from shell to exit: python -m tfae.train beside an equivalent Keras script.

Both are real processes with the same rows, model, optimizer and epochs, validate after every
epoch and leave a model and two figures. They run in turns (A B A B). The final validation losses
are compared before a time is believed. The native kernels are built before the first turn.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.worker import Worker
from tfae.config import TrainConfig

LOSS_RTOL = 0.01  # 50 epochs from the same initial weights in different orders


def main(argv=None):
    """Run the benchmark; exit status 1 where a loss is not what it should be."""
    parser = harness.make_parser("process", __doc__)
    parser.add_argument("--epochs", type=harness.positive, default=50)
    parser.add_argument(
        "--turns", type=harness.positive, default=3, help="runs of each (default: 3)"
    )
    options = harness.parse(parser, argv, epochs=3, turns=1)

    source = harness.load_images(options)
    runs = {"tfae": [], "keras": []}
    # Once a machine, not once a run.
    subprocess.run([sys.executable, "-m", "tfae.kernels"], check=False)
    with tempfile.TemporaryDirectory() as directory:
        rows = Path(directory) / "rows.npz"
        np.savez(rows, x_train=source.train, x_test=source.validation)
        for turn in range(options.turns):
            for name, command in _commands(rows, options.epochs).items():
                work = Path(directory) / f"{name}-{turn}"
                runs[name].append(_run([*command, str(work)], work))
                print(f"turn {turn + 1}  {name:6} {_describe(runs[name][-1])}", flush=True)

    results = [_result(name, runs[name], source.train.shape[0]) for name in runs]
    work = harness.describe_work(source, TrainConfig())
    work |= {"epochs": options.epochs, "turns": options.turns, "final_loss": "validation"}
    losses = [result["final_loss"] for result in results]
    if not abs(losses[0] / losses[1] - 1) <= LOSS_RTOL:
        sys.exit(f"the validation losses {losses} differ by more than {LOSS_RTOL:.0%}: no times")
    _print(results, work)
    environment = Worker.ask(harness.describe_environment)
    harness.write_json(options, work, results, environment)


def _commands(rows, epochs):
    options = ["--epochs", str(epochs)]
    return {
        "tfae": [sys.executable, "-m", "tfae.train", "--dataset", str(rows), *options, "--workdir"],
        "keras": [sys.executable, "-m", "benchmarks.keras_tutorial", *options, str(rows)],
    }


def _run(command, work):
    """One process: its wall and processor seconds, peak memory, training seconds and loss."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(command)} failed: run it alone to see why")
    if (work / "times.json").exists():
        trained, engine = json.loads((work / "times.json").read_text()), "fit"
    else:
        facts = json.loads((work / "run.json").read_text())
        history = (work / "history.jsonl").read_text().splitlines()
        epoch_s = [json.loads(line)["epoch_s"] for line in history]
        trained = {"train_s": facts["train_s"], "epoch_s": epoch_s, **facts["final"]}
        engine = facts["engine"]["name"]
    first_s, *epochs_s = trained["epoch_s"]
    epochs_s = epochs_s or [first_s]  # of one epoch, compiling and all
    return {
        "wall_s": wall_s,
        "epoch_s": statistics.median(epochs_s),
        "compile_s": first_s - statistics.median(epochs_s),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "train_s": trained["train_s"],
        "peak_memory_gb": usage.ru_maxrss * 1024 / 1e9,
        "val_loss": trained["val_loss"],
        "engine": engine,
    }


def _result(name, runs, rows):
    """Under `results` in the JSON; `epoch_s` is training alone, of the epochs after the first."""
    spread = {
        key: harness.spread([run[key] for run in runs])
        for key in ("wall_s", "cpu_s", "train_s", "epoch_s", "compile_s", "peak_memory_gb")
    }
    return {
        "name": name,
        "engine": runs[0]["engine"],
        "precision": "float32",
        "final_loss": statistics.median(run["val_loss"] for run in runs),
        "rows_per_s": rows / spread["epoch_s"]["median"],
        **spread,
    }


def _describe(run):
    return (
        f"{run['wall_s']:6.1f} s, training {run['train_s']:6.1f} s, "
        f"{run['peak_memory_gb']:.2f} GB, validation loss {run['val_loss']:.4f}"
    )


def _print(results, work):
    print(f"\n{work['dataset']}, {work['epochs']} epochs, median of {work['turns']} run(s) each")
    rows = [
        (
            result["name"],
            *(f"{result[key]['median']:.1f} s" for key in ("wall_s", "train_s", "cpu_s")),
            f"{result['peak_memory_gb']['median']:.2f} GB",
            f"{result['final_loss']:.4f}",
        )
        for result in results
    ]
    harness.print_table(
        ("", "whole command", "training", "processor", "memory", "validation loss"), rows
    )
    ours, theirs = results
    for key, label in (("wall_s", "whole command"), ("train_s", "training")):
        print(
            f"{label}: Keras takes {theirs[key]['median'] / ours[key]['median']:.2f} times as long"
        )


if __name__ == "__main__":
    harness.run(main)
