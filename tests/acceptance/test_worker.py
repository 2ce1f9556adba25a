"""A worker as shipped: what it tells the scheduler, and how it and its children end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery

from reconciler import process
from reconciler.clock import SystemClock
from tests.fixtures.installation import COMMAND, eventually
from workers.app import broker_url
from workers.store import Store, open_store

CELERY = [sys.executable, "-m", "celery", "-A", "workers", "worker", "--hostname", "w1@here"]
Worker = subprocess.Popen[bytes]


@pytest.fixture
def store(valkey: str) -> Iterator[Store]:
    opened = open_store(valkey, SystemClock())
    yield opened
    opened.redis.close()


@pytest.fixture
def start(valkey: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers; they end with the test."""
    started: list[Worker] = []

    def run(command: list[str], **more: str) -> Worker:
        env = {**os.environ, "UNDRIFT_HOME": str(tmp_path / "home"), "UNDRIFT_REDIS_URL": valkey, **more}
        with (tmp_path / "worker.log").open("ab") as log:
            started.append(process.spawn(command, env=env, stdout=log, stderr=log))
        return started[-1]

    yield run
    for one in started:
        process.stop(one, grace_s=1.0)


def slots(store: Store) -> dict[str, int]:
    return dict(store.slots.alive(store.clock.now()))


@pytest.mark.parametrize(
    ("command", "env", "count"),
    [
        ([*COMMAND, "worker", "--name", "w1@here"], {"UNDRIFT_CONCURRENCY": "3"}, 3),
        ([*COMMAND, "worker", "--name", "w1@here", "--concurrency", "1"], {"UNDRIFT_CONCURRENCY": "3"}, 1),
        ([*CELERY, "-c", "2"], {"UNDRIFT_CONCURRENCY": "3"}, 2),
    ],
    ids=["environment", "option", "celery"],
)
def test_a_worker_tells_how_much_it_can_take(
    start: Callable[..., Worker], store: Store, command: list[str], env: dict[str, str], count: int
):
    start(command, **env)

    eventually(lambda: slots(store), "the worker runs", 30.0)
    assert slots(store) == {"w1@here": count}


def test_a_worker_that_ends_takes_its_slots_along(start: Callable[..., Worker], store: Store):
    """Else the scheduler sends messages for it that nobody takes until their leases end."""
    worker = start([*COMMAND, "worker", "--name", "w1@here"], UNDRIFT_CONCURRENCY="1")
    eventually(lambda: slots(store), "the worker runs", 30.0)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(10.0) == 0
    assert slots(store) == {}


def test_the_children_of_a_killed_worker_end_with_it(start: Callable[..., Worker], store: Store):
    """Also one that is in the middle of a task and does not look at its parent."""
    worker = start([*COMMAND, "worker", "--name", "w1@here"], UNDRIFT_CONCURRENCY="2")
    eventually(lambda: slots(store), "the worker runs", 30.0)
    family = [
        one for one in psutil.Process(worker.pid).children(recursive=True) if "resource_tracker" not in one.name()
    ]
    assert len(family) >= 2
    still: list[bool] = []  # one that is stopped while it still begins is no child in the middle of a task
    eventually(lambda: still.append(_are_asleep(family)) or still[-10:] == [True] * 10, "the children wait for tasks")
    for one in family:
        one.suspend()

    worker.kill()
    worker.wait()

    eventually(lambda: not any(one.is_running() and one.status() != "zombie" for one in family), "all ended", 5.0)


def _are_asleep(family: list[psutil.Process]) -> bool:
    return all(one.status() == psutil.STATUS_SLEEPING for one in family)


def test_a_worker_loads_no_go_library():
    """A Go runtime does not survive a fork; its libraries live in the render helper."""
    script = "import workers.tasks; print(open('/proc/self/maps').read())"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "helm" not in loaded
    assert "kubectl" not in loaded


def test_a_worker_whose_clock_is_not_the_schedulers_takes_no_work_until_it_is(
    start: Callable[..., Worker], store: Store, valkey: str
):
    """Its leases would seem to have ended as they begin. Here it is the scheduler's clock that is set."""
    store.clocks.lead()
    start([*COMMAND, "worker", "--name", "w1@here"], UNDRIFT_CONCURRENCY="1")
    eventually(lambda: slots(store), "the worker runs", 30.0)
    skew = f"{store.prefix}leader-clock"

    store.redis.set(skew, "3600")
    eventually(lambda: not slots(store), "it gives up its slots", 30.0)
    assert [round(ahead_s / 60) for ahead_s in store.clocks.apart().values()] == [-60]
    assert "3600 s behind the scheduler's" in store.events.last(1)[0].message
    assert queues(valkey) == set()

    store.clocks.lead()
    eventually(lambda: slots(store), "it takes work again", 30.0)
    assert store.clocks.apart() == {}
    eventually(lambda: queues(valkey) == {"undrift"}, "it consumes again", 30.0)


def queues(url: str) -> set[str]:
    """What the worker consumes from, as it tells itself."""
    with Celery("eyes", broker=broker_url(url)) as app:
        found = app.control.inspect(timeout=2.0).active_queues() or {}
    return {one["name"] for one in found.get("w1@here", [])}
