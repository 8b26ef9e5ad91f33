"""Autoencoders as people publish them: `tfae.fit` against `model.fit`, also at its best settings.

Each set-up is written anew from its facts: layers, loss, optimizer, batches, the width and the kind
of its rows. From equal weights it is trained by both, in turns: a whole call of 4 epochs with all
tracing and compiling, in the rows' order, whose losses and metrics are compared; and the published
fit, stopped after 3 epochs, whose seconds follow from those. Rows are left out where a call of
`fit` would take too long.
"""

import gc
from pathlib import Path

import keras

from benchmarks import harness
from benchmarks.zoo import forms, images, others, rows, tables, totals  # noqa: F401 - registered
from benchmarks.zoo.measure import Clock, called, drawn, measured
from benchmarks.zoo.set_up import SET_UPS

QUICK = ("bearing_leaky", "embedded_categories", "from_dataset")


def line_of(result):
    """What is printed of a result."""
    cells = [f"{result['name']:22}", f"{result['way']:8}", f"{result['rows']:7,}"]
    ratios = result.get("ratios", {})
    cells += [f"{name} {ratios[name]:6.2f}" for name in totals.RATIOS if name in ratios]
    if "gap" in result:
        cells.append("drawn" if result["drawn"] else f"gap {result['gap']:.1e}")
        cells.append(f"(Keras {result['keras_gap']:.1e})" if "keras_gap" in result else "")
    return "  ".join(cells) + ("" if ratios else f"  {result['reason']}")


def print_totals(made):
    """For the terminal."""
    header = ["way", "set-ups", *totals.RATIOS]
    lines = [
        [
            way,
            str(of["set_ups"]),
            *(f"{of[name]:.2f}" if name in of else "" for name in totals.RATIOS),
        ]
        for way, of in made["ways"].items()
    ]
    harness.print_table(header, lines)
    for name in ("refused", "wrong"):
        print(f"{name}: {', '.join(made[name]) or 'none'}")
    for name, slower in made["slower"].items():
        print(f"slower, {totals.RATIOS[name]}: {', '.join(slower) or 'none'}")


def main(argv=None):
    """Run the benchmark."""
    parser = harness.make_parser("zoo", __doc__, rows=False)
    parser.add_argument("--only", type=harness.some_of(*SET_UPS), help="these alone, with commas")
    parser.add_argument(
        "--most-rows", type=harness.positive, default=20_000, help="(default: 20000)"
    )
    parser.add_argument("--turns", type=harness.positive, default=1, help="of each (default: 1)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture there")
    parser.add_argument(
        "--seeds", type=harness.positive, help="compare losses of so many seeds where it draws"
    )
    options = harness.parse(parser, argv, only=list(QUICK), most_rows=300)
    rows.use_images(options)
    set_ups = [SET_UPS[name] for name in options.only or SET_UPS]
    work = {"dataset": options.dataset, "most_rows": options.most_rows, "turns": options.turns}
    results = []
    if options.seeds:
        for set_up in (set_up for set_up in set_ups if set_up.drawn):
            results.append(drawn(set_up, options.most_rows, options.seeds))
            apart = results[-1]["standard_errors"]
            print(f"{set_up.name:22}  {apart:.2f} standard errors apart", flush=True)
        harness.write_json(options, work, results)
        return
    for way in ("fit", "tfae"):  # what a process does once is nobody's
        called(SET_UPS[QUICK[0]], way, SET_UPS[QUICK[0]].data(64), 1, Clock())
    for set_up in set_ups:
        full = not options.quick
        results.append(measured(set_up, options.most_rows, options.turns, full, full))
        print(line_of(results[-1]), flush=True)
        keras.backend.clear_session()
        gc.collect()
        if options.json:
            harness.write_json(options, work, results, totals=totals.totals(results))
    print_totals(totals.totals(results))
    if options.plot:
        totals.plot(results, options.plot)


if __name__ == "__main__":
    harness.run(main)
