"""The whole command from shell to exit: python -m tfae.train beside an equivalent Keras script.

Both are real processes with the same rows, model, optimizer and epochs, validate after every
epoch and leave a model and two figures. They run in turns (A B A B). The final validation losses
are compared before a time is believed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfae.data.sources import load

LOSS_RTOL = 0.01  # 50 epochs from the same initial weights in different orders


def main():
    """Run the benchmark; exit status 1 where a loss is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="auto", help="auto, mnist or glyphs")
    parser.add_argument("--data-dir", help="where MNIST is kept")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3, help="runs of each")
    parser.add_argument("--quick", action="store_true", help="one turn of 3 epochs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.turns = 3, 1
        print("quick: 3 epochs, most of which is start-up and compiling; no figure to quote")

    source = load(options.dataset, options.data_dir)
    runs = {"tfae": [], "keras": []}
    with tempfile.TemporaryDirectory() as directory:
        rows = Path(directory) / "rows.npz"
        np.savez(rows, x_train=source.train, x_test=source.validation)
        for turn in range(options.turns):
            for name, command in _commands(rows, options.epochs).items():
                work = Path(directory) / f"{name}-{turn}"
                runs[name].append(_run([*command, str(work)], work))
                print(f"turn {turn + 1}  {name:6} {_describe(runs[name][-1])}", flush=True)

    results = [_result(name, runs[name], source.train.shape[0]) for name in runs]
    work = {
        "dataset": source.title,
        "rows": source.train.shape[0],
        "validation_rows": len(source.validation),
        "layers": f"{source.train.shape[1]}-32-{source.train.shape[1]}",
        "optimizer": "adadelta, learning rate 1.0",
        "batch_size": 256,
        "epochs": options.epochs,
        "turns": options.turns,
    }
    losses = [result["final_loss"] for result in results]
    if abs(losses[0] / losses[1] - 1) > LOSS_RTOL:
        sys.exit(f"the validation losses {losses} differ by more than {LOSS_RTOL:.0%}: no times")
    _print_table(results, work)
    if options.json:
        from tfae.environment import describe_environment

        document = {"environment": describe_environment(), "work": work, "results": results}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


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
        trained = json.loads((work / "times.json").read_text())
    else:
        facts = json.loads((work / "run.json").read_text())
        history = (work / "history.jsonl").read_text().splitlines()
        epoch_s = [json.loads(line)["epoch_s"] for line in history]
        trained = {"train_s": facts["train_s"], "epoch_s": epoch_s, **facts["final"]}
    first_s, *epochs_s = trained["epoch_s"]
    return {
        "wall_s": wall_s,
        "epoch_s": statistics.median(epochs_s),
        "compile_s": first_s - statistics.median(epochs_s),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "train_s": trained["train_s"],
        "peak_memory_gb": usage.ru_maxrss * 1024 / 1e9,
        "val_loss": trained["val_loss"],
    }


def _result(name, runs, rows):
    """One line of the results; `epoch_s` is training alone, of the epochs after the first."""
    spread = {
        key: {
            "median": statistics.median(run[key] for run in runs),
            "min": min(run[key] for run in runs),
            "max": max(run[key] for run in runs),
            "runs": [run[key] for run in runs],
        }
        for key in ("wall_s", "cpu_s", "train_s", "epoch_s", "compile_s", "peak_memory_gb")
    }
    return {
        "name": name,
        "engine": "xla" if name == "tfae" else "fit",
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


def _print_table(results, work):
    print(f"\n{work['dataset']}, {work['epochs']} epochs, median of {work['turns']} run(s) each")
    print(f"{'':8}{'whole command':>15}{'training':>12}{'processor':>12}{'memory':>10}{'loss':>9}")
    for result in results:
        print(
            f"{result['name']:8}{result['wall_s']['median']:13.1f} s"
            f"{result['train_s']['median']:10.1f} s{result['cpu_s']['median']:10.1f} s"
            f"{result['peak_memory_gb']['median']:7.2f} GB{result['final_loss']:9.4f}"
        )
    ours, theirs = results
    for key, label in (("wall_s", "whole command"), ("train_s", "training")):
        print(f"{label}: {theirs[key]['median'] / ours[key]['median']:.2f} times faster")


if __name__ == "__main__":
    main()
