"""Whose files a work directory's are."""

import pytest

from tfae.errors import ConfigError
from tfae.runs.workdir import WorkDir


@pytest.mark.parametrize("name", [".big.partial", ".model.partial", "notes.txt"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_no_run_wrote_is_in_the_way(name, overwrite, tmp_path):
    work = tmp_path / "run"
    work.mkdir()
    (work / name).touch()
    with pytest.raises(ConfigError, match=f"is not empty and holds no run \\({name} lies"):
        WorkDir(work).check_free(overwrite)


def test_what_a_killed_write_left_is_not(tmp_path):
    work = tmp_path / "run"
    work.mkdir()
    for name in (".run.123.partial.json", ".model.7.partial.keras", ".epoch-000009.partial"):
        (work / name).touch()
    WorkDir(work).check_free(False)
