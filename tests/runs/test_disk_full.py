"""A full disk: one line that names the file, nothing half written, and a run that goes on."""

import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest

from tfae.train import main


@pytest.fixture
def small_disk(tmp_path):
    """Makes a file system of so many KiB at tmp_path/disk, and later ones larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with contextlib.ExitStack() as mounted:

        def make(kilobytes):
            mounted.close()
            run = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
            try:
                done = subprocess.run(run, capture_output=True, text=True)
            except FileNotFoundError as error:
                pytest.skip(f"no file system can be mounted: {error}")
            if done.returncode:
                pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
            mounted.callback(subprocess.run, ["umount", str(disk)], check=True)
            return disk

        make.grow = lambda: subprocess.run(
            ["mount", "-o", "remount,size=16m", str(disk)], check=True
        )
        yield make


def test_each_file_that_does_not_fit_is_named_and_the_run_goes_on(small_disk, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (200, 6, 6), "uint8"))
    for kilobytes, every, name in (
        (4, 10, "run.json"),
        (8, 10, "history.jsonl"),
        (24, 10, "checkpoints/epoch-000003"),
        (40, 1, "checkpoints/epoch-000002"),
        (40, 10, "model.keras"),
        (72, 10, "loss.png"),
    ):
        work = small_disk(kilobytes) / "run"
        options = ["--layers", "16", "--epochs", "3", "--checkpoint-every", str(every), "--quiet"]
        assert main(["--dataset", "x.npy", "--workdir", str(work), *options]) == 1
        saved = sorted(path.name for path in work.glob("checkpoints/*"))
        goes_on = f"goes on from epoch {int(saved[-1][-6:])}" if saved else "begins again"
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"tfae: {work / name} cannot be written (No space left on device): make room on the "
            f"disk, and python -m tfae.train --resume --workdir {work} {goes_on}"
        )
        assert not list(work.rglob(".*"))
        small_disk.grow()
        assert main(["--resume", "--workdir", str(work), "--quiet"]) == 0
        assert json.loads((work / "run.json").read_text())["status"] == "done"
        capsys.readouterr()


def test_a_full_disk_under_tensorboard_is_named(small_disk, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (200, 6, 6), "uint8"))
    work = small_disk(24) / "run"
    options = ["--layers", "4", "--epochs", "40", "--tensorboard", "--quiet"]
    assert main(["--dataset", "x.npy", "--workdir", str(work), *options]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"tfae: {work}/")
    assert "cannot be written (No space left on device): make room on the disk" in error
    assert "{{" not in error


def test_lines_that_go_to_a_full_disk_do_not_end_the_run(rows_file, tmp_path, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails, too
    monkeypatch.setattr("sys.stdout", full)
    options = ["--layers", "4", "--epochs", "1", "--workdir", str(tmp_path / "run")]
    assert main(["--dataset", str(rows_file), *options]) == 0
    sys.stdout.close()  # what took its place
    with pytest.raises(OSError, match="No space left"):
        full.close()
