"""Write the README's tables and plots from the committed JSON: no number there is typed by hand.

python -m benchmarks.report          replace the tables in README.md and the plots
python -m benchmarks.report --check  exit with 1 where a table is not what the JSON says
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

from benchmarks import parity, plots
from benchmarks.contestants import ENTRIES
from benchmarks.time_to_loss import seeds_note
from tfae.config import ENGINES, PRECISIONS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
VERSIONS = {
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "torch": "PyTorch",
    "jax": "JAX",
    "python": "Python",
}


def process_table(document):
    """Of `benchmarks.process`."""
    work = document["work"]
    ours, theirs = document["results"]
    labels = {"tfae": "`python -m tfae.train`", "keras": "Keras `fit`, as the tutorial has it"}
    rows = [
        (
            labels[result["name"]],
            _seconds(result["wall_s"]),
            _seconds(result["train_s"]),
            _seconds(result["cpu_s"]),
            f"{result['peak_memory_gb']['median']:.2f} GB",
            f"{result['final_loss']:.4f}",
        )
        for result in (ours, theirs)
    ]
    wall, train = (theirs[key]["median"] / ours[key]["median"] for key in ("wall_s", "train_s"))
    header = "", "whole command", "training and validation", "processor", "memory", "loss"
    return _table(header, [*rows, ("ratio", f"{wall:.1f}", f"{train:.1f}", "", "", "")]) + (
        f"{_work(work)}, {work['epochs']} epochs, the same initial weights; median (lowest to "
        f"highest) of {work['turns']} runs in turns. Compiling is part of the times, but for the "
        "native kernels, which were built before. The memory is the peak, the loss that of "
        f"validation. {_machine(document)}"
    )


def throughput_table(document):
    """Of `benchmarks.throughput`."""
    work, results = document["work"], document["results"]
    keras = results[0]["epoch_s"]["median"]
    rows = [
        (
            result["name"],
            f"{result['epoch_s']['median']:.3f} ({result['epoch_s']['min']:.3f} to "
            f"{result['epoch_s']['max']:.3f})",
            f"{result['rows_per_s']:,.0f}",
            f"{keras / result['epoch_s']['median']:.1f}",
            f"{result['floors']:.1f}",
            f"{result['compile_s']:.1f} s",
            f"{result['reconstruct_s']['median']:.2f} s" if "reconstruct_s" in result else "",
        )
        for result in results
    ]
    header = "", "seconds an epoch", "rows/s", "times Keras", "floors", "compiling", "rebuilding"
    notes = [f"{r['name']}: {r['note']}" for r in results if r["note"] and "tfae" not in r["name"]]
    parts = [
        f"{result['name']}: {result['feed_s']['median']:.3f} s of feed alone, "
        f"{result['compute_s']['median']:.3f} s of compute alone"
        for result in results
        if "feed_s" in result and result["precision"] == "float32"
    ]
    floor = document["floor"]
    return _table(header, rows) + (
        f"{_work(work)}; median (lowest to highest) of {work['turns']} turns of "
        f"{work['epochs_a_turn']} epochs, after a first one in each that does not count, each "
        "contestant in a process of its own. One floor, "
        f"{floor['epoch_s']:.4f} s, is the epoch's matrix products alone at the "
        f"{floor['flop_per_s']['median'] / 1e9:.0f} GFLOP/s that a large "
        f"{floor.get('dtype', 'float32')} product reached in the same turns. "
        "Rebuilding: all training rows, from the array to an array, by `predict` or "
        f"`reconstruct`. {'; '.join(parts + notes)}. {_machine(document)}"
    )


def on_gpu(table, figure, names, command):
    """The maker of a table of a GPU's, of which there are the rows alone until it is measured.

    Args:
        table: The maker for a document that there is.
        figure: What is measured.
        names: Of the rows.
        command: That measures it.
    """

    def make(document):
        if document:
            return table(document)
        rows = [(name, "not measured yet") for name in names]
        return _table(("", figure), rows) + f"`python -m benchmarks.{command}`\n"

    return make


def fit_sentence(document):
    """Of `benchmarks.throughput`, for the first example."""
    work = document["work"]
    epoch_s = {result["name"]: result["epoch_s"]["median"] for result in document["results"]}
    theirs, best, ours = (
        epoch_s[name]
        for name in (
            "Keras fit, as the tutorial has it",
            "Keras fit at its best",
            "tfae.fit of the Keras model",
        )
    )
    return (
        f"An epoch of it after the first, {work['rows']:,} rows of {work['dataset']}, takes "
        f"**{ours:.2f} s** by `tfae.fit`, and by `model.fit` {theirs:.2f} s, or {best:.2f} s with "
        "the `jit_compile` and `steps_per_execution` that are best here. "
        f"{_machine(document)}\n"
    )


def parity_table(document):
    """Of `benchmarks.parity`."""
    work = document["work"]
    rows = [
        (
            result["name"],
            f"{result['difference']:.1e}",
            f"{result['tolerance']:.0e}",
            f"{result['yardstick']:.1e}" if "yardstick" in result else "",
            parity.final_losses(result, ""),
            parity.final_losses(result, "keras_"),
            "yes" if result["passed"] else "**no**",
        )
        for result in document["results"]
    ]
    header = ("", "difference", "allowed", "Keras' own", "validation loss", "Keras'", "the same")
    seeds = {result["seeds"] for result in document["results"] if "seeds" in result}
    mixed = (
        f" Mixed precisions: of the mean of {max(seeds, default=0)} seeds' final validation "
        "losses, Keras under the same policy."
    )
    if compiled := [result["name"] for result in document["results"] if "reference" in result]:
        mixed += f" Held against Keras with jit_compile, not without: {', '.join(compiled)}."
    return _table(header, rows) + (
        f"{work['dataset']}, {work['layers']}, batches of {work['batch_size']}, {work['epochs']} "
        "epochs from the same weights in the same order. float32: the largest relative difference "
        "of any epoch's training or validation loss, and beside it that between Keras' own compile "
        f"modes.{mixed if seeds else ''} {_machine(document)}"
    )


def time_to_loss_table(document):
    """Of `benchmarks.time_to_loss`."""
    work = document["work"]
    rows = []
    for result in document["results"]:
        loss = statistics.mean(result["target_losses"])
        if not result["seeds_that_met"]:
            rows.append((result["name"], f"{loss:.4f}", "not met", "", "", ""))
            continue
        seconds, times = result["seconds_to_loss"], result["times_keras"]
        rows.append(
            (
                result["name"],
                f"{loss:.4f}",
                f"{result['epochs_to_loss']['median']:g}{seeds_note(result)}",
                f"{seconds['median']:.2f} ({seconds['min']:.2f} to {seconds['max']:.2f})",
                f"{times['median']:.1f} ({times['min']:.1f} to {times['max']:.1f})",
                f"{result['compile_s']:.1f} s",
            )
        )
    header = "", "until the loss", "epochs", "seconds", "times faster", "compiling"
    touched = [
        epochs
        for result in document["results"]
        if result["engine"] == "fit"
        for epochs in result["first_reached_epochs"]
    ]
    fast = next(r["recipe"] for r in document["results"] if "fast" in r["name"])
    return _table(header, rows) + (
        f"{work['dataset']}, {work['layers']}. The loss is the validation loss on which Keras ends "
        f"after {work['epochs']} epochs with Keras' own constants, here the mean of "
        f"{work['seeds']} seeds; each seed has its own target. Keras is counted to its last epoch, "
        f"though it passes the target in epoch {_span(touched)}. The fast recipe: "
        f"`{fast}`. Seconds of training, median (lowest to highest) over the seeds; compiling, "
        f"which is listed apart, and validation do not count, nor do seeds that did not meet their "
        f"target. {_machine(document)}"
    )


def interpreted_sentence(document):
    """Of `benchmarks.gpu.interpreted`."""
    checks, environment = document["checks"], document["environment"]
    if wrong := [made["name"] for made in checks if not made["right"]]:
        return f"**Wrong: {', '.join(wrong)}**, of {len(checks)} problems.\n"
    worst = max(made["error"] for made in checks)
    return (
        f"{len(checks)} problems, each run twice with warps in other turns, came out the same to "
        f"the bit and at most {worst:.1e} from float64 numpy, relative to what is changed. nvcc "
        f"{environment['nvcc']}, compute capability {environment['compute_capability']}, NumPy "
        f"{environment['numpy']}, Python {environment['python']}.\n"
    )


def scaling_table(document):
    """Of `benchmarks.scaling`: the slopes; the figure has the rest."""
    slopes = document["slopes"]
    names = list(next(iter(slopes.values())))
    rows = [(plots.AXES[sweep], *(f"{s:.2f}" for s in by.values())) for sweep, by in slopes.items()]
    work = document["work"]
    worst = max(choice["times_best"] for choice in document["choices"])
    return _table(("slope", *names), rows) + (
        f"`--engine auto` takes at most {worst:.2f} times as long as the faster engine, at any of "
        "these points. "
        f"One number is varied around {work['rows']:,} rows: {_work(work)}; median of "
        f"{work['turns']} epochs in turns. {_machine(document)}"
    )


def _table(header, rows):
    lines = [header, ("---",) * len(header), *rows]
    text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return re.sub(r" {2,}\|", " |", text) + "\n"


def _seconds(spread):
    return f"{spread['median']:.1f} s ({spread['min']:.1f} to {spread['max']:.1f})"


def _span(numbers):
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _work(work):
    return (
        f"{work['dataset']}, {work['layers']}, {work['optimizer']}, batches of {work['batch_size']}"
    )


def _machine(document):
    """The conditions of every table."""
    environment = document["environment"]
    versions = [
        f"{label} {environment[key]}" for key, label in VERSIONS.items() if environment.get(key)
    ]
    if flags := environment.get("xla_flags"):
        versions.append(f"XLA_FLAGS={flags}")
    cores = f"{environment['cores']} cores of an {environment['cpu']} processor"
    if instructions := environment["instructions"]:
        cores += f" ({instructions})"
    on_cpu = environment["device"] == "CPU"
    device = f"{cores}, CPU only" if on_cpu else f"{environment['device']}, beside {cores}"
    return f"{device}, {', '.join(versions)}."


# The fused kernel has no float32 products there.
ON_GPU = [entry.name for entry in ENTRIES if not entry.name.startswith("tfae, fused, float32")]
PARITY_ON_GPU = [
    f"{engine}, {precision}, {optimizer}"
    for precision in PRECISIONS
    for optimizer in parity.OPTIMIZERS
    for engine in ENGINES[1:]
    if (engine, precision) != ("fused", "float32")
]

# By its name in the README: the JSON that it is made from, and how.
TABLES = {
    "fit": ("throughput", fit_sentence),
    "throughput": ("throughput", throughput_table),
    "throughput_gpu": (
        "throughput_gpu",
        on_gpu(throughput_table, "seconds an epoch, 784-32-784", ON_GPU, "throughput"),
    ),
    "throughput_gpu_large": (
        "throughput_gpu_large",
        on_gpu(
            throughput_table,
            "seconds an epoch, 8192-4096-8192",
            [ON_GPU[0], *(name for name in ON_GPU if "xla" in name)],
            "throughput --features 8192 --layers 4096 --batch-size 8192 --floor bfloat16 "
            "--only xla",
        ),
    ),
    "parity_gpu": (
        "parity_gpu",
        on_gpu(
            parity_table,
            "difference",
            PARITY_ON_GPU,
            "parity",
        ),
    ),
    "time_to_loss_gpu": (
        "time_to_loss_gpu",
        on_gpu(
            time_to_loss_table,
            "seconds",
            [f"tfae, {what}" for what in ("adadelta", "adam", "--recipe fast")],
            "time_to_loss",
        ),
    ),
    "gpu_interpreted": ("gpu_interpreted", interpreted_sentence),
    "throughput_deep": ("throughput_deep", throughput_table),
    "throughput_avx2": ("throughput_avx2", throughput_table),
    "time_to_loss": ("time_to_loss", time_to_loss_table),
    "parity": ("parity", parity_table),
    "scaling": ("scaling", scaling_table),
    "process": ("process", process_table),
}

MAY_BE_MISSING = {name for name in TABLES if name.endswith(("_gpu", "_gpu_large"))}


def read(name):
    """The committed JSON of a benchmark; None where it may be missing, and is."""
    path = RESULTS / f"{name}.json"
    if name in MAY_BE_MISSING and not path.exists():
        return None
    return json.loads(path.read_text())


def render(readme):
    """The README's text with every table made anew from its JSON."""
    for name, (result, table) in TABLES.items():
        begin, end = f"<!-- {name}: python -m benchmarks.report -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(readme):
            sys.exit(f"README.md has no lines {begin!r} and {end!r} to put the table between")
        try:
            text = f"{begin}\n{table(read(result))}\n{end}"
        except KeyError as key:
            sys.exit(
                f"results/{result}.json has no {key}: measure it again, it is of an older form"
            )
        readme = pattern.sub(lambda _, text=text: text, readme)
    return readme


def main():
    """Replace the tables and plots, or check the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.report", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit status 1 where they differ"
    )
    options = parser.parse_args()
    before = README.read_text()
    after = render(before)
    if options.check and after != before:
        sys.exit("README.md is not what the JSON says: run python -m benchmarks.report")
    if options.check:
        print("README.md says what the JSON says")
    else:
        README.write_text(after)
        plots.draw_scaling(read("scaling"), RESULTS / "scaling.png")
        plots.draw_time_to_loss(read("time_to_loss"), RESULTS / "time_to_loss.png")


if __name__ == "__main__":
    main()
