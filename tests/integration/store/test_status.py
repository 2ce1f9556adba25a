"""What is kept of instances, how it reads later, and how much room it takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.clock import ManualClock
from reconciler.model.brake import Brake
from reconciler.model.health import Health
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, HistoryEntry, Proof
from reconciler.model.record import Heals, Memory, ObjectStatus, Phase, Sync, SyncRecord
from reconciler.model.revision import Closure, Revision
from reconciler.model.spec import InstanceSpec
from reconciler.model.status import InstanceStatus
from tests import worlds
from workers.messages import Lane, Mark, Work
from workers.store import Store, composed
from workers.store.batches import AT_ONCE
from workers.store.packed import pack, unpack
from workers.store.tombstones import Tombstone, encode
from workers.tasks.recorded import from_record

MEMBERS = [worlds.key("web", kind) for kind in ("Deployment", "Service", "ConfigMap")]


@pytest.fixture
def spec(store: Store) -> InstanceSpec:
    """A published spec."""
    found = worlds.spec()
    store.fleet.publish(
        {found.key: found}, {found.cluster.name: found.cluster}, {found.source.repo.url: found.source.repo}
    )
    return found


def memory(clock: ManualClock) -> Memory:
    now = clock.now()
    applied = Applied(
        7,
        "c" * 40,
        "sha256:" + "d" * 64,
        now,
        {key: Proof("sha256:" + "e" * 64, "f" * 32) for key in MEMBERS},
        closure=Closure({"a/web.yaml": "1" * 40}),
        spec_digest="sha256:" + "a" * 64,
    )
    entry = HistoryEntry(now, "c" * 40, "commit", "Synced", "3 created", 7)
    heals = {MEMBERS[0]: Heals((now,), 2, now + timedelta(seconds=18), ".spec.replicas", "kubectl-edit")}
    return Memory(applied, entry, heals, now)


def record(key: InstanceKey, clock: ManualClock, phase: Phase = Phase.IDLE, sync: Sync = Sync.SYNCED) -> SyncRecord:
    now = clock.now()
    objects = tuple(ObjectStatus(key, sync, Health.HEALTHY, "Created") for key in MEMBERS)
    revision = Revision("https://git.example.com/apps.git", "main", "c" * 40)
    told = ("Synced", "3 created") if phase is not Phase.FAILED else ("QuotaExceeded", "no room")
    return SyncRecord(
        key, 7, ("new",), now, now, sync, phase, Health.HEALTHY, *told, revision, objects=objects, memory=memory(clock)
    )


def synced(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    store.status.put(from_record(record(spec.key, clock), store.status.get(spec.key)))


def synced_at_head(store: Store, spec: InstanceSpec, clock: ManualClock) -> str:
    """The same, with nothing newer in its repository; what the look-up of that is called."""
    synced(store, spec, clock)
    store.closures.advance(spec.source.repo.url, {spec.source.ref: "c" * 40})
    return spec.source.repo.url


def read(store: Store) -> InstanceStatus:
    (found,) = composed.statuses(store).values()
    return found


def test_memory_is_read_back_as_it_was(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    store.memories.put(spec.key, memory(clock))

    assert store.memories.get(spec.key) == memory(clock)
    assert store.memories.many([spec.key]) == {spec.key: memory(clock)}
    assert store.memories.get(InstanceKey("default", "other", "eu")) == Memory()


def test_what_a_render_read_is_one_object_where_it_is_equal(store: Store, clock: ManualClock) -> None:
    """Also where it is that of what was applied last; what differs only in where a word stands is not equal."""
    read, swapped = Closure({"web": "1" * 40}, "x"), Closure(inputs="x", capabilities={"web": "1" * 40})
    unflushed = memory(clock).unflushed
    assert unflushed is not None
    applied = replace(unflushed, closure=read)
    memories = [Memory(closure=read), Memory(applied, closure=read), Memory(closure=swapped), Memory(applied), None]
    keys = [InstanceKey("default", f"app-{n}", "eu") for n in range(len(memories))]
    for key, one in zip(keys, memories, strict=True):
        if one is not None:
            store.memories.put(key, one)

    found = store.memories.closures(keys)

    assert found == dict(zip(keys, (read, read, swapped, None), strict=False))
    assert found[keys[0]] is found[keys[1]]
    assert store.memories.get(keys[1]) == memories[1]


def test_a_status_is_read_back_as_it_was(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    status = from_record(record(spec.key, clock), store.status.get(spec.key))
    store.status.put(status)

    assert store.status.get(spec.key) == status
    assert dict(store.status.each(store.status.known())) == {spec.key: status}
    assert status.applied_revision == "c" * 40


def test_what_another_version_stored_reads_as_unknown() -> None:
    assert unpack(pack(b'{"a":1}')) == b'{"a":1}'
    assert unpack(b'{"a":1}') is None
    assert unpack(None) is None


def test_synced_holds_for_three_intervals_after_the_last_look(
    store: Store, spec: InstanceSpec, clock: ManualClock
) -> None:
    synced(store, spec, clock)
    every_s = spec.cluster.drift.every.total_seconds()

    clock.advance(3 * every_s)
    assert read(store).sync == "Synced"
    clock.advance(10)
    assert (read(store).sync, read(store).stale) == ("Unknown", True)


def test_an_unreachable_cluster_never_reads_synced(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    synced(store, spec, clock)
    store.looks.note_scan(spec.cluster.name, clock.now(), error="eu-1 did not answer")

    found = read(store)

    assert (found.sync, found.reason, found.message) == ("Unknown", "Unreachable", "eu-1 did not answer")


def test_the_phase_follows_the_queue(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    synced(store, spec, clock)
    work = Work("sync", str(spec.key))
    assert read(store).phase == "Idle"
    store.due.mark([Mark(work, Lane.COMMIT, "push")])
    assert read(store).phase == "Queued"
    (grant,) = store.due.grant(1, 30)
    assert read(store).phase == "Queued"
    store.due.claim(work, grant.fence, 30)
    assert read(store).phase == "Syncing"
    store.due.complete(work, grant.fence, Mark(work, Lane.PERIODIC, "periodic", store.due.now_ms() + 5000))

    found = read(store)

    assert found.phase == "Idle"
    assert found.next_try == clock.now() + timedelta(seconds=5)


def test_a_sync_that_ends_while_statuses_are_read_is_told_as_it_ended(
    store: Store, spec: InstanceSpec, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced(store, spec, clock)
    work, repo, before = Work("sync", str(spec.key)), spec.source.repo.url, store.status.read
    store.closures.advance(repo, {spec.source.ref: "b" * 40})
    store.due.mark([Mark(work, Lane.COMMIT, "push")])
    (grant,) = store.due.grant(1, 30)
    store.due.claim(work, grant.fence, 30)

    def ends_first(*given: Any) -> Any:
        store.closures.advance(repo, {spec.source.ref: "c" * 40})
        store.due.complete(work, grant.fence)
        return before(*given)

    monkeypatch.setattr(store.status, "read", ends_first)
    found = read(store)

    assert (found.phase, found.sync, found.applied_revision) == ("Idle", "Synced", "c" * 40)


def test_a_cluster_that_is_lost_while_statuses_are_read_does_not_read_synced(
    store: Store, spec: InstanceSpec, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced(store, spec, clock)
    before = store.status.read

    def is_lost(*given: Any) -> Any:
        store.looks.note_scan(spec.cluster.name, clock.now(), error="eu-1 did not answer")
        return before(*given)

    monkeypatch.setattr(store.status, "read", is_lost)

    assert read(store).sync == "Unknown"


def test_a_sync_that_ends_otherwise_while_statuses_are_read_is_not_in_sync_at_its_commit(
    store: Store, spec: InstanceSpec, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes what the commit had opened, so that what stood Synced before looks as if the commit did not concern it."""
    synced(store, spec, clock)
    repo, after = spec.source.repo.url, store.status.read
    store.closures.reopen(spec.key, repo)
    store.closures.advance(repo, {spec.source.ref: "d" * 40})

    def ends_then(*given: Any) -> Any:
        found = after(*given)
        late = store.status.get(spec.key)
        store.status.put(late.model_copy(update={"sync": "OutOfSync", "fence": late.fence + 1}))
        store.closures.know(spec.key, repo, [])
        return found

    monkeypatch.setattr(store.status, "read", ends_then)

    assert read(store).sync == "Unknown"


def test_what_was_restored_is_not_in_sync_before_a_look_knows_what_git_says(
    store: Store, spec: InstanceSpec, clock: ManualClock
) -> None:
    """As when Redis was lost while the Git host is away: there is no head to be behind of."""
    synced(store, spec, clock)
    store.closures.reopen(spec.key, spec.source.repo.url)

    assert read(store).sync == "Unknown"


def test_what_the_fleet_wants_otherwise_is_not_in_sync_until_it_was_synced(
    store: Store, spec: InstanceSpec, clock: ManualClock
) -> None:
    repo = synced_at_head(store, spec, clock)
    assert read(store).sync == "Synced"

    store.unjudged.add(repo, {spec.key: "fleet changed"})
    assert read(store).sync == "Unknown", "it waits for a look"
    store.unjudged.forget(repo, [spec.key])
    store.closures.reopen(spec.key, repo, "c" * 40)
    store.due.mark([Mark(Work("sync", str(spec.key)), Lane.COMMIT, "fleet changed")])
    assert read(store).sync == "Unknown", "it waits for a worker"


def test_what_reads_anything_is_in_sync_at_the_commit_that_it_was_synced_at(
    store: Store, spec: InstanceSpec, clock: ManualClock
) -> None:
    """An instance of which nobody knows what it reads stays open, with its next full pass in the queue."""
    repo = synced_at_head(store, spec, clock)
    store.closures.reopen(spec.key, repo, "c" * 40)
    at_ms = store.due.now_ms() + 3_600_000
    store.due.mark([Mark(Work("sync", str(spec.key)), Lane.PERIODIC, "periodic", at_ms=at_ms)])

    assert read(store).sync == "Synced"


def test_some_instances_read_as_they_do_among_all(store: Store, clock: ManualClock) -> None:
    """What is due, shut, open, left and braked counts for each; of another one nothing is read."""
    template = worlds.spec()
    specs = {one.key: one for one in (template.model_copy(update={"application": name}) for name in "abcdef")}
    a, b, c, d, e, f = specs
    source = template.source
    publish = lambda now: store.fleet.publish(now, {a.cluster: template.cluster}, {})  # noqa: E731
    publish(specs)
    publish({key: one for key, one in specs.items() if key != d})
    for key in specs:
        store.status.put(from_record(record(key, clock), store.status.get(key)))
    store.tombstones.put(d, Tombstone(clock.now(), clock.now() + timedelta(hours=1), "Delete"))
    store.closures.reopen(b, source.repo.url)
    store.closures.advance(source.repo.url, {source.ref: "d" * 40})
    store.due.mark([Mark(Work("sync", str(a)), Lane.DRIFT, "drift", at_ms=store.due.now_ms() + 1000)])
    store.due.mark([Mark(Work("scan", a.cluster), Lane.DRIFT, "scan", at_ms=store.due.now_ms() + 5000)])
    store.due.shut(a.cluster, 60)
    store.brakes.put(Brake("application:default/e", "", "ada", clock.now()))
    store.redis.hset(f"{store.prefix}status", str(f), pack(b"damaged"))

    found = composed.statuses(store, [a, b, c, d, e])

    store.status.forget(f)
    whole = composed.statuses(store)
    assert found == {key: whole[key] for key in (a, b, c, d, e)}
    assert found[a].next_try == clock.now() + timedelta(seconds=5)
    assert [found[key].sync for key in (b, c)] == ["Unknown", "Synced"]
    assert found[c].applied_revision == "d" * 40
    assert (found[d].reason, found[e].phase) == ("Leaving", "Paused")


def test_a_failure_counts_and_a_success_forgets(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    status = store.status.get(spec.key)
    for _ in range(2):
        status = from_record(record(spec.key, clock, Phase.FAILED, Sync.OUT_OF_SYNC), status)
    assert (status.failures, status.reason) == (2, "QuotaExceeded")

    assert from_record(record(spec.key, clock), status).failures == 0


def test_specs_are_found_by_cluster_and_by_repository(store: Store, spec: InstanceSpec) -> None:
    assert dict(store.specs.known()) == {spec.key: spec}
    assert store.specs.on_cluster(spec.cluster.name) == {spec.key: spec}
    assert store.specs.on_cluster("other") == {}
    repo, other = spec.source.repo.url, InstanceKey.parse("another@eu-1")
    assert store.specs.refs(repo) == store.specs.refs(repo, [spec.key, other]) == {spec.key: spec.source.ref}
    assert store.specs.refs(repo, [other]) == store.specs.refs("https://git.example.com/other.git") == {}


def test_what_left_the_fleet_is_kept_until_it_is_forgotten(store: Store, spec: InstanceSpec) -> None:
    store.fleet.publish({}, {}, {})

    assert dict(store.specs.known()) == {}
    assert store.specs.get(spec.key) == spec
    assert read(store).reason == "LeftTheFleet"
    store.specs.forget_left(spec.key)
    assert store.specs.get(spec.key) is None


def test_events_and_requests_wake_who_follows(store: Store, clock: ManualClock) -> None:
    store.events.append(clock.now(), "instance", "default/a@eu", "Synced", "3 created")
    request = store.requests.open(["default/a@eu", "default/b@eu"])
    store.requests.answer([request], "default/a@eu", {"phase": "Idle"})
    store.requests.cancel([InstanceKey.parse("default/b@eu")])

    assert [one.message for one in store.events.last(5)] == ["3 created"]
    assert [one["phase"] for one in store.requests.follow(request, 2, 5)] == ["Idle", "Idle"]


def test_a_request_over_many_is_answered_for_those_that_are_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [InstanceKey("default", f"app-{n:04}", "eu") for n in range(AT_ONCE + 2)]
    request, other = (store.requests.open(str(key) for key in some) for some in (keys, keys[:1]))
    store.requests.answer([request], str(keys[0]), {"phase": "Synced"})
    looks, real = [], store.redis.scan_iter
    monkeypatch.setattr(store.redis, "scan_iter", lambda *given, **more: looks.append(given) or real(*given, **more))

    store.requests.cancel([keys[0], *keys[-2:], InstanceKey("default", "unasked", "eu")])

    answers = [(one["subject"], one.get("reason")) for one in store.requests.follow(request, 3, 5)]
    assert answers == [(str(keys[0]), None), *((str(key), "Cancelled") for key in keys[-2:])]
    assert [one["reason"] for one in store.requests.follow(other, 1, 5)] == ["Cancelled"]
    assert store.requests.open([]) not in (request, other)
    assert len(looks) == 1


def test_slots_of_a_worker_that_fell_silent_do_not_count(store: Store, clock: ManualClock) -> None:
    store.slots.beat("one", 4, clock.now())
    assert store.slots.alive(clock.now()) == {"one": 4}
    clock.advance(20)
    assert store.slots.alive(clock.now()) == {}


def test_an_instance_takes_less_than_two_kilobytes(store: Store, clock: ManualClock) -> None:
    """Of three objects, with everything that is kept of it; the hashes in this test compress better than real ones."""
    before = store.redis.info("memory")["used_memory"]  # type: ignore[index]  # not the asynchronous client
    template = worlds.spec()
    specs = {one.key: one for one in (template.model_copy(update={"application": f"app-{n}"}) for n in range(500))}
    store.fleet.publish(specs, {template.cluster.name: template.cluster}, {})
    for key in specs:
        store.memories.put(key, memory(clock))
        store.status.put(from_record(record(key, clock), store.status.get(key)))
    store.due.mark([Mark(Work("sync", str(key)), Lane.PERIODIC, "periodic") for key in specs])
    after = store.redis.info("memory")["used_memory"]  # type: ignore[index]

    assert (after - before) / len(specs) < 2048


def test_what_was_written_meanwhile_is_not_overwritten(store: Store, spec: InstanceSpec) -> None:
    """A scan, a look-up of refs and a rescue change statuses without the lease of their instance."""
    key, other = spec.key, spec.key.__class__("default", "other", spec.key.cluster)
    blank = store.status.get(key)

    def meanwhile(one: InstanceKey, status: InstanceStatus) -> InstanceStatus:
        if one == key:
            store.status.put(blank.model_copy(update={"reason": "Synced"}))
        return status.model_copy(update={"reason": "Proven"})

    store.status.amend(store.status.read([key, other]), meanwhile)

    assert (store.status.get(key).reason, store.status.get(other).reason) == ("Synced", "Proven")
    store.status.amend(store.status.read([key]), lambda _, status: status.model_copy(update={"phase": "Queued"}))
    assert (store.status.get(key).reason, store.status.get(key).phase) == ("Synced", "Queued")
    store.status.amend(store.status.read([key]), lambda *_: None)
    assert store.status.get(key).phase == "Queued"


def test_a_proof_found_by_a_scan_does_not_replace_that_of_a_sync(store: Store, spec: InstanceSpec) -> None:
    first, second = memory(ManualClock()), Memory()

    store.memories.put_first(spec.key, first)
    store.memories.put_first(spec.key, second)

    assert store.memories.get(spec.key) == first


def test_those_tombstones_are_read_that_are_asked_for(store: Store, spec: InstanceSpec, clock: ManualClock) -> None:
    one, other, none = (InstanceKey("default", name, "eu-1") for name in ("one", "other", "none"))
    stone = Tombstone(clock.now(), clock.now(), "Delete", (spec.key,))
    for key in (one, other):
        store.tombstones.put(key, stone)

    assert store.tombstones.many([one, none]) == {one: stone}
    assert store.tombstones.many([]) == {}


def test_a_tombstone_of_the_journal_replaces_none_that_is_newer(
    store: Store, spec: InstanceSpec, clock: ManualClock
) -> None:
    lost = InstanceKey("default", "lost", "eu-1")
    older, newer = (Tombstone(clock.now(), clock.now(), policy) for policy in ("Delete", "Orphan"))
    store.tombstones.put(spec.key, newer)

    store.tombstones.restore({str(key): encode(older).decode() for key in (spec.key, lost)})

    assert store.tombstones.all() == {spec.key: newer, lost: older}
