"""What moved to another cluster is brought down only while what it became is seen to stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.fleet import lookups
from reconciler.model.instance import InstanceKey
from tests.integration.workers.test_scanning import Site
from tests.integration.workers.test_scanning import site as site
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.store.tombstones import Tombstone
from workers.tasks import syncing

OLD, HEIR = InstanceKey.parse("default/old@eu-1"), InstanceKey.parse("default/web@us-1")
WORK = Work("sync", str(OLD))


@pytest.fixture
def moved(store: Store) -> Store:
    """The hour of grace of the old one is over, and the heir stood since."""
    now = datetime.now(UTC)
    stone = Tombstone(now - timedelta(hours=1), now - timedelta(seconds=10), "Delete", (HEIR,))
    store.tombstones.put(OLD, stone)
    seen = {"sync": "Synced", "health": "Healthy", "last_sync": now, "observed_at": now}
    store.status.put(store.status.get(HEIR).model_copy(update=seen))
    store.looks.note_scan("us-1", now)
    return store


def leave(store: Store) -> str:
    """Let it leave; what it says."""
    store.due.mark([Mark(WORK, Lane.OPERATOR, "leaving")])
    (grant,) = [one for one in store.due.grant(10, 5.0) if one.work == WORK]
    syncing.run(str(OLD), grant.fence)
    return store.status.get(OLD).reason


def heir(store: Store, **update: object) -> None:
    store.status.put(store.status.get(HEIR).model_copy(update=update))


def test_it_goes_when_its_heir_stands(moved: Store):
    assert leave(moved) == "CredentialMissing", "its cluster was asked for what is to be deleted"


def test_it_stays_while_the_cluster_of_its_heir_does_not_answer(moved: Store):
    """The heir's own status is that of its last sync, which was well."""
    moved.looks.note_scan("us-1", datetime.now(UTC), error="no route to host")

    assert leave(moved) == "WaitingForHeirs"


def test_it_stays_while_nobody_has_looked_at_its_heir_lately(moved: Store):
    stone = moved.tombstones.all()[OLD]
    then = datetime.now(UTC) - timedelta(minutes=20)
    moved.tombstones.put(OLD, Tombstone(stone.at, then, "Delete", stone.heirs))
    heir(moved, last_sync=then, observed_at=then)

    assert leave(moved) == "WaitingForHeirs"


def test_an_heir_that_stood_before_the_time_was_over_is_looked_at_once_more(moved: Store):
    """Only a sync looks at health, and the last one may have been hours ago; a scan proves fields, not health."""
    heir(moved, last_sync=datetime.now(UTC) - timedelta(minutes=30))

    assert leave(moved) == "WaitingForHeirs"
    assert Work("sync", str(HEIR)) in moved.queued.states()


@pytest.mark.cluster
def test_what_stands_makes_due_what_it_was_before_and_that_still_waits(site: Site):
    spec, later = site.store.specs.on_cluster("bare")[site.key], datetime.now(UTC) + timedelta(hours=1)
    waiting, gone, stranger = (InstanceKey("default", name, "bare") for name in ("waiting", "gone", "stranger"))
    moved = spec.model_copy(update={"moved_from": (str(waiting), str(gone))})
    specs = {site.key: moved}
    site.store.fleet.publish(specs, site.store.specs.clusters(), lookups.repositories(specs))
    for key in (waiting, stranger):
        site.store.tombstones.put(key, Tombstone(later, later, "HandOver", (site.key,)))

    site.synced()

    marked = {Work("sync", str(key)) for key in (waiting, gone, stranger)} & site.store.queued.states().keys()
    assert marked == {Work("sync", str(waiting))}


@pytest.mark.cluster
def test_the_end_of_what_left_is_journalled_and_its_tombstone_goes(site: Site):
    """Or a loss of Redis would bring the tombstone back, and what has come back under its name would be deleted."""
    site.synced()
    now = datetime.now(UTC)
    site.store.tombstones.put(site.key, Tombstone(now, now, "Delete"))
    site.store.fleet.publish({}, site.store.specs.clusters(), {})
    before = site.store.outbox.length()

    site.run(Work("sync", str(site.key)))

    assert site.live() == {}
    assert site.store.tombstones.all() == {}
    assert site.store.specs.left() == frozenset()
    assert [one["kind"] for one in site.store.outbox.waiting(10)[before:]] == ["delete"]
