"""The rounds over everything that should come around, on a real Valkey."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import redis

from reconciler.clock import ManualClock
from reconciler.fleet import Expansion, expand
from reconciler.model.instance import InstanceKey
from tests.fleets import application, cluster, documents, fleet
from workers.messages import DELIVER, Lane, Mark, Work
from workers.scheduler import rounds
from workers.scheduler.rounds import Rounds
from workers.store import Store

LEASE_S = 30.0
SCAN, A, B, C = Work("scan", "eu-1"), *(Work("sync", f"default/{name}@eu-1") for name in "abc")


@pytest.fixture
def expansion() -> Expansion:
    return expand(fleet(documents(cluster("eu-1"), *map(application, "abc"))))


def test_what_nothing_makes_run_is_due_some_time_and_the_rest_stays_as_it_is(store: Store, expansion: Expansion):
    store.due.mark([Mark(A, Lane.COMMIT, "push", commit="new")])
    store.leader.leads()
    (url,) = expansion.repositories()
    store.unjudged.add(url, {InstanceKey.parse("b@eu-1"): "new"})
    going = Rounds(store)

    going.begin(expansion, tells=True)
    going.go_on()

    assert going.is_over
    now_ms = store.due.now_ms()
    states = store.queued.states()
    assert {work: at <= now_ms for work, (_, at) in states.items() if work.kind != "refresh"} == {
        A: True,
        C: False,
        SCAN: True,
        DELIVER: True,
    }
    assert [one.commit for one in store.due.grant(9, LEASE_S) if one.work == A] == ["new"]


def test_a_large_fleet_is_gone_through_in_several_turns(
    store: Store, clock: ManualClock, expansion: Expansion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rounds, "WORKS_A_STEP", 2)
    missing = store.due.missing
    monkeypatch.setattr(store.due, "missing", lambda works: (clock.advance(1), missing(works))[1])
    going, seen = Rounds(store), []

    going.begin(expansion, tells=False)
    while not going.is_over:
        going.go_on()
        seen.append(len(store.queued.states()))

    assert seen == [2, 4, 5, 5]


def test_leased_and_parked_work_is_not_missing_and_an_entry_that_was_lost_is(store: Store, clock: ManualClock):
    store.due.mark([Mark(A, Lane.COMMIT, "push")])
    for _ in range(3):  # as many children die of it
        (grant,) = store.due.grant(1, LEASE_S)
        store.due.claim(grant.work, grant.fence, LEASE_S)
        clock.advance(LEASE_S + 1)
        store.due.expire(LEASE_S)
        clock.advance(LEASE_S * 16)
    assert store.queued.parked() == {A}
    store.due.mark([Mark(B, Lane.COMMIT, "push")])
    store.due.grant(1, LEASE_S)
    store.due.mark([Mark(C, Lane.COMMIT, "push")])
    assert store.due.missing([A, B, C, SCAN]) == {SCAN}

    for name in store.redis.scan_iter("undrift:due:*"):
        store.redis.delete(name)

    assert store.due.missing([A, B, C, SCAN]) == {SCAN, C}


def test_rounds_that_redis_left_in_the_middle_are_gone_again(
    store: Store, expansion: Expansion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rounds, "WORKS_A_STEP", 2)
    missing, asked = store.due.missing, []

    def away_once(works: Iterable[Work]) -> frozenset[Work]:
        asked.append(list(works))
        if len(asked) == 2:
            raise redis.ConnectionError("it went away")
        return missing(asked[-1])

    monkeypatch.setattr(store.due, "missing", away_once)
    going = Rounds(store)

    going.begin(expansion, tells=False)
    with pytest.raises(redis.ConnectionError):
        going.go_on()
    assert not going.is_over
    going.go_on()

    assert going.is_over
    assert {SCAN, A, B, C} <= store.queued.states().keys()
