"""The estimate of when XLA pays, against the measurements that are committed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import report
from tfae.keras_bridge.costs import steps_until_worth_it

MEASURED = json.loads((report.RESULTS / "ways.json").read_text())["results"]


@pytest.mark.parametrize("result", MEASURED, ids=lambda result: result["name"])
def test_the_estimate_is_within_a_factor_of_four(result):
    """One run on a shared machine; a step in graph or by XLA is a matter of tenths."""
    each = result["parameters"] / result["variables"]
    variables = [SimpleNamespace(shape=(each,))] * result["variables"]
    ratio = steps_until_worth_it(variables, programs=1) / result["worth_it_after_steps"]
    assert abs(np.log(ratio)) < np.log(4)
