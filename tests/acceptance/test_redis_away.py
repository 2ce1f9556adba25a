"""Redis that is not there when everything starts, and one that goes for a while: waited for, and nothing is lost."""

from __future__ import annotations

import os
import signal

import pytest

from reconciler.devcluster import Running
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, Installation, eventually
from workers import embedded


def end_redis(installation: Installation) -> None:
    installation.valkey.process.send_signal(signal.SIGKILL)
    installation.valkey.process.wait()


def start_redis(installation: Installation) -> None:
    """At the same place, and empty."""
    log = installation.home / "valkey.log"
    installation.valkey = embedded.start(log, folder=installation.valkey.folder)


@pytest.mark.timeout(200)
def test_processes_that_find_no_redis_wait_for_it_and_then_work(install: Install, bare_cluster: Running) -> None:
    installation = install([bare_cluster])
    filled(installation, 3, f"waiting-{os.getpid()}")
    end_redis(installation)

    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: "redis_lost" in installation.log(), "the scheduler says so")
    eventually(lambda: "onnect" in (installation.home / "worker-0.log").read_text(), "the worker says so")
    assert all(child.poll() is None for child in installation.children.values())

    start_redis(installation)
    eventually(lambda: installation.are_synced(3), "all is synced", 90.0)


@pytest.mark.timeout(200)
def test_a_redis_that_goes_and_comes_back_empty_costs_nothing(install: Install, bare_cluster: Running) -> None:
    name = f"coming-{os.getpid()}"
    installation = install([bare_cluster])
    filled(installation, 3, name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(3), "all is synced")

    end_redis(installation)
    eventually(lambda: "redis_lost" in installation.log(), "the scheduler says so")
    filled(installation, 3, name, value="2")
    start_redis(installation)

    eventually(lambda: installation.are_synced(3), "all is synced again", 90.0)
    head = installation.repo.head()
    eventually(
        lambda: {one.applied_revision for one in installation.statuses().values()} == {head}, "the newest commit", 60.0
    )
    assert all(child.poll() is None for child in installation.children.values())
