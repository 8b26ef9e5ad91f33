"""The benchmarks run, refuse a wrong engine, and the pages say what their JSON says."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import broken_engines
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import harness, keras_tutorial, parity, scaling, throughput, time_to_loss
from benchmarks.contestants import Epoch, keras_fit
from benchmarks.contestants.keras_fit import KerasAtItsBest
from benchmarks.contestants.ours import Tfae
from tfae.config import TrainConfig
from tfae.errors import ConfigError

ROOT = Path(__file__).parent.parent


def run(*arguments, **kwargs):
    """A benchmark as a process, from the project's directory."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **kwargs)


@pytest.fixture
def images(tmp_path, byte_rows):
    """A small file of images; its 600 rows make two whole batches and a short one."""
    path = tmp_path / "images.npz"
    np.savez(path, x_train=byte_rows, x_test=byte_rows[:100])
    return str(path)


def test_the_pages_have_the_committed_numbers():
    done = run("benchmarks.report", "--check")
    assert done.returncode == 0, done.stderr


def test_the_keras_script_stands_alone(tmp_path, monkeypatch):
    """The peer leaves what a run of tfae leaves, and does not use tfae."""
    for name in ("keras_tutorial", "keras_model"):
        source = (ROOT / "benchmarks" / f"{name}.py").read_text()
        assert not re.search(r"(import|from) tfae", source)
    rows = np.random.default_rng(0).integers(0, 256, (64, 784)).astype(np.uint8)
    np.savez(tmp_path / "rows.npz", x_train=rows, x_test=rows[:16])
    arguments = ["--epochs", "1", str(tmp_path / "rows.npz"), str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["keras_tutorial", *arguments])
    keras_tutorial.main()
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"model.keras", "loss.png", "reconstructions.png", "times.json"}
    assert json.loads((tmp_path / "out" / "times.json").read_text())["train_s"] > 0


PARITY = ("--epochs", "2", "--seeds", "1", "--layers", "4", "--optimizers", "adadelta")


@pytest.fixture
def slots(monkeypatch):
    """Has parity take contestants for engines: "right", or a class of `broken_engines`.

    All in one run, beside one Keras: it is Keras that takes long.
    """

    def contestant(*arguments, engine):
        made = Tfae if engine == "right" else getattr(broken_engines, engine)
        return made(*arguments, engine="xla")

    def fill(*names):
        monkeypatch.setattr(parity, "ENGINES", ("auto", *names))
        monkeypatch.setattr(parity, "engine_absence", lambda engine, precision: None)
        return contestant

    return fill


def test_parity_lets_a_right_engine_pass_and_refuses_wrong_ones(images, slots, tmp_path, capsys):
    broken = "StaleGradient", "BatchMean", "FrozenBias"
    arguments = [*PARITY, "--dataset", images, "--precisions", "float32"]
    with pytest.raises(SystemExit) as stop:
        parity.main([*arguments, "--json", str(tmp_path / "p.json")], slots("right", *broken))
    assert stop.value.code == 1
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    document = json.loads((tmp_path / "p.json").read_text())
    assert document["command"].startswith("python -m benchmarks.parity --epochs 2")
    assert [result["passed"] for result in document["results"]] == [True, *[False] * len(broken)]
    assert document["results"][0]["yardstick"] < parity.LOSS_RTOL
    assert document["results"][0]["yardstick_weight_difference"] > 0
    verdicts = [line for line in capsys.readouterr().out.splitlines() if ", adadelta: " in line]
    assert "NO" not in verdicts[0]
    # A wrong update shows in the step after it; the others only in what an epoch makes of steps.
    for name, verdict in zip(broken, verdicts[1:], strict=True):
        assert "NO" in verdict
        where = "epoch 1, step 2:" if name == "FrozenBias" else "every step alone agrees"
        assert where in verdict


def test_parity_in_a_mixed_precision_lets_a_right_engine_pass(images, slots):
    arguments = [*PARITY, "--dataset", images, "--precisions", "mixed_bfloat16"]
    parity.main(arguments, slots("right"))


@pytest.mark.parametrize(
    ("first", "last", "passed"),
    [(1e-4, 1e-3, True), (4e-4, 1e-3, False), (1e-4, 4e-3, False), (np.nan, 0.0, False)],
)
def test_parity_in_a_mixed_precision_knows_wrong_from_right(first, last, passed):
    """A wrong mean over batches shows in a first epoch's loss alone."""
    keras = np.full((2, 3, 2), 0.5)  # seeds, epochs, training and validation
    ours = keras.copy()
    ours[1, 0, 0] *= 1 + first
    ours[:, -1, 1] *= 1 + last
    assert parity._held_against(keras, ours)["passed"] == passed


def test_parity_knows_what_a_machine_has_not():
    options = argparse.Namespace(engines=["xla", "fused"], precisions=["mixed_float16"])
    assert list(parity._absent(options)) == [("fused", "mixed_float16")]


THROUGHPUT = """
import sys
from benchmarks import throughput
from benchmarks.contestants import ENTRIES, Entry

sys.modules["tensorflow"] = None  # whoever directs must not import it: it would take the GPU
baseline = next(entry for entry in ENTRIES if entry.name == "tfae, fused, float32")
broken = Entry("broken", "auto", "broken_engines:TooHigh")
absent = Entry("absent", "none", "nowhere:Nobody", needs="no_such_package")
throughput.main(sys.argv[1:], entries=(baseline, broken, absent))
"""


@pytest.mark.usefixtures("native")
def test_throughput_refuses_a_wrong_engine_and_times_the_right(images, tmp_path):
    """The right one in Keras' place, of which the loss is taken as the right one."""
    arguments = ["--dataset", images, "--turns", "2", "--epochs", "1", "--layers", "4"]
    command = [sys.executable, "-c", THROUGHPUT, *arguments, "--json", str(tmp_path / "t.json")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "broken: WRONG" in done.stdout
    assert "absent: no_such_package is not installed" in done.stdout
    document = json.loads((tmp_path / "t.json").read_text())
    names = [result["name"] for result in document["results"]]
    assert names == ["tfae, fused, float32"]
    for result in document["results"]:
        assert result["epoch_s"]["min"] <= result["epoch_s"]["median"] <= result["epoch_s"]["max"]
        assert len(result["epoch_s"]["runs"]) == 2
        assert result["rows_per_s"] == pytest.approx(600 / result["epoch_s"]["median"])


def test_on_a_gpu_keras_tries_few_settings(byte_rows, monkeypatch):
    """Each is compiled there, for as long as all the training takes."""
    monkeypatch.setattr(keras_fit, "visible_gpus", lambda: ["a GPU"])
    monkeypatch.setattr(KerasAtItsBest, "train", lambda self, epochs: [Epoch(0.0, 1.0)] * epochs)
    monkeypatch.setattr(KerasAtItsBest, "_predict_s", lambda self, batch_size: 1.0)
    built = []
    monkeypatch.setattr(
        KerasAtItsBest, "_build", lambda self, **options: built.append(options) or self
    )
    monkeypatch.setattr(KerasAtItsBest, "model", None, raising=False)
    KerasAtItsBest(TrainConfig(), byte_rows, byte_rows)
    tried = [options for options in built if options]
    assert len(tried) <= 4  # the best of three is built once more


def test_time_to_loss_is_the_time_of_the_first_epoch_at_the_target():
    epochs = [Epoch(0.0, 2.0, loss) for loss in (0.5, 0.3, 0.4, 0.2)]
    assert time_to_loss.until(epochs, 0.35) == (2, 4.0)
    assert time_to_loss.until(epochs, 0.2) == (4, 8.0)
    assert time_to_loss.until(epochs, 0.1) is None


def test_time_to_loss_runs(images, tmp_path):
    time_to_loss.main(
        ["--dataset", images, "--epochs", "5", "--seeds", "2", "--json", str(tmp_path / "t.json")]
    )
    results = json.loads((tmp_path / "t.json").read_text())["results"]
    assert {result["target"] for result in results} == {"adadelta", "adam"}
    for result in results:
        keras = next(r for r in results if r["target"] == result["target"])
        assert (keras["engine"], keras["epochs_to_loss"]["runs"]) == ("fit", [5, 5])
        for seed, curve in enumerate(result["curves"]):
            epochs = result["epochs_to_loss"]["runs"][seed]
            assert curve["val_loss"][epochs - 1] <= keras["curves"][seed]["val_loss"][-1]
            seconds = sum(curve["epoch_s"][:epochs])
            assert result["seconds_to_loss"]["runs"][seed] == pytest.approx(seconds)
            times = sum(keras["curves"][seed]["epoch_s"]) / seconds
            assert result["times_keras"]["runs"][seed] == pytest.approx(times)


def test_time_to_loss_does_not_take_an_engines_word_for_its_loss(images, monkeypatch, capsys):
    monkeypatch.setattr(time_to_loss, "OPTIMIZERS", ("adam",))
    with pytest.raises(SystemExit) as stop:
        time_to_loss.main(
            ["--dataset", images, "--epochs", "2", "--seeds", "1"],
            ours=broken_engines.LyingEvaluate,
        )
    assert stop.value.code == 1
    assert "tfae, adam: WRONG, says" in capsys.readouterr().out


@pytest.fixture
def small_sweep(monkeypatch):
    """A sweep of two points that take no time."""
    sweep = {32: scaling.Point(100, 20, (4,), 32), 64: scaling.Point(192, 20, (4,), 64)}
    monkeypatch.setattr(scaling, "SWEEPS", {"batch": sweep})


@pytest.mark.usefixtures("small_sweep", "native")
def test_scaling_refuses_a_wrong_engine(images, tmp_path, capsys):
    """At the first point, whose last batch is short: at the other this one is right."""
    arguments = ["--dataset", images, "--engines", "fused", "--turns", "1"]
    arguments += ["--json", str(tmp_path / "s.json")]
    with pytest.raises(SystemExit) as stop:
        scaling.main(arguments, ours=broken_engines.WrongAtShortBatches)
    assert stop.value.code == 1
    assert "batch 32: WRONG, tfae, fused: a loss of" in capsys.readouterr().out
    results = json.loads((tmp_path / "s.json").read_text())["results"]
    named = [(result["value"], result["name"]) for result in results]
    assert named == [(32, "Keras fit"), (64, "Keras fit"), (64, "tfae, fused")]


@pytest.mark.usefixtures("small_sweep")
def test_scaling_refuses_a_choice_that_is_slower(images, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "MOST_TIMES_BEST", 0.9)  # even the fastest is slower than this
    with pytest.raises(SystemExit) as stop:
        scaling.main(["--dataset", images, "--engines", "fused", "--turns", "1"])
    assert stop.value.code == 1
    assert "WRONG: --engine auto takes at most 1.00 times as long" in capsys.readouterr().out


@pytest.mark.usefixtures("small_sweep")
def test_scaling_gives_slopes(images, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "MOST_TIMES_BEST", np.inf)  # these points take no time
    scaling.main(["--dataset", images, "--sweeps", "batch", "--json", str(tmp_path / "s.json")])
    document = json.loads((tmp_path / "s.json").read_text())
    assert set(document["slopes"]["batch"]) == {"Keras fit", "tfae, xla", "tfae, fused"}
    assert len(document["results"]) == 6
    assert [choice["value"] for choice in document["choices"]] == [32, 64]
    for choice in document["choices"]:
        assert choice["engine"] == "fused"
        times = {
            result["engine"]: result["epoch_s"]["median"]
            for result in document["results"]
            if result["value"] == choice["value"] and result["engine"] != "fit"
        }
        assert choice["times_best"] == pytest.approx(times["fused"] / min(times.values()))


def test_digits_are_resized_by_repeating_and_leaving_out():
    images = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(harness.resized(images, 4, 2), [[0, 3], [4, 7], [8, 11], [0, 3]])
    np.testing.assert_array_equal(harness.resized(images, 1, 8), [[0, 0, 1, 1, 2, 2, 3, 3]])


@pytest.mark.parametrize("name", ["parity", "throughput", "time_to_loss", "scaling", "process"])
def test_every_benchmark_has_the_options_of_all(name):
    done = run(f"benchmarks.{name}", "--help")
    assert done.returncode == 0, done.stderr
    for flag in ("--quick", "--json", "--data-dir"):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (parity.main, ["--engines", "xlb"], "'xlb' is none of xla, fused"),
        (scaling.main, ["--sweeps", "code,width"], "'width' is none of rows, code"),
        (throughput.main, ["--turns", "0"], "'0' is no whole number from 1 on"),
        (throughput.main, ["--rows", "-5"], "'-5' is no whole number from 1 on"),
        (time_to_loss.main, ["--json", "nowhere/x.json"], "there is no directory nowhere"),
        (scaling.main, ["--json", "."], "--json . is a directory"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_measured(main, arguments, message):
    with pytest.raises(ConfigError, match=message):
        main(arguments)


def test_a_contestant_that_nobody_knows_is_said(images):
    with pytest.raises(ConfigError, match="--only nosuch is in none of the names: Keras fit at"):
        throughput.main(["--dataset", images, "--only", "nosuch"])
