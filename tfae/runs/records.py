"""run.json and history.jsonl: what they say, and the one way in which each is written and read.

A schema is a type, several (of which a value may have any), `[schema]` for a list of such, or a
dictionary of what an object must hold; it may hold more.
"""

import itertools
import json
import math
import sys

from tfae.errors import DataError
from tfae.host.files import write_text, writing

NUMBER = (int, float)
MAYBE = (int, float, type(None))

# From the start of a run; `FINISHED` is there once it has ended.
RUN = {
    "status": str,
    "dataset": {
        **dict.fromkeys(("name", "title", "origin", "reason", "validation_from", "sha256"), str),
        **dict.fromkeys(("rows", "validation_rows", "features"), int),
    },
    "engine": {"name": str, "reason": str},
    "device": str,
    "precision": str,
    "seed": int,
    "layers": str,
    "parameters": int,
    "scaling": str,
    "environment": {},
    "warnings": [str],
    "train_s": NUMBER,
}
FINISHED = {
    "epochs": int,
    "stop_reason": (str, type(None)),
    "skipped_steps": int,
    "epoch_s": MAYBE,
    "rows_per_s": MAYBE,
    "final": {"epoch": int, "loss": MAYBE, "val_loss": NUMBER, "mse": NUMBER, "pca_mse": MAYBE},
    "peak_memory_gb": NUMBER,
}
# Of an epoch whose record was lost there are no numbers; val_loss is also null where there was no
# validation.
RECORD = {
    "epoch": int,
    "loss": MAYBE,
    "val_loss": MAYBE,
    "epoch_s": MAYBE,
    "rows_per_s": MAYBE,
}
LAST_EPOCH = 10**9  # that --epochs may ask for


def read_run(path):
    """What run.json says, checked; an empty dictionary where there is no such file.

    Raises:
        DataError: It is damaged; the message says how.
    """
    try:
        facts = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be used ({error})") from None
    wanted = dict(RUN)
    if isinstance(facts, dict) and ("final" in facts or facts.get("status") == "done"):
        wanted |= FINISHED
    if flaw := _flaw_of(facts, wanted, "what it holds"):
        raise DataError(f"{path} cannot be used ({flaw})")
    return facts


def write_run(path, facts):
    """Write run.json whole.

    Raises:
        NotWritten: It cannot be.
    """
    write_text(path, json.dumps(facts, indent=2) + "\n")


def write_history(path, history):
    """Replace a history.jsonl by these records; raises as `write_run`."""
    write_text(path, "".join(json.dumps(record) + "\n" for record in history))


def append_history(path, record):
    """Add one epoch's record to a history.jsonl; raises as `write_run`."""
    with writing(path), path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_history(path):
    """The records of a history.jsonl in the order of its lines, without lines that hold none.

    Raises:
        DataError: There is one, and it may not be read.
    """
    try:
        text = path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): see that it can be") from None
    return [record for line in text.splitlines() if (record := _record(line))]


def _record(line):
    """The record that a line holds; None where it is damaged, as half a line is."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if _flaw_of(record, RECORD, "") or not 1 <= record["epoch"] <= LAST_EPOCH:
        return None
    numbers = [value for value in record.values() if type(value) in NUMBER]
    return record if all(map(math.isfinite, numbers)) else None


def by_epoch(records, last=None):
    """Records in their order, one an epoch.

    Args:
        records: As they were read; of several of one epoch, the last counts.
        last: The epoch up to which there is to be one of each; those without get one of nulls.
            None leaves them out.
    """
    found = {record["epoch"]: record for record in records}
    epochs = sorted(found) if last is None else range(1, last + 1)
    return [found.get(epoch) or {**dict.fromkeys(RECORD), "epoch": epoch} for epoch in epochs]


def flaw_of_history(records, last):
    """What is wrong with records as they were read, as a clause; "" where nothing is.

    Args:
        records: In the order of their lines.
        last: The epoch that they must reach.
    """
    epochs = [record["epoch"] for record in records if record["epoch"] <= last]
    flaws = []
    if gaps := _gaps(sorted(epochs), last):
        flaws.append(f"has no record of {gaps}")
    if any(after <= before for before, after in itertools.pairwise(epochs)):
        flaws.append("had records twice or out of order")
    return " and ".join(flaws)


def _gaps(epochs, last):
    """`epoch 1, 3 to 5`: what sorted epochs lack up to the last; "" where that is nothing."""
    ranges, expected = [], 1
    for epoch in (*epochs, last + 1):
        if epoch > expected:
            ranges.append(f"{expected} to {epoch - 1}" if epoch > expected + 1 else f"{expected}")
        expected = epoch + 1
    return f"epoch {', '.join(ranges)}" if ranges else ""


def _flaw_of(value, schema, name):
    """How a value differs from its schema, as a clause; None where it does not."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return f"{name} is {_shown(value)}, no object"
        for key, part in schema.items():
            if key not in value:
                return f"{key!r} is missing"
            if flaw := _flaw_of(value[key], part, repr(key)):
                return flaw
        return None
    if isinstance(schema, list):
        if not isinstance(value, list):
            return f"{name} is {_shown(value)}, no list"
        flaws = (_flaw_of(each, schema[0], f"a part of {name}") for each in value)
        return next((flaw for flaw in flaws if flaw), None)
    kinds = schema if isinstance(schema, tuple) else (schema,)
    # Exact types, since True is an int to isinstance; and no int that is too large for a float.
    if type(value) not in kinds or (type(value) is int and abs(value) > sys.float_info.max):
        return f"{name} is {_shown(value)}"
    return None


def _shown(value):
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
