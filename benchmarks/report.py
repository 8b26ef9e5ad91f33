"""Write the README's tables from the committed JSON: no number there is typed by hand.

python -m benchmarks.report          replace the tables in README.md
python -m benchmarks.report --check  exit with 1 where a table is not what the JSON says
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"


def process_table(document):
    """The table of `benchmarks.process`, as Markdown."""
    environment, work = document["environment"], document["work"]
    ours, theirs = document["results"]
    labels = {"tfae": "`python -m tfae.train`", "keras": "Keras `fit`, as the tutorial has it"}
    lines = [
        "| | whole command | training and validation | peak memory | validation loss |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {labels[result['name']]} | {_seconds(result['wall_s'])} | "
        f"{_seconds(result['train_s'])} | {result['peak_memory_gb']['median']:.2f} GB | "
        f"{result['final_loss']:.4f} |"
        for result in (ours, theirs)
    ]
    wall, train = (theirs[key]["median"] / ours[key]["median"] for key in ("wall_s", "train_s"))
    lines += [
        f"| ratio | {wall:.1f} | {train:.1f} | | |",
        "",
        f"{work['dataset']}, {work['layers']}, {work['optimizer']}, batches of "
        f"{work['batch_size']}, {work['epochs']} epochs, the same initial weights; median (lowest "
        f"to highest) of {work['turns']} runs in turns. {environment['cores']} cores of an "
        f"{environment['cpu']} processor, {environment['device']} only, TensorFlow "
        f"{environment['tensorflow']}, Keras {environment['keras']}, Python "
        f"{environment['python']}. Compiling is part of both columns.",
    ]
    return "\n".join(lines)


def _seconds(spread):
    return f"{spread['median']:.1f} s ({spread['min']:.1f} to {spread['max']:.1f})"


TABLES = {"process": process_table}


def render(readme):
    """The README's text with every table made anew from its JSON."""
    for name, table in TABLES.items():
        document = json.loads((RESULTS / f"{name}.json").read_text())
        begin, end = f"<!-- {name}: python -m benchmarks.report -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(readme):
            sys.exit(f"README.md has no lines {begin!r} and {end!r} to put the table between")
        text = f"{begin}\n{table(document)}\n{end}"
        readme = pattern.sub(lambda _, text=text: text, readme)
    return readme


def main():
    """Replace the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    before = README.read_text()
    after = render(before)
    if options.check and after != before:
        sys.exit("README.md is not what the JSON says: run python -m benchmarks.report")
    if not options.check:
        README.write_text(after)


if __name__ == "__main__":
    main()
