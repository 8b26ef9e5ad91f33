"""Files written whole or not at all, where the file system would not."""

import contextlib
import errno
import os
import resource
import zipfile

import numpy as np
import pytest

from tfae.host.files import NotWritten, write_text, write_whole, writing


@contextlib.contextmanager
def largest_file(size):
    """No file of this process grows beyond so many bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def as_bytes(path):
    path.write_bytes(b"x" * 100_000)


def by_numpy(path):
    np.savez(path, a=np.zeros(100_000))


def by_h5py(path):
    """Whose error has its own words."""
    import h5py

    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(100_000)


def by_zipfile(path):
    """Which fails again as it is closed."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("a", "w") as member:
        member.write(b"x" * 100_000)


@pytest.mark.parametrize("write", [as_bytes, by_numpy, by_h5py, by_zipfile])
def test_a_file_that_cannot_be_whole_is_named_and_the_old_one_stays(write, tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("old")
    with largest_file(4096), pytest.raises(NotWritten) as caught:
        write_whole(path, write)
    assert caught.value.errno == errno.EFBIG
    assert str(caught.value) == f"{path} cannot be written (File too large): see that it can be"
    assert path.read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_is_told_whoever_finds_it(tmp_path):
    with pytest.raises(NotWritten, match="make room on the disk"):  # noqa: SIM117
        with writing(tmp_path / "a.txt"):
            raise RuntimeError(f"node 3: {os.strerror(errno.ENOSPC)}, sorry")
    with pytest.raises(NotWritten, match="No space left on device"):  # noqa: SIM117
        with writing(tmp_path / "a.txt"), open("/dev/full", "w") as full:
            full.write("x")
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "a.txt"):
        _ = 1 / 0


def test_a_directory_in_the_way_is_lost_only_where_it_is_empty(tmp_path):
    path = tmp_path / "a.json"
    path.mkdir()
    write_text(path, "{}")
    assert path.read_text() == "{}"
    path.unlink()
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")
    with pytest.raises(NotWritten, match="not empty"):
        write_text(path, "{}")
    assert (path / "thesis.tex").read_text() == "years of work"


def test_a_name_that_is_no_unicode_can_be_told(tmp_path):
    write_text(tmp_path / "page.html", os.fsdecode(b"rows \xff.npy"))
    assert (tmp_path / "page.html").read_text("utf-8") == "rows \\udcff.npy"
