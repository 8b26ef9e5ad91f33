"""How many threads the kernels use."""

import math
import os
from pathlib import Path

import tensorflow as tf

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def thread_count():
    """TensorFlow's intra-op setting, from Python or the environment, else the cores there are.

    The process' affinity and its control group's limit are respected either way.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = min(cores, control_group_cores())
    setting = tf.config.threading.get_intra_op_parallelism_threads()
    if not setting:
        text = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
        setting = int(text) if text.isdecimal() else 0
    return min(setting or cores, cores)


def control_group_cores(root=CONTROL_GROUPS, membership=Path("/proc/self/cgroup")):
    """The cores that the control group's quota pays for; infinity where it has none.

    Args:
        root: Where the control groups' file system is.
        membership: The file that names this process' groups, of version 2 or 1.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return math.inf
    cores = math.inf
    for _, controllers, path in lines:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        # A container may see its own group as the root, whatever the path says; a limit may lie
        # further up.
        group = Path(path)
        for place in [top, *(top / p.relative_to("/") for p in (group, *group.parents))]:
            cores = min(cores, _quota(place))
    return cores


def _quota(group):
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        return math.inf if quota in ("max", "-1") else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return math.inf
