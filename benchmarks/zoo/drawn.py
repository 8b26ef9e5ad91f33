"""Set-ups that draw numbers: whether both ways end on the same loss, but for the draws."""

import statistics

from benchmarks import harness
from benchmarks.zoo.measure import affordable_rows, describe, whole_call

ERRORS = 2.0  # standard errors of the difference within which two means are the same


def compared(set_up, images, seeds, most_rows):
    """Both means of the last epoch's loss over seeds, and whether they agree."""
    rows = affordable_rows(set_up, images, most_rows)
    given = set_up.data(rows, images)
    losses = {"fit": [], "tfae": []}
    for seed in range(seeds):
        for contestant, found in losses.items():
            run = whole_call(set_up, contestant, given, seed)
            found.append(run.history["loss"][-1])
    result = describe(set_up) | {"rows": rows, "way": run.params["engine"]}
    for name, values in losses.items():
        error = statistics.stdev(values) / len(values) ** 0.5 if seeds > 1 else 0.0
        result[name] = {"loss": harness.spread(values), "standard_error": error}
    apart = abs(result["fit"]["loss"]["mean"] - result["tfae"]["loss"]["mean"])
    both = sum(result[name]["standard_error"] ** 2 for name in losses) ** 0.5
    result["errors_apart"] = apart / both if both else None
    result["agree"] = apart <= ERRORS * both
    return result


def line(result):
    """For the terminal."""
    means = [
        f"{name} {result[name]['loss']['mean']:.6g} +- {result[name]['standard_error']:.2g}"
        for name in ("fit", "tfae")
    ]
    verdict = "agree" if result["agree"] else "DIFFER"
    return f"{result['name']:<22}{result['way']:<6}  {'   '.join(means)}   {verdict}"
