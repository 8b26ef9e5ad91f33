"""The tables and figures of the pages, each a function from the JSON of a benchmark to Markdown."""

import re
import statistics

from benchmarks import parity, plots
from benchmarks.time_to_loss import seeds_note

VERSIONS = {"tensorflow": "TensorFlow", "keras": "Keras", "python": "Python"}
PEERS = {"torch": "PyTorch", "jax": "JAX"}


def fit_sentence(document):
    """Of `benchmarks.throughput`: the one figure of the first page."""
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
        "the `jit_compile` and `steps_per_execution` that are best here: medians of "
        f"{work['turns']} turns on {_machine(document)}."
    )


def throughput_table(document):
    """Of `benchmarks.throughput`."""
    work, results, floor = document["work"], document["results"], document["floor"]
    keras = results[0]["epoch_s"]["median"]
    rows = [
        (
            result["name"],
            _spread(result["epoch_s"], 3),
            f"{result['rows_per_s']:,.0f}",
            f"{keras / result['epoch_s']['median']:.1f}",
            f"{result['floors']:.1f}",
            f"{result['compile_s']:.1f} s",
            f"{result['reconstruct_s']['median']:.2f} s" if "reconstruct_s" in result else "",
        )
        for result in results
    ]
    header = "", "seconds an epoch", "rows/s", "times Keras", "floors", "compiling", "rebuilding"
    chosen = [
        f"{r['name']} ({r['note']})" for r in results if r["note"] and "tfae" not in r["name"]
    ]
    parts = [
        f"{result['feed_s']['median']:.3f} s and {result['compute_s']['median']:.3f} s "
        f"({result['name']})"
        for result in results
        if "feed_s" in result and result["precision"] == "float32"
    ]
    return markdown_table(header, rows) + _notes(
        f"{_work(work)}; median (lowest to highest) of {work['turns']} turns of "
        f"{work['epochs_a_turn']} epochs, after a first one in each that does not count, each "
        "contestant in a process of its own.",
        f"One floor, {floor['epoch_s']:.4f} s, is the epoch's matrix products alone at the "
        f"{floor['flop_per_s']['median'] / 1e9:.0f} GFLOP/s that a large "
        f"{floor.get('dtype', 'float32')} product reached in the same turns.",
        "Rebuilding: all training rows, from the array to an array, by `predict` or `reconstruct`.",
        parts and f"Feed and compute alone: {'; '.join(parts)}.",
        chosen and f"What was best: {'; '.join(chosen)}.",
        _conditions(document, VERSIONS | PEERS),
    )


def time_to_loss_table(document):
    """Of `benchmarks.time_to_loss`."""
    work = document["work"]
    rows = []
    for result in document["results"]:
        loss = f"{statistics.mean(result['target_losses']):.4f}"
        if not result["seeds_that_met"]:
            rows.append((result["name"], loss, "not met", "", "", ""))
            continue
        rows.append(
            (
                result["name"],
                loss,
                f"{result['epochs_to_loss']['median']:g}{seeds_note(result)}",
                _spread(result["seconds_to_loss"], 2),
                _spread(result["times_keras"], 1),
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
    return markdown_table(header, rows) + _notes(
        f"{work['dataset']}, {work['layers']}. The loss is the validation loss on which Keras ends "
        f"after {work['epochs']} epochs with Keras' own constants, here the mean of "
        f"{work['seeds']} seeds; each seed has its own target.",
        "Keras is counted to its last epoch, though it passes the target in epoch "
        f"{_range(touched)}.",
        f"The fast recipe: `{fast}`.",
        "Seconds of training, median (lowest to highest) over the seeds; compiling, which is "
        "listed apart, and validation do not count, nor do seeds that did not meet their target.",
        _conditions(document),
    )


def parity_table(document):
    """Of `benchmarks.parity`."""
    work, results = document["work"], document["results"]
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
        for result in results
    ]
    header = ("", "difference", "allowed", "Keras' own", "validation loss", "Keras'", "the same")
    seeds = {result["seeds"] for result in results if "seeds" in result}
    compiled = [result["name"] for result in results if "reference" in result]
    return markdown_table(header, rows) + _notes(
        f"{work['dataset']}, {work['layers']}, batches of {work['batch_size']}, {work['epochs']} "
        "epochs from the same weights in the same order.",
        "float32: the largest relative difference of any epoch's training or validation loss, and "
        "beside it that between Keras' own compile modes.",
        seeds
        and f"Mixed precisions: the difference of the mean of {max(seeds)} seeds' final "
        "validation losses from that of Keras under the same policy.",
        compiled and f"Held against Keras with jit_compile, not without: {', '.join(compiled)}.",
        _conditions(document),
    )


def scaling_table(document):
    """Of `benchmarks.scaling`: the slopes; the figure has the rest."""
    slopes, work = document["slopes"], document["work"]
    names = list(next(iter(slopes.values())))
    rows = [(plots.AXES[sweep], *(f"{s:.2f}" for s in by.values())) for sweep, by in slopes.items()]
    worst = max(choice["times_best"] for choice in document["choices"])
    return markdown_table(("slope", *names), rows) + _notes(
        f"`--engine auto` takes at most {worst:.2f} times as long as the faster engine, at any of "
        "these points.",
        f"One number is varied around {work['rows']:,} rows: {_work(work)}; median of "
        f"{work['turns']} epochs in turns.",
        _conditions(document),
    )


def process_table(document):
    """Of `benchmarks.process`."""
    work = document["work"]
    ours, theirs = document["results"]
    labels = {"tfae": "`python -m tfae.train`", "keras": "Keras `fit`, as the tutorial has it"}
    rows = [
        (
            labels[result["name"]],
            *(_spread(result[part], 1, " s") for part in ("wall_s", "train_s", "cpu_s")),
            f"{result['peak_memory_gb']['median']:.2f} GB",
            f"{result['final_loss']:.4f}",
        )
        for result in (ours, theirs)
    ]
    wall, train = (theirs[key]["median"] / ours[key]["median"] for key in ("wall_s", "train_s"))
    rows.append(("ratio", f"{wall:.1f}", f"{train:.1f}", "", "", ""))
    header = "", "whole command", "training and validation", "processor", "memory", "loss"
    return markdown_table(header, rows) + _notes(
        f"{_work(work)}, {work['epochs']} epochs, the same initial weights; median (lowest to "
        f"highest) of {work['turns']} runs in turns.",
        "Compiling is part of the times, but for the native kernels, which were built before. The "
        "memory is the peak, the loss that of validation.",
        _conditions(document),
    )


def ways_table(document):
    """Of `benchmarks.ways`."""
    rows = []
    for result in document["results"]:
        ways = [result[way] for way in ("fit", "graph", "xla")]
        first = [f"{way['first_epoch_s']:.2f} s" for way in ways]
        step = [f"{way['step_s'] * 1e3:.2f} ms" for way in ways]
        paid = f"{result['worth_it_after_steps']:,.0f} ({result['expected_after_steps']:,.0f})"
        rows.append((result["name"], *first, *step, paid))
    what = [
        f"{part}, {way}" for part in ("first epoch", "step") for way in ("`fit`", "graph", "XLA")
    ]
    return markdown_table(("", *what, "XLA pays after steps (expected)"), rows) + _notes(
        f"Of {document['work']['rows']}; a new model for each way; a step is the median of "
        f"{document['work']['epochs']} epochs, by their steps.",
        _conditions(document),
    )


def gpu_kernel_sentence(document):
    """Of `benchmarks.gpu.kernel`."""
    checks, environment = document["checks"], document["environment"]
    times = [
        f"{result['name']}, {result['precision']}: {_spread(result['epoch_ms'], 2, ' ms')}"
        for result in document["results"]
    ]
    wrong = [made["name"] for made in checks if not made["right"]]
    right = f"**wrong: {', '.join(wrong)}**" if wrong else "right, and twice the same to the bit"
    return (
        f"{environment['device']}, without TensorFlow. {'; '.join(times)}. {len(checks)} checks "
        f"against float64 numpy: {right}. CuPy {environment['cupy']}, Python "
        f"{environment['python']}; `{document['command']}`."
    )


def gpu_run_sentence(facts):
    """Of the run.json that a run on a GPU left."""
    final, environment = facts["final"], facts["environment"]
    return (
        f"{facts['device']}, by `python -m tfae.train --engine {facts['engine']['name']} "
        f"--precision {facts['precision']}`: {facts['dataset']['title']}, {facts['layers']}, "
        f"{facts['epochs']} epochs in {facts['train_s']:.1f} s with validation and checkpoints, "
        f"the median epoch in {1e3 * facts['epoch_s']:.1f} ms, to a validation loss of "
        f"{final['val_loss']:.4f}. TensorFlow {environment['tensorflow']}, Python "
        f"{environment['python']}."
    )


def markdown_table(header, rows):
    """A table of cells that are Markdown."""
    lines = [header, ("---",) * len(header), *rows]
    text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return re.sub(r" {2,}\|", " |", text) + "\n"


def _notes(*lines):
    """What stands below a table; what is not to be said is false."""
    return "\n".join(f"- {line}" for line in lines if line)


def _spread(spread, digits, unit=""):
    median, low, high = (f"{spread[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median}{unit} ({low} to {high})"


def _range(numbers):
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _work(work):
    return (
        f"{work['dataset']}, {work['layers']}, {work['optimizer']}, batches of {work['batch_size']}"
    )


def _conditions(document, versions=VERSIONS):
    """What everything was measured on, and by what."""
    return f"{_machine(document, versions)}; `{document['command']}`."


def _machine(document, versions=VERSIONS):
    environment = document["environment"]
    parts = [f"{label} {environment[key]}" for key, label in versions.items() if key in environment]
    if flags := environment.get("xla_flags"):
        parts.append(f"XLA_FLAGS={flags}")
    cores = f"{environment['cores']} cores of an {environment['cpu']} processor"
    if instructions := environment["instructions"]:
        cores += f" ({instructions})"
    on_cpu = environment["device"] == "CPU"
    device = f"{cores}, CPU only" if on_cpu else f"{environment['device']}, beside {cores}"
    return ", ".join([device, *parts])
