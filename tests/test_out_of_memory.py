"""Too little memory, where it can be had as an exception: one line that says so."""

import resource
import subprocess
import sys

import pytest

from tfae.train import main

MODEST = 600 << 20  # bytes of addresses, in which Python and numpy run and TensorFlow is not loaded


def test_too_few_addresses_to_load_tensorflow_are_one_line(rows_file):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MODEST, MODEST))

    command = [sys.executable, "-m", "tfae.train", "--dataset", str(rows_file), "--quiet"]
    environment = {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, preexec_fn=limit, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("tfae: out of memory (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory: lower --batch-size"),
        (
            MemoryError("Unable to allocate 9 TiB"),
            "out of memory (Unable to allocate 9 TiB): lower",
        ),
        (MemoryError("std::bad_alloc"), "out of memory (std::bad_alloc): lower"),
        (OSError(12, "Cannot allocate memory"), "out of memory ([Errno 12] Cannot"),
    ],
)
def test_it_is_said_in_whatever_form_it_comes(error, said, rows_file, monkeypatch, capsys):
    def load(*args, **kwargs):
        raise error

    monkeypatch.setattr("tfae.data.sources.load", load)
    assert main(["--dataset", str(rows_file), "--quiet"]) == 1
    assert capsys.readouterr().err.startswith(f"tfae: {said}")
