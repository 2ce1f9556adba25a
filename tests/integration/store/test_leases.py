"""The due queue, leases, guard and leader lock on a real Valkey, one promise at a time."""

from __future__ import annotations

import threading

import pytest
import redis

from reconciler.clock import ManualClock
from reconciler.errors import Frozen, LeaseLost
from reconciler.model.brake import Brake
from workers.messages import KINDS, Grant, Lane, Mark, Work
from workers.store import Store, due, open_store
from workers.store.brakes import PERMIT_S
from workers.store.guard import RedisGuard
from workers.store.leader import Leader, NotLeading

LEASE_S = 30.0
APP = Work("sync", "default/podinfo@eu-1")


def granted(store: Store, work: Work = APP, lane: Lane = Lane.COMMIT) -> Grant:
    store.due.mark([Mark(work, lane, "test", request="r1")])
    (grant,) = store.due.grant(1, LEASE_S)
    return grant


def lost(store: Store, clock: ManualClock, grant: Grant) -> None:
    """The child that claims this grant dies."""
    store.due.claim(grant.work, grant.fence, LEASE_S)
    clock.advance(LEASE_S + 1)


def test_ten_requests_are_one_more_run_of_the_newest_commit(store: Store) -> None:
    for number in range(10):
        store.due.mark([Mark(APP, Lane.COMMIT, "push", commit=f"c{number}", request=f"r{number}")])

    (grant,) = store.due.grant(10, LEASE_S)

    assert (grant.commit, len(grant.requests), grant.reasons) == ("c9", 10, ("push",))


def test_the_states_of_some_works_are_as_among_all(store: Store) -> None:
    urls = "https://Ada@git.example.com:8443/a.git", "git@git.example.com:b.git", "/srv/c.git"
    subjects = {"scan": ["eu-1"], "deliver": ["webhook"], "refresh": urls, "sync": ["default/a@eu-1", "shop/b@us-1"]}
    works = [Work(kind, one) for kind in KINDS for one in subjects[kind]]
    later_ms = store.due.now_ms() + 60_000
    store.due.mark(Mark(work, Lane(n % len(Lane)), "later", at_ms=later_ms + n) for n, work in enumerate(works))
    (waits, held) = Work("sync", "default/granted@eu-1"), Work("sync", "default/claimed@eu-1")
    grants = [granted(store, work) for work in (waits, held)]
    store.due.claim(held, grants[1].fence, LEASE_S)

    found = store.queued.states_of([*works, waits, held, Work("scan", "unknown")])

    assert found == store.queued.states()
    assert len(found) == len(works) + 2
    assert (found[waits][0], found[held][0]) == ("granted", "claimed")
    assert store.queued.states_of([works[0]]) == {works[0]: ("due", later_ms)}


def test_what_waits_for_a_worker_is_counted_by_kind_and_what_waits_for_its_destination_is_not(store: Store) -> None:
    now_ms, git = store.due.now_ms(), "https://git.example.com:8443/a.git"
    late = [Work("scan", "eu-1"), Work("sync", "shop/a@eu-1"), Work("sync", "default/b@us-1"), Work("refresh", git)]
    store.due.mark(Mark(work, Lane.COMMIT, "late", at_ms=now_ms - 1000 * n) for n, work in enumerate(late, 1))
    for lane, at_ms in ((Lane.COMMIT, now_ms - 10), (Lane.DRIFT, now_ms), (Lane.DRIFT, now_ms + 1)):
        store.due.mark([Mark(Work("sync", f"shop/{lane}{at_ms}@eu-1"), lane, "more", at_ms=at_ms)])

    assert store.queued.waiting() == {
        "scan": (1, now_ms - 1000),
        "sync": (4, now_ms - 3000),
        "refresh": (1, now_ms - 4000),
    }
    for where in ("us-1", "git git.example.com:8443"):
        store.due.shut(where, 60)
    assert store.queued.waiting() == {"scan": (1, now_ms - 1000), "sync": (3, now_ms - 2000)}
    assert store.queued.leases() == 0
    assert len(store.due.grant(2, LEASE_S)) == store.queued.leases() == 2


def test_a_wish_during_a_run_makes_one_more_run_at_its_end(store: Store) -> None:
    grant = granted(store)
    store.due.claim(APP, grant.fence, LEASE_S)
    store.due.mark([Mark(APP, Lane.COMMIT, "push", commit="new")])
    assert store.due.grant(5, LEASE_S) == []

    store.due.complete(APP, grant.fence)

    assert [one.commit for one in store.due.grant(5, LEASE_S)] == ["new"]


def test_a_project_with_much_to_do_does_not_starve_another_one_slot_at_a_time(store: Store, clock: ManualClock) -> None:
    store.due.mark([Mark(Work("sync", f"big/app{n}@eu"), Lane.COMMIT, "push") for n in range(50)])
    clock.advance(60)
    store.due.mark([Mark(Work("sync", f"small/app{n}@eu"), Lane.COMMIT, "push") for n in range(2)])

    projects = [one.work.project for _ in range(4) for one in store.due.grant(1, LEASE_S)]

    assert projects.count("small") == 2


def test_an_operator_goes_first(store: Store, clock: ManualClock) -> None:
    works = {lane: Work("sync", f"default/{lane.name.lower()}@eu") for lane in Lane}
    for lane in reversed(Lane):
        store.due.mark([Mark(works[lane], lane, "test")])
        clock.advance(1)

    assert [one.lane for one in store.due.grant(10, LEASE_S)] == list(Lane)


def test_a_lost_run_gives_back_what_it_was_wanted_for(store: Store, clock: ManualClock) -> None:
    """The operator who asked must get an answer, and a full pass stays a full pass."""
    store.due.mark([Mark(APP, Lane.OPERATOR, "operator", full=True, request="r1")])
    (grant,) = store.due.grant(1, LEASE_S)
    store.due.claim(APP, grant.fence, LEASE_S)
    store.due.mark([Mark(APP, Lane.DRIFT, "drift", request="r2")])
    clock.advance(LEASE_S + 1)
    store.due.expire(LEASE_S)
    clock.advance(LEASE_S)

    (again,) = store.due.grant(1, LEASE_S)

    assert (again.lane, again.full, set(again.requests)) == (Lane.OPERATOR, True, {"r1", "r2"})
    assert again.fence > grant.fence


def test_a_message_that_was_lost_comes_due_again_at_once(store: Store, clock: ManualClock) -> None:
    grant = granted(store)
    clock.advance(LEASE_S)

    (expired,) = store.due.expire(LEASE_S)

    assert (expired.held, expired.attempts) == (False, 0)
    assert store.due.claim(APP, grant.fence, LEASE_S) is None
    assert len(store.due.grant(1, LEASE_S)) == 1


def test_three_lost_children_park_a_sync_until_a_commit(store: Store, clock: ManualClock) -> None:
    store.due.mark([Mark(APP, Lane.DRIFT, "drift", request="r1")])
    for _ in range(3):
        (grant,) = store.due.grant(1, LEASE_S)
        lost(store, clock, grant)
        (expired,) = store.due.expire(LEASE_S)
        clock.advance(LEASE_S)

    assert expired.is_parked
    assert expired.requests == ("r1",)
    store.due.mark([Mark(APP, Lane.DRIFT, "drift")])
    assert store.due.grant(1, LEASE_S) == []
    store.due.mark([Mark(APP, Lane.COMMIT, "commit")])
    assert len(store.due.grant(1, LEASE_S)) == 1


def test_a_scan_that_kills_its_workers_is_never_parked(store: Store, clock: ManualClock) -> None:
    """Nothing would ever ask for it again."""
    scan = Work("scan", "eu-1")
    store.due.mark([Mark(scan, Lane.DRIFT, "periodic")])
    for _ in range(5):
        (grant,) = store.due.grant(1, LEASE_S)
        lost(store, clock, grant)
        store.due.expire(LEASE_S)
        assert scan not in store.queued.parked()
        clock.advance(LEASE_S * 16)


def test_the_next_grant_starts_above_a_fence_that_was_met(store: Store) -> None:
    grant = granted(store)
    store.due.claim(APP, grant.fence, LEASE_S)
    store.due.complete(APP, grant.fence, Mark(APP, Lane.COMMIT, "met"), met_fence=grant.fence + 10**9)

    (again,) = store.due.grant(1, LEASE_S)

    assert again.fence == grant.fence + 10**9 + 1


def test_a_grant_that_did_not_reach_the_broker_is_due_again_at_once(store: Store) -> None:
    grant = granted(store)

    assert store.due.release(APP, grant.fence)

    (again,) = store.due.grant(1, LEASE_S)
    assert (again.requests, again.lane) == (grant.requests, grant.lane)
    store.due.claim(APP, again.fence, LEASE_S)
    assert not store.due.release(APP, again.fence)


def test_an_emptied_redis_grants_nothing_for_a_lease_length(store: Store, clock: ManualClock) -> None:
    store.redis.flushall()
    store.due.mark([Mark(APP, Lane.OPERATOR, "operator")])
    assert store.due.grant(1, LEASE_S) == []
    assert not store.due.seen_before(quarantine_s=LEASE_S)
    assert store.due.grant(1, LEASE_S) == []
    clock.advance(LEASE_S)
    assert len(store.due.grant(1, LEASE_S)) == 1


def test_a_clock_set_forward_gives_no_second_holder(store: Store, clock: ManualClock) -> None:
    grant = granted(store)
    with RedisGuard(store.due, APP, grant.fence, LEASE_S, clock) as guard:
        store.due.claim(APP, grant.fence, LEASE_S)
        for _ in range(3):
            clock.jump(LEASE_S + 1)
            store.due.expire(LEASE_S)
            assert store.due.grant(1, LEASE_S) == []
        assert guard.remaining_s() > 0


def test_a_clock_set_back_does_not_leave_a_lease_for_hours(store: Store, clock: ManualClock) -> None:
    clock.jump(7200)
    store.due.expire(LEASE_S)
    clock.advance(LEASE_S)
    grant = granted(store)
    store.due.claim(APP, grant.fence, LEASE_S)
    clock.jump(-7200)

    store.due.expire(LEASE_S)
    clock.advance(61)

    assert [one.held for one in store.due.expire(LEASE_S)] == [True]


def test_a_mark_wakes_who_waits(store: Store, valkey: str) -> None:
    woken = threading.Event()

    def wait() -> None:
        other = open_store(valkey, ManualClock())
        other.due.wait(20)
        other.redis.close()
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    store.due.mark([Mark(APP, Lane.COMMIT, "push")])

    assert woken.wait(10)
    thread.join()


def test_what_there_is_no_room_for_does_not_keep_the_scheduler_awake(store: Store) -> None:
    store.due.mark([Mark(APP, Lane.COMMIT, "push")])

    assert store.due.next_ms(has_room=False) is None
    assert store.due.next_ms() == store.due.now_ms()


def test_forgotten_work_is_gone(store: Store) -> None:
    store.due.mark([Mark(APP, Lane.COMMIT, "push")])
    store.due.forget([APP])

    assert store.queued.states() == {}
    assert store.due.next_ms() is None


def test_of_many_no_script_forgets_more_than_it_would_mark(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script holds up everybody's Redis while it runs."""
    monkeypatch.setattr(due, "MARKS_A_STEP", 2)
    works = [Work("sync", f"default/app{number}@eu-1") for number in range(5)]
    store.due.mark(Mark(work, Lane.COMMIT, "push") for work in works)
    before = store.redis.info("commandstats")["cmdstat_evalsha"]["calls"]

    store.due.forget(works)

    assert store.redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before >= 3
    assert (store.queued.states(), store.due.next_ms()) == ({}, None)


def test_a_holder_that_slept_through_its_lease_may_not_write(store: Store, clock: ManualClock) -> None:
    grant = granted(store)
    with RedisGuard(store.due, APP, grant.fence, LEASE_S, clock) as guard:
        store.due.claim(APP, grant.fence, LEASE_S)
        clock.advance(LEASE_S + 1)

        with pytest.raises(LeaseLost):
            guard.remaining_s()


def test_a_guard_is_extended_by_its_thread_until_redis_forgets_it(valkey: str) -> None:
    from reconciler.clock import SystemClock

    store = open_store(valkey, SystemClock())
    store.due.seen_before(quarantine_s=0)
    lease_s = 0.3
    store.due.mark([Mark(APP, Lane.COMMIT, "push")])
    (grant,) = store.due.grant(1, lease_s)
    guard = RedisGuard(store.due, APP, grant.fence, lease_s, store.clock)
    store.due.claim(APP, grant.fence, lease_s)
    with guard:
        begun_s, far = store.clock.boot_s(), threading.Event()
        while store.clock.boot_s() < begun_s + 3 * lease_s:
            assert guard.remaining_s() > 0
            far.wait(0.02)
        store.redis.flushall()
        far.wait(lease_s)  # what it was granted last has run out by then
        with pytest.raises(LeaseLost):
            guard.remaining_s()
    store.redis.close()


def test_the_thread_that_extends_leases_outlives_a_lease_that_breaks(
    store: Store, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves every later task of its process, too."""
    from reconciler.clock import SystemClock

    lease_s = 0.3
    broken = RedisGuard(store.due, Work("scan", "eu-1"), 1, lease_s, SystemClock())
    monkeypatch.setattr(broken, "extend", lambda: 1 / 0)
    with broken:
        test_a_guard_is_extended_by_its_thread_until_redis_forgets_it(valkey)


def test_one_contender_leads_and_a_release_wakes_the_other(redis_client: redis.Redis) -> None:
    first, second = Leader(redis_client, "undrift:"), Leader(redis_client, "undrift:")

    assert first.leads()
    assert first.leads()
    assert not second.leads()
    first.release()
    second.wait(20)
    assert second.leads()
    assert not first.leads()


def test_a_leader_that_died_is_followed_when_its_lock_ran_out(redis_client: redis.Redis) -> None:
    first, second = Leader(redis_client, "undrift:", ttl_s=0.05), Leader(redis_client, "undrift:")
    first.leads()

    second.wait(0.2)

    assert second.leads()


def test_a_lock_is_kept_through_something_slow(redis_client: redis.Redis) -> None:
    first, second = Leader(redis_client, "undrift:", ttl_s=0.3), Leader(redis_client, "undrift:")
    first.leads()
    with first.kept(60):
        second.wait(1)

        assert not second.leads()


def test_one_that_does_not_lead_publishes_nothing(store: Store, valkey: str) -> None:
    other = open_store(valkey, ManualClock())
    assert other.leader.leads()

    with pytest.raises(NotLeading):
        store.fleet.publish({}, {}, {}, leader=store.leader)
    other.redis.close()


def test_what_one_that_leads_writes_stands_though_its_lock_was_renewed_meanwhile(redis_client: redis.Redis) -> None:
    leader = Leader(redis_client, "undrift:")
    leader.leads()
    pipe = redis_client.pipeline()
    leader.watch(pipe)
    assert leader.leads()

    pipe.set("fleet", "new")
    pipe.execute()

    assert redis_client.get("fleet") == b"new"


def test_one_whose_name_as_leader_was_lost_writes_it_anew(redis_client: redis.Redis) -> None:
    leader = Leader(redis_client, "undrift:")
    leader.leads()
    redis_client.delete("undrift:leader-last")

    assert leader.leads()

    leader.watch(redis_client.pipeline())


def test_what_one_that_slept_writes_fails_when_another_led_meanwhile(redis_client: redis.Redis) -> None:
    first, second = Leader(redis_client, "undrift:", ttl_s=0.05), Leader(redis_client, "undrift:")
    first.leads()
    pipe = redis_client.pipeline()
    first.watch(pipe)
    second.wait(0.2)
    assert second.leads()

    pipe.set("fleet", "old")
    with pytest.raises(redis.WatchError):
        pipe.execute()

    second.release()
    assert redis_client.get("fleet") is None
    with pytest.raises(NotLeading):
        first.watch(redis_client.pipeline())


def test_a_wipe_deletes_our_keys_and_no_others(store: Store) -> None:
    store.due.mark([Mark(APP, Lane.COMMIT, "push")])
    store.redis.set("theirs", "1")

    assert store.wipe() > 0

    assert store.redis.keys("*") == [b"theirs"]


def braked(store: Store, clock: ManualClock, scope: str) -> RedisGuard:
    """A holder of the instance's lease, while a brake is put in force."""
    grant = granted(store)
    store.due.claim(APP, grant.fence, LEASE_S)
    guard = RedisGuard(store.due, APP, grant.fence, LEASE_S, clock, store.brakes)
    guard.require_unfrozen()
    store.brakes.put(Brake(scope, "incident", "ada", clock.now()))
    return guard


@pytest.mark.parametrize("scope", ["all", "project:default", "cluster:eu-1", "instance:default/podinfo@eu-1"])
def test_a_freeze_stops_a_holder_before_its_next_write(store: Store, clock: ManualClock, scope: str) -> None:
    guard = braked(store, clock, scope)
    clock.advance(PERMIT_S)

    with pytest.raises(Frozen, match="by ada"):
        guard.require_unfrozen()


def test_a_holder_asks_again_after_a_tenth_of_a_second_at_most(store: Store, clock: ManualClock) -> None:
    guard = braked(store, clock, "all")
    clock.advance(PERMIT_S / 2)

    guard.require_unfrozen()  # permitted before; `freeze` waits for as long before it returns
    clock.advance(PERMIT_S)
    with pytest.raises(Frozen):
        guard.require_unfrozen()


def test_a_freeze_of_something_else_stops_nothing(store: Store, clock: ManualClock) -> None:
    guard = braked(store, clock, "cluster:us-1")
    clock.advance(PERMIT_S)

    guard.require_unfrozen()


def test_an_emptied_redis_permits_no_write(store: Store, clock: ManualClock) -> None:
    """It knows of no freeze, which does not mean that there is none."""
    guard = braked(store, clock, "cluster:us-1")
    store.redis.flushall()
    clock.advance(PERMIT_S)

    with pytest.raises(LeaseLost, match="emptied"):
        guard.require_unfrozen()
