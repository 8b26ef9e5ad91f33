"""What the results of all set-ups come to, and their picture."""

import statistics

from benchmarks.zoo.measure import EXACT, NOISE

WAYS = ("fused", "xla", "keras", "fit")
RATIOS = {
    "epoch": "an epoch",
    "call": "a whole call of 4 epochs",
    "published": "the published fit",
    "best": "an epoch, fit at its best",
}


def totals(results):
    """By way and over all: how many, and the geometric means; and those that stand out.

    Args:
        results: Of `measure.measured`.
    """
    trained = [result for result in results if result["way"] != "refused"]
    by_way = {way: [result for result in trained if result["way"] == way] for way in WAYS}
    groups = {way: _means(of) for way, of in {**by_way, "all": trained}.items() if of}
    slower = {
        name: [result["name"] for result in trained if result["ratios"].get(name, 1) < NOISE]
        for name in RATIOS
    }
    wrong = [result["name"] for result in trained if not result["drawn"] and _is_wrong(result)]
    refused = [result["name"] for result in results if result["way"] == "refused"]
    return {"ways": groups, "refused": refused, "slower": slower, "wrong": wrong}


def _means(results):
    means = {"set_ups": len(results)}
    for name in RATIOS:
        values = [result["ratios"][name] for result in results if name in result["ratios"]]
        means |= {name: statistics.geometric_mean(values)} if values else {}
    return means


def _is_wrong(result):
    """Whether a loss or metric is further from Keras' than Keras' own compile modes differ by."""
    return not result["gap"] <= max(EXACT, 2 * result.get("keras_gap", 0))


def plot(results, path):
    """A picture of each set-up's ratios, the slowest below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    results = [result for result in results if result["way"] != "refused"]
    results = sorted(results, key=lambda result: result["ratios"]["epoch"])
    colours = dict(zip(WAYS, ("#1f77b4", "#9467bd", "#ff7f0e", "#7f7f7f"), strict=True))
    figure, axes = plt.subplots(figsize=(8, 0.19 * len(results) + 1.3), layout="constrained")
    for height, result in enumerate(results):
        colour = colours[result["way"]]
        epoch, call = result["ratios"]["epoch"], result["ratios"]["call"]
        axes.plot([call, epoch], [height, height], color=colour, linewidth=1, alpha=0.5)
        axes.plot(epoch, height, "o", color=colour, markersize=5)
        axes.plot(call, height, "o", color=colour, markersize=5, fillstyle="none")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    ticks = (0.5, 1, 2, 5, 10, 20, 50, 100)
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(results)), [result["name"] for result in results], fontsize=7)
    axes.set_ylim(-1, len(results))
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("how many times as fast as model.fit: an epoch (full), a call of 4 (hollow)")
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=colours[way], label=way)
        for way in WAYS
        if any(result["way"] == way for result in results)
    ]
    axes.legend(handles=handles, loc="lower right", title="way")
    figure.savefig(path, dpi=130)
    plt.close(figure)
