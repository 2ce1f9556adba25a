"""What only one place may do, and names that must lead somewhere: what no linter's contract holds."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.clock import looks

ROOT = Path(__file__).parents[2]
OTHER_CLOCKS = {
    "reconciler/clock.py",
    "reconciler/render/helper.py",  # a program of its own, which pauses for the chart's sake
    "workers/embedded.py",  # waits for a process to start
}
OUTSIDE = ("reconciler/devcluster", "reconciler/testing")
"""What runs machines and tests, not passes."""


def test_wall_time_and_sleep_are_in_the_clock_s_room_alone() -> None:
    """So that a test can move the time, and a suspended machine is noticed."""
    reads = re.compile(r"\btime\.sleep\(|\bdatetime\.now\(|\btime\.time\(")
    files = [path for part in ("reconciler", "workers") for path in (ROOT / part).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in files if reads.search(path.read_text())}

    assert {one for one in found if not one.startswith(OUTSIDE)} == OTHER_CLOCKS


def test_every_phony_target_of_the_makefile_is_one() -> None:
    text = (ROOT / "Makefile").read_text()
    named = {name for line in re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE) for name in line.split()}

    assert named == set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def test_a_look_that_has_no_time_is_taken_once() -> None:
    assert len(list(looks(0.0, 60.0))) == 1


def test_looks_go_on_until_their_time_is_over() -> None:
    assert len(list(looks(0.02, 0.001))) > 1
