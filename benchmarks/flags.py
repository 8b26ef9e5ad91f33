"""The command line's flags and recipes as Markdown, made from the parser that reads them."""

from benchmarks.tables import markdown_table
from tfae.config import RECIPES, flags_of, make_parser

KINDS = {int: "whole number", float: "number"}


def flags_table():
    """A line for each flag of `python -m tfae.train`."""
    actions = make_parser("python -m tfae.train")._actions  # argparse has no public list of them
    rows = [
        (", ".join(f"`{flag}`" for flag in action.option_strings), _values(action), action.help)
        for action in actions
    ]
    return markdown_table(("flag", "value", "what it is"), rows).strip()


def _values(action):
    """What may stand behind a flag."""
    if action.nargs == 0:
        return ""
    if action.choices:
        return ", ".join(f"`{choice}`" for choice in action.choices)
    return f"`{action.metavar}`" if action.metavar else KINDS.get(action.type, "text")


def recipes_list():
    """What each --recipe stands for."""
    flags = {name: flags_of(name) for name in RECIPES}
    return "\n".join(
        f"- `--recipe {name}`: " + (f"`{stands_for}`" if stands_for else "the defaults")
        for name, stands_for in flags.items()
    )
