"""A run's plots and its page, made from its saved files only."""

import base64
import contextlib
import dataclasses
import html
import io
import warnings

import numpy as np
from matplotlib.figure import Figure

from tfae.config import flag_of, shown
from tfae.errors import DataError
from tfae.host.files import write_text, write_whole
from tfae.runs import records
from tfae.runs.examples import read_examples

TRAIN_COLOUR, VALIDATION_COLOUR = "#0b5fa5", "#d1580f"


def write_report(workdir):
    """Write loss.png, reconstructions.png and report.html of a finished run.

    Args:
        workdir: The `WorkDir`.

    Returns:
        The path of the page.

    Raises:
        DataError: There is no run, it has not finished, or a file of it is damaged.
        NotWritten: A file cannot be written.
    """
    if not workdir.has_run:
        raise DataError(f"{workdir.path} is no run's work directory: give one, such as runs/NAME")
    again = f"{workdir.resume_command} writes it again"
    with _remedy(again):
        facts = workdir.read_run()
    if "final" not in facts:
        raise DataError(
            f"{workdir.path} holds no finished run: {workdir.resume_command} finishes one that was "
            "stopped"
        )
    config, lines = workdir.read_config(), workdir.read_history()
    with _remedy(f"remove it, and {again}"):
        if not lines:
            raise DataError(f"{workdir.path / 'history.jsonl'} holds no record of an epoch")
        examples, image_shape = read_examples(workdir.examples)

    title = f"{facts['dataset']['title']}, {facts['layers']}"
    if flaw := records.flaw_of_history(lines, facts["epochs"]):
        facts["warnings"].append(f"history.jsonl {flaw}")
    loss_plot = plot_losses(records.by_epoch(lines), config.loss, f"{title}, {config.optimizer}")
    pair_title = f"{title}: validation rows and their reconstructions"
    pairs = plot_pairs(examples["examples"], examples["rebuilt"], image_shape, pair_title)
    labels = [
        f"row {index}\n{mse:.4f}"
        for index, mse in zip(examples["worst_index"], examples["worst_mse"], strict=True)
    ]
    worst_title = f"{title}: the worst-rebuilt validation rows, with their squared errors"
    worst = plot_pairs(
        examples["worst"], examples["worst_rebuilt"], image_shape, worst_title, labels
    )

    loss_plot, pairs, worst = map(_png, (loss_plot, pairs, worst))
    write_whole(workdir.loss_plot, lambda path: path.write_bytes(loss_plot))
    write_whole(workdir.reconstructions_plot, lambda path: path.write_bytes(pairs))
    write_text(workdir.report, _page(title, facts, config, loss_plot, pairs, worst))
    return workdir.report


@contextlib.contextmanager
def _remedy(remedy):
    """Have a DataError say what to do about the file that it names."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}: {remedy}") from None


def squared_error_of(facts):
    """What the squared errors of a run are of, by its `facts`, as a phrase."""
    scaled = facts["scaling"] in ("standard", "minmax")
    return "squared error of scaled columns" if scaled else "squared error"


def plot_losses(history, loss, title):
    """The losses by epoch, as a matplotlib Figure."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    for key, label, colour in (
        ("loss", "training", TRAIN_COLOUR),
        ("val_loss", "validation", VALIDATION_COLOUR),
    ):
        points = [(each["epoch"], each[key]) for each in history if each[key] is not None]
        if not points:  # the records were lost
            continue
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(values) == 1 else None
        axes.plot(epochs, values, colour, label=f"{label}, last {values[-1]:.4f}", marker=marker)
    axes.set(xlabel="epoch", ylabel=loss.replace("_", " "))
    axes.set_title(title, parse_math=False)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.set_xlim(left=1 if len(history) > 1 else None)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
    return figure


def plot_pairs(rows, rebuilt, image_shape, title, labels=None):
    """Rows beside their reconstructions, as a matplotlib Figure.

    Args:
        rows: [n, D] float32 in scaled units.
        rebuilt: [n, D], their reconstructions.
        image_shape: (h, w) or (h, w, c) of images from 0 to 1, drawn above each other; None draws
            a row and its reconstruction as two curves.
        title: Of the figure.
        labels: A text below each pair.
    """
    height = 2.7
    if image_shape:  # about an inch wide each, where they fill the width
        height = 2 * min(max(image_shape[0] / image_shape[1], 0.5), 2) + (0.65 if labels else 0.4)
    figure = Figure(figsize=(1.05 * max(len(rows), 7), height), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    if image_shape:
        _draw_images(figure.subplots(), rows, rebuilt, image_shape, labels)
    else:
        _draw_curves(figure.subplots(1, len(rows), squeeze=False)[0], rows, rebuilt, labels)
    return figure


def _draw_images(axes, rows, rebuilt, image_shape, labels):
    """All images as one mosaic: an axes each would take twenty times as long."""
    height, width = image_shape[:2]
    gap = max(width // 14, 1)
    # Images from 0 to 1 are drawn as they are, standardised ones from darkest to lightest.
    low, high = min(0.0, rows.min()), max(1.0, rows.max())
    mosaic = np.ones((2 * height + gap, len(rows) * (width + gap) - gap, *image_shape[2:]))
    for line, images in enumerate((rows, rebuilt)):
        for column, image in enumerate(images.reshape(-1, *image_shape)):
            top, left = line * (height + gap), column * (width + gap)
            mosaic[top : top + height, left : left + width] = (image - low) / (high - low)
    axes.imshow(np.clip(mosaic, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    middles = width / 2 - 0.5 + np.arange(len(rows)) * (width + gap)
    axes.set_xticks(middles if labels else [], labels or [], fontsize=7)
    axes.set_yticks(
        [height / 2 - 0.5, 1.5 * height + gap - 0.5], ["original", "rebuilt"], fontsize=9
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_curves(all_axes, rows, rebuilt, labels):
    marker = "." if rows.shape[1] < 40 else None
    for number, (axes, *pair) in enumerate(zip(all_axes, rows, rebuilt, strict=True)):
        axes.plot(pair[0], TRAIN_COLOUR, linewidth=1, marker=marker, label="original")
        axes.plot(pair[1], VALIDATION_COLOUR, linewidth=1, marker=marker, label="rebuilt")
        axes.set(xticks=[], yticks=[], xlabel=labels[number] if labels else "")
        axes.xaxis.label.set_fontsize(7)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].figure.legend(
        *all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: #56606e; } p.warning { background: #fff3d6; padding: .6rem 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
.figures div { background: #f2f5f8; border-radius: .5rem; padding: .7rem 1.1rem; }
.figures b { display: block; font-size: 1.35rem; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td { padding: .15rem 1.4rem .15rem 0; vertical-align: top; }
td:first-child { color: #56606e; white-space: nowrap; } td { overflow-wrap: anywhere; }
"""


def _page(title, facts, config, loss_plot, pairs, worst):
    """The self-contained page, as HTML text."""
    dataset, final = facts["dataset"], facts["final"]
    headline = (
        (final["val_loss"], "{:.4f}", "validation loss"),
        (final["loss"], "{:.4f}", "training loss"),
        (final["mse"], "{:.3g}", squared_error_of(facts)),
        (final["pca_mse"], "{:.3g}", "squared error of PCA, same code size"),
        (facts["epoch_s"], "{:.3f} s", "an epoch"),
        (facts["rows_per_s"], "{:,.0f}", "rows a second"),
    )
    cards = "".join(
        f"<div><b>{form.format(value)}</b>{label}</div>"
        for value, form, label in headline
        if value is not None
    )
    notes = "".join(f'<p class="warning">{html.escape(line)}</p>' for line in facts["warnings"])
    ending = f" Stopped early: {facts['stop_reason']}." if facts["stop_reason"] else ""
    run = {
        "engine": f"{facts['engine']['name']} ({facts['engine']['reason']})",
        "parameters": f"{facts['parameters']:,}",
        "scaling of the rows": facts["scaling"],
        "training time": f"{facts['train_s']:.1f} s for {facts['epochs']} epochs",
        "skipped steps": facts["skipped_steps"],
        "peak memory": f"{facts['peak_memory_gb']:.2f} GB",
    }
    data = {key.replace("_", " "): value for key, value in dataset.items() if value}
    given = dataclasses.asdict(config).items()
    configuration = {  # as it can be typed
        flag_of(name): "" if value is True else shown(value)
        for name, value in given
        if value is not None and value is not False
    }
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class="note">A dense autoencoder, trained on {dataset["rows"]:,} rows and validated on
{dataset["validation_rows"]:,}. {html.escape(dataset["reason"])}{html.escape(ending)}</p>
{notes}<div class="figures">{cards}</div>
<h2>Losses</h2>{_image(loss_plot, "training and validation loss by epoch")}
<h2>Reconstructions</h2>{_image(pairs, "validation rows over their reconstructions")}
<h2>Worst-rebuilt rows</h2>{_image(worst, "the rows with the largest errors")}
<h2>Run</h2>{_table(run)}
<h2>Data</h2>{_table(data)}
<h2>Configuration</h2>{_table(configuration)}
<h2>Environment</h2>{_table(facts["environment"])}
</body></html>
"""


def _png(figure):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a file's name in a title
        figure.savefig(file, format="png")
    return file.getvalue()


def _image(png, description):
    data = base64.b64encode(png).decode()
    return f'<img alt="{description}" src="data:image/png;base64,{data}">'


def _table(values):
    cells = "".join(
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{cells}</table>"
