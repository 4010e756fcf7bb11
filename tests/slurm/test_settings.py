"""Settings of the launcher, as a real Slurm takes them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otherview.study.errors import StudyError
from otherview.sweep.launcher_settings import checked_settings, default_settings
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Sweep

CONTAINER = """#!/bin/sh
[ "$1 $2 $3 $4" = "exec --nv image.sif python" ] || exit 9
shift 4
echo "inside the image"
exec {python} "$@"
"""


def test_a_task_in_a_container_with_more_of_sbatch_s_parameters(
    sweep: Sweep, cluster: Cluster, exit_codes: Callable[[], list[str]], tmp_path: Path
) -> None:
    stand_in = tmp_path / "bin" / "apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text(CONTAINER.format(python=sys.executable))
    stand_in.chmod(0o755)
    reservation = "reservationname=mine", "starttime=now", "duration=10", "users=root", "nodes=ALL"
    cluster.command("scontrol", "create", "reservation", *reservation)
    given = {
        "time": "0-0:20",
        "setup": f"export PATH={stand_in.parent}:$PATH",
        "python": "apptainer exec --nv image.sif python",
        "additional_parameters": {"reservation": "mine", "comment": "012"},
    }
    settings = checked_settings(default_settings("slurm") | given)
    try:
        sweep.start(seeds=1, **{name: settings[name] for name in given})
        cluster.wait_for_jobs()
        job = cluster.command("scontrol", "show", "job", sweep.look().jobs.popitem()[1].ids[0])
    finally:
        cluster.command("scontrol", "delete", "reservationname=mine")
    assert len(sweep.look().of("done")) == 1, sweep.logs()
    assert exit_codes()[0] == "COMPLETED 0:0"
    assert "inside the image" in sweep.logs()
    told = dict(re.findall(r"(TimeLimit|Reservation|Comment)=(\S+)", job))
    assert told == {"TimeLimit": "00:20:00", "Reservation": "mine", "Comment": "012"}


def test_more_tasks_than_an_array_may_have_are_refused_by_its_name(
    sweep: Sweep, cluster: Cluster
) -> None:
    with pytest.raises(StudyError, match=r"workers=5: .* at most 4 tasks \(MaxArraySize\)"):
        sweep.start(seeds=5, workers=5)
    assert not sweep.directory.exists()
    assert cluster.command("squeue", "--noheader") == ""
    cluster.hold()
    assert "2 points in 2 tasks" in sweep.start(seeds=2, workers=5)
    cluster.cancel_all()
