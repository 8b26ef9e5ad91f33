"""The plots of the results, drawn from the committed JSON."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

AXES = {
    "rows": "training rows",
    "code": "width of the code",
    "features": "features",
    "layers": "dense layers",
    "batch": "rows a batch",
}
COLORS = {"fit": "#c44e52", "xla": "#4c72b0", "fused": "#55a868"}


def draw_scaling(document, path):
    """Seconds an epoch against each number that was varied, both axes logarithmic."""
    results, slopes = document["results"], document["slopes"]
    lines = -(-len(slopes) // 3)
    figure, panels = plt.subplots(lines, 3, figsize=(9.6, 3.1 * lines), sharey=True, squeeze=False)
    for panel in panels.flat[len(slopes) :]:
        panel.axis("off")
    for panel, sweep in zip(panels.flat, slopes, strict=False):
        for name, slope in slopes[sweep].items():
            points = [r for r in results if (r["sweep"], r["name"]) == (sweep, name)]
            values = [r["value"] for r in points]
            color = COLORS.get(points[0]["engine"])
            panel.loglog(
                values,
                [r["epoch_s"]["median"] for r in points],
                "o-",
                color=color,
                label=f"{name}: slope {slope:.2f}",
            )
            low, high = ([r["epoch_s"][edge] for r in points] for edge in ("min", "max"))
            panel.fill_between(values, low, high, color=color, alpha=0.2, linewidth=0)
        panel.set_xlabel(AXES[sweep])
        panel.set_xticks(values, [_short(value) for value in values], fontsize=7, rotation=45)
        panel.set_xticks([], minor=True)
        panel.legend(fontsize=8, frameon=False)
        panel.grid(alpha=0.3, which="both", linewidth=0.4)
    for line in panels:
        line[0].set_ylabel("seconds an epoch")
    work = document["work"]
    figure.suptitle(
        f"An epoch's time, one number varied around {work['rows']:,} rows, {work['layers']}, "
        f"batches of {work['batch_size']}",
        fontsize=10,
    )
    figure.tight_layout()
    _save(figure, path)


def _short(value):
    """20k for 20,000."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if value >= unit and value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


def draw_time_to_loss(document, path):
    """Validation loss against seconds of training, every seed a line.

    tfae's curves end with as many epochs as Keras': those beyond are there for seeds that end a
    little above their target.
    """
    figure, panel = plt.subplots(figsize=(8, 4))
    # The fast recipe stands in the results once for each target.
    curves = {result["name"]: result["curves"] for result in document["results"]}
    for color, (name, runs) in zip(plt.get_cmap("tab10").colors, curves.items(), strict=False):
        for number, curve in enumerate(runs):
            shown = slice(document["work"]["epochs"])
            panel.plot(
                np.cumsum(curve["epoch_s"][shown]),
                curve["val_loss"][shown],
                color=color,
                label=None if number else name,
                linewidth=1.2,
            )
    targets = {r["target"]: np.mean(r["target_losses"]) for r in document["results"]}
    for name, loss in targets.items():
        panel.axhline(loss, color="0.4", linewidth=0.6, linestyle="--")
        panel.annotate(
            f"Keras, {name}, {document['work']['epochs']} epochs",
            (1.01, loss),
            xycoords=("axes fraction", "data"),
            ha="left",
            va="center",
            fontsize=7,
            color="0.3",
        )
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(top=3 * max(targets.values()))
    panel.yaxis.set_major_formatter("{x:.2f}")
    panel.yaxis.set_minor_formatter("{x:.2f}")
    panel.set_xlabel("seconds of training")
    panel.set_ylabel("validation loss")
    panel.set_title(f"{document['work']['dataset']}, {document['work']['layers']}", fontsize=10)
    panel.grid(alpha=0.3, which="both", linewidth=0.4)
    panel.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    _save(figure, path)


def _save(figure, path):
    # No version or date in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
