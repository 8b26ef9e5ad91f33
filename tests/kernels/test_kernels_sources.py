"""The sources by themselves; `python -m benchmarks.sources` has all builds."""

import pytest

from benchmarks import sources


def test_a_build_for_other_instructions_agrees():
    """With the narrowest vectors, and without the extension that brings the most of the others."""
    plain = sources.results()
    for flags in sources.other_instructions()[:2]:
        assert sources.results(*flags) == plain, flags


def test_no_threads_race():
    try:
        sources.results(*sources.SANITIZERS["thread"])
    except sources.Absent as error:
        pytest.skip(str(error))
