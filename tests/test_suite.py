"""What a run of the tests leaves behind: nothing."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_temporary_directory_is_as_it_was(tmp_path):
    tests = tmp_path / "test_that_leaves_things.py"
    tests.write_text(
        "import tempfile\n"
        "def test_leaving(tmp_path, cache_dir):\n"
        "    (tmp_path / 'file').touch()\n"
        "    (cache_dir / 'file').touch()\n"
        "    tempfile.mkdtemp()\n"
        "    tempfile.NamedTemporaryFile(delete=False).close()\n"
        "def test_failing(tmp_path):\n"
        "    assert not (tmp_path / 'file').touch() is None\n"
    )
    (tmp_path / "conftest.py").symlink_to(TESTS / "conftest.py")
    directory = tmp_path / "temporary"
    directory.mkdir()
    environment = {**os.environ, "TMPDIR": str(directory)}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_DEBUG_TEMPROOT", "TFAE_CACHE_DIR"):
        environment.pop(name, None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        str(tests),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert list(directory.iterdir()) == []
