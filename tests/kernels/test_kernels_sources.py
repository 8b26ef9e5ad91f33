"""The sources by themselves; `python -m benchmarks.sources` has all builds."""

import pytest

from benchmarks import sources


def test_a_build_for_other_instructions_agrees():
    """With the narrowest vectors."""
    assert sources.results("-DTFAE_LANES=4") == sources.results()


def test_no_threads_race():
    try:
        sources.results(*sources.SANITIZERS["thread"])
    except sources.Absent as error:
        pytest.skip(str(error))
