"""The estimate of when XLA pays, against the measurements that are committed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import report
from tfae.keras_bridge.costs import steps_until_worth_it

MEASURED = json.loads((report.RESULTS / "ways.json").read_text())["results"]


@pytest.mark.parametrize("result", MEASURED, ids=lambda result: result["name"])
def test_the_estimate_is_within_a_factor_of_three(result):
    """Up to which the wrong way costs no more than to compile twice over."""
    each = result["parameters"] / result["variables"]
    variables = [SimpleNamespace(shape=(each,))] * result["variables"]
    expected = steps_until_worth_it(variables, result["rows"], result["batch_size"])
    assert abs(np.log(expected / result["worth_it_after_steps"])) < np.log(3)
