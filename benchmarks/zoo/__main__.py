"""Dense autoencoders as people publish them, by `model.fit` and by `tfae.fit`.

Each set-up trains from equal weights: a whole call of a few epochs, with all tracing and compiling,
in which the losses are compared, and the first epochs of the fit that was published. Seconds of
`fit` over those of `tfae.fit` are given: above 1 tfae is faster.
"""

import gc
import traceback
import warnings
from pathlib import Path

import tensorflow as tf

from benchmarks import harness
from benchmarks.zoo import drawn
from benchmarks.zoo.catalogue import QUICK, SET_UPS
from benchmarks.zoo.measure import BEST, describe, measured, warm_up
from benchmarks.zoo.totals import RATIOS, totals

HEADER = f"{'':<22}{'way':<8}{'rows':>6}{'epoch':>8}{'call':>7}{'publ.':>8}{'best':>8}  gap (Keras)"


def line(result):
    """For the terminal, under `HEADER`."""
    begin = f"{result['name']:<22}{result.get('way', 'failed'):<8}"
    if "ratios" not in result:
        return f"{begin}{result.get('error') or result['reason']}"
    ratios = result["ratios"]
    cells = f"{result['rows']:>6}{ratios['epoch']:>8.2f}{ratios['call']:>7.2f}"
    best = f"{ratios['best']:.2f}" if "best" in ratios else ""
    cells += f"{ratios['published']:>8.2f}{best:>8}"
    theirs = "" if result["keras_gap"] is None else f" ({result['keras_gap']:.1e})"
    draws = ", drawn" if result["drawn"] else ""
    return f"{begin}{cells}  {result['gap']:.1e}{theirs}{draws}"


def print_totals(found):
    """Means of each way, and what is not as it should be."""
    rows = [
        (
            way,
            str(each["count"]),
            f"{each['share']:.0%}",
            *(f"{each['ratios'][name]:.2f}" for name in RATIOS),
        )
        for way, each in (*found["ways"].items(), ("all", found["all"]))
        if each
    ]
    print()
    harness.print_table(["way", "set-ups", "share", *RATIOS], rows)
    lists = {"refused": found["refused"], "failed": found["failed"], "wrong": found["wrong"]}
    lists |= {f"slower, {name}": names for name, names in found["slower"].items()}
    for what, names in lists.items():
        print(f"{what}: {', '.join(names) or 'none'}")


def main(argv=None):
    """Run the benchmark."""
    parser = harness.make_parser("zoo", __doc__, rows=False)
    parser.add_argument(
        "--only", type=harness.some_of(*SET_UPS), metavar="NAMES", help="these, with commas between"
    )
    parser.add_argument("--turns", type=harness.positive, default=1, help="of each (default: 1)")
    parser.add_argument(
        "--most-rows",
        type=harness.positive,
        default=20_000,
        metavar="N",
        help="in a whole call; three times as many in the published fit (default: 20000)",
    )
    parser.add_argument(
        "--drawn",
        action="store_true",
        help="compare the last losses of those that draw numbers, over seeds, and time nothing",
    )
    parser.add_argument("--seeds", type=harness.positive, default=5, help="of --drawn (default: 5)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios there, as PNG")
    options = harness.parse(parser, argv, only=QUICK, most_rows=100, seeds=2)
    chosen = [SET_UPS[name] for name in options.only or SET_UPS]
    if options.drawn:
        chosen = [one for one in chosen if one.drawn]
    source = harness.load_images(options)
    work = {"images": source.title, "most_rows": options.most_rows, "turns": options.turns}
    environment, results, found = harness.describe_environment(), [], {}
    # What Keras says of published forms, and of steps_per_execution, is known.
    warnings.simplefilter("ignore")
    tf.get_logger().setLevel("ERROR")
    if not options.quick:
        warm_up()
    if not options.drawn:
        print(HEADER, flush=True)
    for one in chosen:
        results.append(_attempt(one, lambda: source.train, options))
        failed = "error" in results[-1]
        print((drawn.line if options.drawn and not failed else line)(results[-1]), flush=True)
        found = {} if options.drawn else {"totals": totals(results)}
        harness.write_json(options, work, results, environment, say=one is chosen[-1], **found)
        gc.collect()
    if found:
        print_totals(found["totals"])
    if options.plot and found:
        from benchmarks.zoo.plot import draw

        draw({"environment": environment, "work": work, "results": results}, options.plot)
        print(f"wrote {options.plot}")


def _attempt(set_up, images, options):
    """Its result; an error of one set-up is no reason to lose the others."""
    try:
        if options.drawn:
            return drawn.compared(set_up, images, options.seeds, options.most_rows)
        contestants = ("fit", "tfae", *(() if options.quick else BEST))
        return measured(set_up, images, options.turns, options.most_rows, contestants)
    except Exception as error:
        return describe(set_up) | {"error": repr(error), "traceback": traceback.format_exc()}


if __name__ == "__main__":
    harness.run(main)
