"""The delivery loop with the real store, under a simulated clock, network, faults and crashes: each seed is one course.

It is no part of the suite, for the time it takes: `make simulate SEEDS=1000`, and `make simulate FIRST=7 SEEDS=1` to go
through one again.
"""

import os
from pathlib import Path

import pytest

from tests.simulation.checks import Evidence
from tests.simulation.course import live
from tests.simulation.plan import draw

COURSES = int(os.environ.get("HOOKD_SIMULATION_SEEDS", "200"))
FIRST = int(os.environ.get("HOOKD_SIMULATION_FIRST", "0"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COURSES))
def test_whatever_happens_nothing_is_lost_and_nobody_waits_in_vain(seed: int, tmp_path: Path) -> None:
    again = f"HOOKD_SIMULATION_FIRST={seed} HOOKD_SIMULATION_SEEDS=1 pytest tests/simulation/simulate.py"
    assert list(Evidence(live(tmp_path, draw(seed))).complaints()) == [], again
