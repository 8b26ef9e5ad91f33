"""How many threads the kernels take."""

import os

import numpy as np
import pytest

from tfae.kernels.threads import control_group_cores, thread_count


def test_the_threads_are_those_that_the_process_may_use(monkeypatch):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert thread_count() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    assert thread_count() == 1


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {}, np.inf),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/user/job\n", {"user/cpu.max": "300000 100000", "user/job/cpu.max": "max 100000"}, 3),
        (
            "4:cpu,cpuacct:/job\n3:memory:/job\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            1,
        ),
    ],
    ids=["no limit", "version 2", "of a group above", "version 1"],
)
def test_the_threads_are_those_that_the_control_group_pays_for(membership, files, cores, tmp_path):
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert control_group_cores(tmp_path / "groups", tmp_path / "membership") == cores
