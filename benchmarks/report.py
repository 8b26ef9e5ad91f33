"""Write what README.md and docs/ have from elsewhere: figures from JSON, flags from the parser.

python -m benchmarks.report          replace those parts of the pages, and the plots
python -m benchmarks.report --check  exit with 1 where a part is not what it is made from
"""

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path

from benchmarks import plots, tables
from benchmarks.flags import flags_table, recipes_list

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# A part stands between two lines of this form, which no reader sees.
PART = re.compile(r"<!-- (\w+): python -m benchmarks\.report -->\n.*?<!-- end of \1 -->", re.DOTALL)


def read(result):
    """The committed JSON of that name."""
    return json.loads((RESULTS / f"{result}.json").read_text())


def measured(table, result):
    """What `table` makes of the JSON of that name."""
    try:
        return table(read(result))
    except KeyError as key:
        sys.exit(f"results/{result}.json has no {key}: measure it again, it is of an older form")


def measured_on_gpu(table, result, command):
    """The same, or how to measure it, where no GPU has."""
    if (RESULTS / f"{result}.json").exists():
        return measured(table, result)
    return (
        f"On a GPU nothing of this has been measured yet: `python -m benchmarks.{command} "
        f"--json benchmarks/results/{result}.json` does it there."
    )


# By its name in the pages: what makes the part.
PARTS = {
    "fit": partial(measured, tables.fit_sentence, "throughput"),
    "flags": flags_table,
    "recipes": recipes_list,
    "throughput": partial(measured, tables.throughput_table, "throughput"),
    "throughput_deep": partial(measured, tables.throughput_table, "throughput_deep"),
    "throughput_avx2": partial(measured, tables.throughput_table, "throughput_avx2"),
    "throughput_gpu": partial(
        measured_on_gpu, tables.throughput_table, "throughput_gpu", "throughput"
    ),
    "throughput_gpu_large": partial(
        measured_on_gpu,
        tables.throughput_table,
        "throughput_gpu_large",
        "throughput --features 8192 --layers 4096 --batch-size 8192 --floor bfloat16 --only xla",
    ),
    "time_to_loss": partial(measured, tables.time_to_loss_table, "time_to_loss"),
    "time_to_loss_gpu": partial(
        measured_on_gpu, tables.time_to_loss_table, "time_to_loss_gpu", "time_to_loss"
    ),
    "parity": partial(measured, tables.parity_table, "parity"),
    "parity_gpu": partial(measured_on_gpu, tables.parity_table, "parity_gpu", "parity"),
    "scaling": partial(measured, tables.scaling_table, "scaling"),
    "process": partial(measured, tables.process_table, "process"),
    "ways": partial(measured, tables.ways_table, "ways"),
    "gpu_kernel": partial(measured, tables.gpu_kernel_sentence, "gpu_kernel"),
    "gpu_run": partial(measured, tables.gpu_run_sentence, "gpu_run"),
}


def pages():
    """The paths of the pages."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def render(text):
    """A page's text with every part made anew."""

    def remade(part):
        name = part[1]
        if name not in PARTS:
            sys.exit(f"{name!r} is no part that is made; there are {', '.join(PARTS)}")
        return (
            f"<!-- {name}: python -m benchmarks.report -->\n{PARTS[name]()}\n<!-- end of {name} -->"
        )

    return PART.sub(remade, text)


def main(argv=None):
    """Replace the parts and plots, or check the parts."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.report", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit status 1 where they differ"
    )
    options = parser.parse_args(argv)
    before = {page: page.read_text() for page in pages()}
    standing = {name for text in before.values() for name in PART.findall(text)}
    if lost := [name for name in PARTS if name not in standing]:
        sys.exit(
            f"no page has the lines '<!-- {lost[0]}: python -m benchmarks.report -->' and "
            f"'<!-- end of {lost[0]} -->' to put that part between"
        )
    after = {page: render(text) for page, text in before.items()}
    stale = [str(page.relative_to(ROOT)) for page in before if after[page] != before[page]]
    if not options.check:
        for page, text in after.items():
            page.write_text(text)
        plots.draw_scaling(read("scaling"), RESULTS / "scaling.png")
        plots.draw_time_to_loss(read("time_to_loss"), RESULTS / "time_to_loss.png")
    elif stale:
        sys.exit(f"{', '.join(stale)} not up to date: run python -m benchmarks.report")
    else:
        print("every page says what it is made from")


if __name__ == "__main__":
    main()
