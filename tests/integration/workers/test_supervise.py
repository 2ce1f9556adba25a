"""The supervisor over real processes: what ends is started again, and in the end nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.fixtures.installation import eventually
from workers.supervise import Child, Supervisor

SLEEPER = ["sleep", "1000"]
SCRIPT = """
import pathlib, sys
from workers.supervise import Child, Supervisor
supervisor = Supervisor()
supervisor.watch_signals()
for number in range(3):
    supervisor.add(Child(f"c{number}", ["sh", "-c", "sleep 1000 & wait"], {"PATH": "/bin:/usr/bin"}, pathlib.Path("c.log")))
print(*(child.process.pid for child in supervisor.children), flush=True)
while not supervisor.stopping:
    supervisor.tend(5.0)
supervisor.stop()
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(said.append)
    yield made
    made.stop()
    made.close()


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., Child]:
    def make(name: str, argv: Sequence[str], **fields: object) -> Child:
        return Child(name, argv, os.environ, tmp_path / f"{name}.log", **{"wait_s": 0.02, **fields})  # type: ignore[arg-type]

    return make


def tend_until(supervisor: Supervisor, is_true: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline
        supervisor.tend(0.05)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_ends_is_started_again_ever_later(supervisor: Supervisor, said: list[str], child: Callable[..., Child]):
    one = child("one", ["sh", "-c", "exit 3"])
    supervisor.add(one)

    tend_until(supervisor, lambda: one.starts == 4)

    assert one.wait_s >= 0.02 * 2**3
    assert said[0].startswith("one ended (status 3); starts again in 0 s; its log: ")


def test_what_was_killed_is_started_again(supervisor: Supervisor, child: Callable[..., Child]):
    one = child("one", SLEEPER)
    supervisor.add(one)
    assert one.process is not None
    first = one.process.pid
    os.kill(first, signal.SIGKILL)

    tend_until(supervisor, lambda: one.starts == 2)

    assert one.process.pid != first


def test_what_a_dead_child_left_behind_is_ended(supervisor: Supervisor, child: Callable[..., Child], tmp_path: Path):
    """A worker's children go on with their tasks for a while when the worker was killed."""
    note = tmp_path / "pid"
    supervisor.add(child("one", ["sh", "-c", f"sleep 1000 & echo $! > {note}; exit 1"], wait_s=30.0))
    eventually(lambda: note.is_file() and note.read_text().strip(), "the grandchild runs")

    tend_until(supervisor, lambda: supervisor.children[0].process is None)

    eventually(lambda: is_gone(int(note.read_text())), "the grandchild is gone", 5.0)


def test_a_program_that_cannot_start_is_told_and_tried_again(
    supervisor: Supervisor, said: list[str], child: Callable[..., Child], tmp_path: Path
):
    program = tmp_path / "late"
    late = child("late", [str(program)])
    supervisor.add(late)
    assert "No such file or directory" in said[0]

    program.write_text("#!/bin/sh\nsleep 1000\n")
    program.chmod(0o700)

    tend_until(supervisor, lambda: late.process is not None)


def test_what_must_come_before_a_start_comes_before_each(supervisor: Supervisor, child: Callable[..., Child]):
    calls: list[int] = []
    one = child("one", ["true"])
    one.before = lambda: calls.append(one.starts)
    supervisor.add(one)

    tend_until(supervisor, lambda: one.starts == 3)

    assert calls[:3] == [1, 2, 3]


def test_a_restart_kills_and_starts_one_child_only(supervisor: Supervisor, child: Callable[..., Child]):
    one, other = child("one", SLEEPER), child("other", SLEEPER)
    supervisor.add(one)
    supervisor.add(other)

    supervisor.restart("one")
    tend_until(supervisor, lambda: one.starts == 2, within_s=15.0)

    assert other.starts == 1


def test_a_child_that_does_not_listen_is_killed_after_its_grace_time(child: Callable[..., Child], tmp_path: Path):
    supervisor = Supervisor()
    deaf = child("deaf", ["sh", "-c", f"trap '' TERM; touch {tmp_path}/up; sleep 1000 & wait; sleep 1000"], grace_s=0.3)
    supervisor.add(deaf)
    eventually((tmp_path / "up").exists, "it has closed its ears")
    assert deaf.process is not None
    pid = deaf.process.pid
    begun = time.monotonic()

    supervisor.stop()
    supervisor.close()

    assert is_gone(pid)
    assert 0.25 < time.monotonic() - begun < 3.0


def test_what_others_stand_on_ends_after_them(child: Callable[..., Child], tmp_path: Path):
    """A worker that ends gives back its leases, for which it needs Valkey."""
    supervisor = Supervisor()
    ground = child("ground", SLEEPER, is_ground=True)
    supervisor.add(ground)
    assert ground.process is not None
    on_end = f"kill -0 {ground.process.pid} && touch {tmp_path}/stood; exit 0"
    supervisor.add(child("worker", ["sh", "-c", f"trap '{on_end}' TERM; touch {tmp_path}/up; sleep 1000 & wait"]))
    eventually((tmp_path / "up").exists, "the worker runs")

    supervisor.stop()
    supervisor.close()

    assert (tmp_path / "stood").exists()
    assert ground.process is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_however_the_supervisor_ends(tmp_path: Path, number: signal.Signals):
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        pids = [int(word) for word in running.stdout.readline().split()]
        # A shell's own child has nobody to watch its parent for it; a worker's child has asked the kernel to.
        family = pids if number == signal.SIGKILL else [*pids, *_children(pids)]
        left = [] if number != signal.SIGKILL else _children(pids)
        running.send_signal(number)
        assert running.wait(10.0) == (-signal.SIGKILL if number == signal.SIGKILL else 0)

    eventually(lambda: all(is_gone(pid) for pid in family), "all have ended", 5.0)
    for pid in left:
        psutil.Process(pid).kill()


def _children(pids: Sequence[int]) -> list[int]:
    found: list[int] = []
    for pid in pids:
        eventually(lambda pid=pid: psutil.Process(pid).children(), "the child's child runs")
        found += [one.pid for one in psutil.Process(pid).children()]
    return found
