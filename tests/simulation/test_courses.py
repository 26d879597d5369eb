"""The delivery loop with the real store, under a simulated clock, network, faults and crashes: each seed is one course.

The suite goes through a few hundred; `make simulate` through thousands, and `make simulate FIRST=7 SEEDS=1` through one
again.
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
    again = f"make simulate FIRST={seed} SEEDS=1"
    assert list(Evidence(live(tmp_path, draw(seed))).complaints()) == [], again
