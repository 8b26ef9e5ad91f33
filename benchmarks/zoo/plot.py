"""The plot of all set-ups, drawn from the JSON."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from benchmarks import plots

COLORS = {**plots.COLORS, "keras": "#8172b3"}
WAYS = {
    "fused": "tfae's kernels",
    "xla": "tfae's XLA",
    "keras": "Keras' step, an epoch a call",
    "fit": "model.fit itself",
}
TICKS = 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100


def draw(document, path):
    """How many times faster `tfae.fit` is than `fit`: a line a set-up, the fastest at the top."""
    results = [result for result in document["results"] if "ratios" in result]
    results.sort(key=lambda result: result["ratios"]["epoch"])
    size = 7.6, 1.3 + 0.165 * len(results)
    figure, panel = plt.subplots(figsize=size, layout="constrained")
    panel.axvline(1, color="0.3", linewidth=0.9, zorder=1)
    for height, result in enumerate(results):
        color = COLORS[result["way"]]
        epoch, call = (result["ratios"][name] for name in ("epoch", "call"))
        panel.plot([epoch, call], [height] * 2, color=color, linewidth=0.8, alpha=0.5, zorder=2)
        panel.plot(epoch, height, "o", color=color, markersize=4.8, zorder=3)
        panel.plot(call, height, "o", color=color, markersize=4.4, markerfacecolor="w", zorder=3)
    names = [result["name"].replace("_", " ") for result in results]
    panel.set_yticks(range(len(results)), names, fontsize=6.5)
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(-0.7, len(results) - 0.3)
    _scale(panel, [result["ratios"][name] for result in results for name in ("epoch", "call")])
    panel.set_xlabel("times as fast as model.fit", fontsize=8)
    panel.grid(alpha=0.3, linewidth=0.4)
    panel.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(
        handles=_legend({result["way"] for result in results}),
        loc="outside upper center",
        ncols=3,
        fontsize=7.5,
        frameon=False,
    )
    # No version or date in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _scale(panel, values):
    """A logarithmic axis with ticks that read as plain numbers."""
    low, high = min(*values, 1) / 1.15, max(*values, 1) * 1.15
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    panel.set_xticks([], minor=True)


def _legend(ways):
    """Which dot is which, and the colour of each way that is there."""
    dots = {"an epoch": "0.3", "a whole call of 4 epochs": "w"}
    options = {"marker": "o", "linestyle": "", "color": "0.3", "markersize": 5}
    handles = [Line2D([], [], markerfacecolor=c, label=name, **options) for name, c in dots.items()]
    return handles + [
        Line2D([], [], color=COLORS[way], linewidth=4, label=name)
        for way, name in WAYS.items()
        if way in ways
    ]
