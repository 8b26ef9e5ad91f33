"""The published set-ups: each is one, and the benchmark of them measures and counts rightly."""

import inspect
import json
import math
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks.zoo import __main__ as zoo
from benchmarks.zoo import drawn, measure, plot
from benchmarks.zoo.catalogue import SET_UPS
from benchmarks.zoo.set_up import set_up
from benchmarks.zoo.totals import totals
from tfae.errors import ConfigError

ROOT = Path(__file__).parent.parent


def images():
    """Rows [N, 784] of bytes."""
    return np.random.default_rng(0).integers(0, 256, (50, 784)).astype(np.uint8)


def test_there_are_at_least_fifty_each_with_a_source():
    assert len(SET_UPS) >= 50
    for one in SET_UPS.values():
        assert one.source
        assert one.what.endswith(".")
        assert min(one.rows, one.epochs, one.batch_size) >= 1


def test_two_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two set-ups are called keras_blog_simple"):
        set_up("a source", None, rows=1, epochs=1)(SET_UPS["keras_blog_simple"].build)


@pytest.mark.parametrize("part", range(4))
def test_each_builds_compiled_and_takes_its_rows(part):
    """By its first batch, where it is not a stream; what `fit` knows of its arguments."""
    known = inspect.signature(keras.Model.fit).parameters
    for one in list(SET_UPS.values())[part::4]:
        arguments = one.arguments(one.data(min(one.rows, 20), images))
        assert arguments.keys() <= known.keys(), one.name
        assert one.streamed != ("batch_size" in arguments), one.name
        model = one.model()
        assert model.compiled, one.name
        for expected in getattr(model, "inputs", None) or ():
            given = arguments["x"]
            if isinstance(given, dict):
                given = given[expected.name]
            if hasattr(given, "shape"):
                assert given.shape[1:] == expected.shape[1:], one.name


def test_equal_seeds_give_equal_weights():
    one = SET_UPS["ecg_tanh"]
    first, again, other = (one.model(seed).get_weights() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()


def test_what_is_used_up_is_made_anew_for_every_call():
    one = SET_UPS["generator_batches"]
    given = one.data(200, images)
    batches = [next(one.arguments(given)["x"])[0] for _ in range(2)]
    np.testing.assert_array_equal(*batches)
    stopping = SET_UPS["batadal"]
    given = stopping.data(20, images)
    first, second = (stopping.arguments(given)["callbacks"] for _ in range(2))
    assert first[0] is not second[0]


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ({"loss": [2.0, 1.0]}, {"loss": [2.0, 1.0]}, 0),
        ({"loss": [2.0, 1.0], "mae": [1.0]}, {"loss": [2.0, 1.0], "mae": [0.75]}, 0.25),
        ({"loss": [-2.0]}, {"loss": [2.0]}, 2),
        ({"loss": [math.nan]}, {"loss": [math.nan]}, 0),
        ({"loss": [math.nan]}, {"loss": [1.0]}, 1),
        ({"loss": [1.0]}, {"loss": [1.0], "mae": [1.0]}, 1),
        ({"loss": [1.0]}, {"loss": [1.0, 1.0]}, 1),
    ],
)
def test_the_gap_is_the_largest_relative_difference(theirs, ours, expected):
    assert measure.gap(theirs, ours) == expected


def test_the_published_fit_has_all_epochs_on_all_rows():
    one = types.SimpleNamespace(rows=2000, epochs=10)
    run = measure.Trained(0, 5.0, [2.0, 2.0], {}, {})
    assert measure.published_s(one, run, 2000) == 5 + 9 * 2
    assert measure.published_s(one, run, 1000) == 3 + 10 * 2 * 2


def result(name, way="keras", ratio=2.0, **more):
    """As `measured` returns it."""
    ratios = dict.fromkeys(("epoch", "call", "published"), ratio)
    known = {"ratios": ratios, "gap": 1e-7, "keras_gap": 1e-7, "drawn": False}
    return {"name": name, "way": way, **known, **more}


def test_totals_name_what_is_not_as_it_should_be():
    found = totals(
        [
            result("fast", "fused", 8.0),
            result("even"),
            result("slow", ratio=0.5),
            result("kinked", gap=1e-3, keras_gap=2e-3),
            result("wrong", gap=1e-3),
            result("other draws", gap=1e-1, drawn=True),
            {"name": "no", "way": "refused", "reason": "it is none"},
            {"name": "broken", "error": "ValueError('x')"},
        ]
    )
    assert found["refused"] == ["no"]
    assert found["failed"] == ["broken"]
    assert found["wrong"] == ["wrong"]
    assert list(found["slower"].values()) == [["slow"]] * 3
    assert found["ways"]["fused"]["count"] == 1
    assert found["ways"]["keras"]["ratios"]["epoch"] == pytest.approx((2**4 / 2) ** 0.2)
    assert found["all"]["share"] == 6 / 8


def test_means_agree_within_two_errors_of_their_difference(monkeypatch):
    losses = {"fit": [1.0, 1.1, 1.2], "tfae": [1.1, 1.2, 1.3]}

    def call(one, contestant, given, seed):
        return measure.Trained(0, 1, [], {"loss": [losses[contestant][seed]]}, {"engine": "keras"})

    monkeypatch.setattr(drawn, "whole_call", call)
    compared = drawn.compared(SET_UPS["cdae"], images, 3, 100)
    assert compared["agree"]
    assert compared["errors_apart"] == pytest.approx(0.1 / (0.1**2 / 3 * 2) ** 0.5)
    losses["tfae"] = [1.5, 1.6, 1.7]
    assert not drawn.compared(SET_UPS["cdae"], images, 3, 100)["agree"]


def test_an_error_of_one_is_shown_and_the_others_run(monkeypatch, tmp_path, capsys):
    def measured(one, *arguments):
        if one.name == "ecg_tanh":
            raise ValueError("no such rows")
        return result(one.name, rows=10) | {"ratios": {"epoch": 2, "call": 1, "published": 2}}

    monkeypatch.setattr(zoo, "measured", measured)
    monkeypatch.setattr(zoo, "warm_up", lambda: None)
    np.savez(tmp_path / "images.npz", x_train=images())
    arguments = ["--dataset", str(tmp_path / "images.npz"), "--json", str(tmp_path / "z.json")]
    zoo.main([*arguments, "--only", "ecg_tanh,batadal", "--plot", str(tmp_path / "z.png")])
    assert "failed  ValueError('no such rows')" in capsys.readouterr().out
    document = json.loads((tmp_path / "z.json").read_text())
    assert [r["name"] for r in document["results"]] == ["ecg_tanh", "batadal"]
    assert document["totals"]["failed"] == ["ecg_tanh"]
    assert (tmp_path / "z.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="'nosuch' is none of"):
        zoo.main(["--only", "nosuch"])


def test_every_way_has_a_colour_and_a_name():
    assert plot.WAYS.keys() <= plot.COLORS.keys()
    assert set(plot.WAYS) == {"fused", "xla", "keras", "fit"}


def test_a_quick_look_leaves_what_the_table_needs(native, tmp_path):
    np.savez(tmp_path / "images.npz", x_train=images())
    command = [sys.executable, "-m", "benchmarks.zoo", "--quick", "--only", "bearing_leaky"]
    command += ["--most-rows", "50"]
    command += ["--dataset", str(tmp_path / "images.npz"), "--json", str(tmp_path / "z.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "z.json").read_text())
    (found,) = document["results"]
    assert found["way"] == "fused"
    assert "LeakyReLU" in found["reason"]
    assert found["gap"] < 1e-5
    assert found["published"] == {"rows": 786, "epochs": 100, "batch_size": 10}
    assert found["source"] == SET_UPS["bearing_leaky"].source
    assert found["ratios"].keys() == {"epoch", "call", "published"}
    for name in ("fit", "tfae"):
        for key in ("call_s", "epoch_s", "published_s"):
            assert found["seconds"][name][key]["median"] > 0
    assert document["totals"]["ways"]["fused"]["count"] == 1
