"""How the kernels are built, and what becomes of a run where they cannot be."""

import os
import subprocess
import sys
import time

import pytest

from tfae.autoencoder import Autoencoder
from tfae.config import TrainConfig
from tfae.engines import make_engine
from tfae.errors import TrainingError
from tfae.kernels.build import SOURCES, build
from tfae.kernels.check import check
from tfae.kernels.compiler import KernelError
from tfae.kernels.library import Kernels
from tfae.nn.spec import Stack


@pytest.fixture
def fake_compiler(tmp_path, native, monkeypatch):
    """A compiler that copies the library that there is: it takes a moment, and keeps a log."""
    library = build().path
    script, log = tmp_path / "slow-c++", tmp_path / "log"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho run >> {log}\nsleep 0.3\n'
        f'while [ "$1" != -o ]; do shift; done\ncp {library} "$2"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("TFAE_CACHE_DIR", str(tmp_path / "fresh"))
    return log


def test_processes_that_start_together_build_once(fake_compiler):
    """One by hand, with TensorFlow told to use one thread, which the kernels follow."""
    program = (
        "import sys; from tfae.host.startup import import_tensorflow; tf = import_tensorflow()\n"
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"
        "from tfae.kernels.__main__ import main; sys.argv[1:] = []; sys.exit(main())\n"
    )
    # As a user has it: with the tests' own setting, TensorFlow's lines are not held back.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    while not fake_compiler.exists():  # it has begun to build
        assert process.poll() is None
        time.sleep(0.05)
    made = build()
    out, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    assert fake_compiler.read_text() == "run\n" * len([*SOURCES.glob("*.cc"), "the link"])
    assert made.seconds == 0
    assert str(made.path) in out
    assert "threads: 1; checked against float64 numpy" in out


def test_a_second_build_is_the_first_one(fake_compiler):
    lines = []
    first, second = build(lines.append), build(lines.append)
    assert first.path == second.path
    assert first.seconds > 0
    assert second.seconds == 0
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("CXX", "no-such-compiler", "the compiler that CXX names, no-such-compiler, is not there"),
        ("CXX", "false", "/false failed"),
        ("CXX", "no-program", "/no-program cannot be run (Exec format error)"),
        ("PATH", "/nowhere", "there is no C++ compiler"),
        (
            "TFAE_CACHE_DIR",
            "/dev/null/cache",
            "the cache /dev/null/cache/kernels cannot be used",
        ),
    ],
)
def test_a_run_goes_on_without_kernels_unless_they_were_asked_for(
    setting, value, reason, monkeypatch, tmp_path
):
    (tmp_path / "no-program").write_text("?")
    (tmp_path / "no-program").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TFAE_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv(setting, value)
    if setting == "PATH":
        monkeypatch.delenv("CXX", raising=False)
    model = Autoencoder(Stack.mirrored(6, (3,))).network
    engine, why = make_engine(TrainConfig(), model, 10)
    assert engine.name == "xla"
    assert why.startswith("no fused kernels: ")
    assert reason in why
    with pytest.raises(TrainingError, match="engine xla needs no compiler"):
        make_engine(TrainConfig(engine="fused"), model, 10)


def test_kernels_that_compute_wrong_numbers_are_found_out(native):
    def off(**arguments):
        done = native.ops.tfae_train_epoch(**arguments)
        return done._replace(new_params=[param * 1.01 for param in done.new_params])

    class Ops:
        tfae_train_epoch = staticmethod(off)

    check(native)
    with pytest.raises(KernelError, match="wrong numbers"):
        check(Kernels(Ops, native.simd, False, native.map_codes))


def test_kernels_that_fail_their_check_are_not_kept(native, tmp_path):
    bad = tmp_path / "fused-bad.so"
    bad.write_bytes(build().path.read_bytes())
    program = (
        "import pathlib, sys; from tfae.kernels import library\n"
        "def check(kernels): raise library.KernelError('wrong numbers')\n"
        "library.check = check\n"
        "try: library._load(pathlib.Path(sys.argv[1]))\n"
        "except library.KernelError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(bad)], capture_output=True, text=True)
    assert done.stdout == "wrong numbers\n", done.stderr
    assert not bad.exists()
