"""A directory held by one process, and free again however that one ends."""

import subprocess
import sys

import pytest

from tfae.host.locks import DirectoryLock, Taken

HOLD = """
import sys
from tfae.host.locks import DirectoryLock
DirectoryLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_one_at_a_time_and_nothing_is_left(tmp_path):
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    before = sorted(tmp_path.iterdir())
    first.acquire()
    first.acquire()  # it has it
    with pytest.raises(Taken):
        second.acquire()
    assert sorted(tmp_path.iterdir()) == before
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_what_is_not_there_is_held_once_it_is(tmp_path):
    lock = DirectoryLock(tmp_path / "later")
    lock.acquire()
    (tmp_path / "later").mkdir()
    DirectoryLock(tmp_path / "later").acquire()
    with pytest.raises(Taken):
        lock.acquire()
    file = tmp_path / "file"
    file.write_text("")
    DirectoryLock(file).acquire()


def test_a_process_that_was_killed_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        lock = DirectoryLock(tmp_path)
        with pytest.raises(Taken):
            lock.acquire()
        holder.kill()
        holder.wait()
        lock.acquire()
        lock.release()
