"""Whatever is killed, stopped or wiped in the middle of a sync: all converges, nothing is doubled, pruned or stuck."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from reconciler.cluster import OpenGuard
from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from tests.acceptance import audit
from tests.fixtures.installation import LEASE_S, Install, Installation, eventually
from workers import settings, wiring

SOAK = os.environ.get("UNDRIFT_SOAK") == "1"
INSTANCES = 200
WITHIN_S = 240.0


def filled(installation: Installation, count: int, prefix: str, value: str = "1") -> None:
    """`count` applications of three ConfigMaps each."""
    files: dict[str, str | bytes | None] = {}
    for number in range(count):
        for part in ("a", "b", "c"):
            name = f"{prefix}-{number}"
            files[f"{name}/{part}.yaml"] = (
                f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{part}}}\ndata: {{value: '{value}'}}\n"
            )
    installation.repo.commit(files)
    for number in range(count):
        installation.write_application(f"{prefix}-{number}", namespace=prefix, sync="{createNamespace: true}")


def running(install: Install, cluster: Running, prefix: str, workers: int = 2) -> Installation:
    installation = install([cluster])
    filled(installation, INSTANCES, prefix)
    installation.start_scheduler()
    for number in range(workers):
        installation.start_worker(number)
    return installation


def leases(installation: Installation) -> set[tuple[str, bytes]]:
    """Every lease that is held or granted now, with its fence."""
    redis, found = installation.store.redis, set()
    for work in installation.store.queued.states():
        fence: bytes | None = redis.hget(f"undrift:lease:{work}", "fence")  # type: ignore[assignment]  # synchronous
        if fence is not None:
            found.add((str(work), fence))
    return found


def synced(installation: Installation) -> int:
    return sum(one.sync == "Synced" for one in installation.statuses().values())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(20 if SOAK else 3))
def test_kills_at_random_moments_converge_without_a_write_under_an_old_fence(
    install: Install, bare_cluster: Running, seed: int
) -> None:
    dice, begun = random.Random(seed), datetime.now(UTC)
    installation = running(install, bare_cluster, f"kill-{os.getpid()}-{seed}")
    eventually(lambda: synced(installation) > dice.randint(5, 60), "the sync has begun", WITHIN_S)

    installation.kill("worker-0", signal.SIGSTOP)
    eventually(lambda: installation.worker_children(1), "the other worker has children")
    dice.choice(installation.worker_children(1)).send_signal(signal.SIGKILL)
    installation.kill("scheduler")
    installation.start_scheduler()
    now = synced(installation)
    stopped_at = datetime.now(UTC)
    eventually(lambda: (datetime.now(UTC) - stopped_at).total_seconds() > LEASE_S * 1.5, "longer than a lease")
    installation.kill("worker-0", signal.SIGCONT)
    eventually(lambda: synced(installation) > now or synced(installation) == INSTANCES, "it goes on", LEASE_S * 3)
    installation.kill("worker-1")
    held = leases(installation)
    installation.start_worker(1)

    eventually(lambda: not held & leases(installation), "nothing is stuck", 3 * LEASE_S)
    eventually(lambda: installation.are_synced(INSTANCES), "all instances are in sync", WITHIN_S)
    assert bare_cluster.audit_log is not None
    found = list(audit.writes(bare_cluster.audit_log, begun))
    assert len(found) >= INSTANCES * 4
    assert audit.writes_under_an_old_fence(found) == []
    assert [one for one in found if one.verb == "delete"] == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(5 if SOAK else 1))
def test_a_wiped_redis_converges_prunes_nothing_and_keeps_history(
    install: Install, bare_cluster: Running, seed: int
) -> None:
    begun = datetime.now(UTC)
    installation = running(install, bare_cluster, f"wipe-{os.getpid()}-{seed}")
    eventually(lambda: synced(installation) > 40 + 20 * seed, "the sync has begun", WITHIN_S)
    key = next(key for key, one in installation.statuses().items() if one.sync == "Synced")
    with inventory_of(installation, key) as read:
        eventually(lambda: read().history, "a scan has flushed the history")
        before = read().history

        installation.store.redis.flushall()

        eventually(lambda: installation.are_synced(INSTANCES), "all instances are in sync", WITHIN_S)
        assert set(before) <= set(read().history), "history must not live in Redis alone"
    assert bare_cluster.audit_log is not None
    found = list(audit.writes(bare_cluster.audit_log, begun))
    assert [one for one in found if one.verb == "delete"] == []
    assert audit.writes_under_an_old_fence(found) == []


@contextlib.contextmanager
def inventory_of(installation: Installation, key: InstanceKey) -> Iterator[Callable[[], Inventory]]:
    """Reads an instance's inventory as its cluster keeps it."""
    rooms = wiring.open_rooms(settings.from_env(installation.env))
    target = installation.store.specs.cluster(key.cluster)
    assert target is not None
    api = rooms.clusters.api(target, OpenGuard(), agent="test")
    try:
        yield lambda: rooms.inventories.read(api, key)
    finally:
        rooms.close()


def test_a_poisonous_instance_is_parked_after_three_children(install: Install, bare_cluster: Running) -> None:
    """A task that kills its worker must not take down one worker after the other for ever."""
    installation = install([bare_cluster])
    name = f"poison-{os.getpid()}"
    filled(installation, 1, name)
    key = InstanceKey("default", f"{name}-0", bare_cluster.name)
    installation.start_scheduler()
    eventually(lambda: key in installation.statuses(), "the fleet is published")

    from workers.messages import Lane, Mark, Work

    store, work = installation.store, Work("sync", str(key))
    store.due.mark([Mark(work, Lane.COMMIT, "a test's word")])  # nothing is due merely because Redis was empty
    installation.store.slots.beat("a test's hand", 1, datetime.now(UTC))
    for _ in range(3):
        eventually(lambda: _claimed(installation, work), "it was granted", LEASE_S * 4)
        installation.store.slots.beat("a test's hand", 1, datetime.now(UTC))

    eventually(lambda: work in store.queued.parked(), "it is parked", LEASE_S * 3)
    status = installation.store.status.get(key)
    assert (status.phase, status.reason) == ("Failed", "KillsItsWorker")


def _claimed(installation: Installation, work: object) -> bool:
    """Claim the work as a child does that dies then: its lease is never extended or completed."""
    raw = installation.store.redis.hget(f"undrift:lease:{work}", "fence")
    installation.store.slots.beat("a test's hand", 1, datetime.now(UTC))
    return raw is not None and installation.store.due.claim(work, int(raw), LEASE_S) is not None  # type: ignore[arg-type]  # Work
