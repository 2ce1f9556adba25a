"""Due queue and leases against a plain model, on a real Valkey, with crashes, clock jumps and an emptied Redis.

The model holds what DESIGN.md promises, not how Lua does it: a work is granted once at a time, under rising fences; a
holder that judges its lease by its own clock is never one of two; nothing that was wished for is forgotten; a cluster or Git
host is given no more at once than it takes, and nothing but an operator's wishes while it is shut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.clock import ManualClock
from workers import embedded
from workers.messages import Grant, Lane, Mark, Work
from workers.store.due import MOST_ATTEMPTS, DueQueue, Most
from workers.store.keys import PREFIX
from workers.store.queued import Queued

LEASE_S = 30.0
GIT = "https://git@git.example.com:8443/apps.git"
WORKS = [
    *(Work("sync", one) for one in ("a/app@c0", "b/app@c0", "a/web@c0", "a/app@c1")),
    *(Work("scan", "c0"), Work("refresh", GIT), Work("refresh", f"{GIT.removesuffix('/apps.git')} (shop)")),
]
DESTINATIONS = ["c0", "c1", "git git.example.com:8443"]
MOST = Most(syncs=2, looks=1)
works = st.sampled_from(WORKS)
lanes = st.sampled_from(list(Lane))
moments = st.one_of(st.none(), st.integers(0, 90))
EXAMPLES = 400 if os.environ.get("UNDRIFT_SOAK") == "1" else 60


@pytest.fixture(autouse=True)
def _server(valkey_server: embedded.EmbeddedValkey) -> Iterator[None]:
    client = redis.Redis.from_url(valkey_server.url)
    Queue.client = client
    yield
    client.close()


@dataclass
class Wish:
    """What waits for a work: how urgent, since when, and what for."""

    lane: Lane
    at_ms: int
    commit: str = ""
    full: bool = False
    requests: set[str] = field(default_factory=set)

    def joined(self, other: Wish) -> Wish:
        return Wish(
            min(self.lane, other.lane),
            min(self.at_ms, other.at_ms),
            other.commit or self.commit,
            self.full or other.full,
            self.requests | other.requests,
        )


@dataclass
class Holder:
    """A child that claimed a lease; it may write until its own clock says that the lease ended."""

    grant: Grant
    until_s: float


class Queue(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.clock = ManualClock()
        self.queue, self.queued = DueQueue(self.client, self.clock), Queued(self.client, self.clock, PREFIX)
        self.queue.seen_before(quarantine_s=0)
        self.wishes: dict[Work, Wish] = {}
        self.granted: dict[Work, Grant] = {}
        self.holders: list[Holder] = []
        self.fences: dict[Work, int] = {}
        self.parked: set[Work] = set()
        self.attempts: dict[Work, int] = {}
        self.claimed: set[tuple[Work, int]] = set()
        self.quarantined_s: dict[Work, float] = {}
        self.requests = 0

    # ── what may happen

    @rule(work=works, lane=lanes, in_s=moments, commit=st.sampled_from(["", "c1", "c2"]), full=st.booleans())
    def mark(self, work: Work, lane: Lane, in_s: int | None, commit: str, full: bool) -> None:
        self.requests += 1
        request = f"r{self.requests}" if lane is Lane.OPERATOR else ""
        at_ms = self.queue.now_ms() + (in_s or 0) * 1000
        self.queue.mark([Mark(work, lane, "why", at_ms if in_s else None, commit, full, request)])
        if lane <= Lane.COMMIT and work in self.parked:
            self.parked.discard(work)
            self.attempts.pop(work, None)
        if work not in self.parked:
            self.wish(work, Wish(lane, at_ms, commit, full, {request} - {""}))

    @rule(budget=st.integers(0, 4))
    def grant(self, budget: int) -> None:
        shut = self.queued.shut_until()
        found = self.queue.grant(budget, LEASE_S, MOST)

        assert len(found) <= budget
        lanes = [one.lane for one in found]
        assert lanes == sorted(lanes)
        for one in found:
            self.take(one)
            is_shut = shut.get(one.work.destination, 0) > self.queue.now_ms()
            assert one.lane is Lane.OPERATOR or not is_shut, "granted for what is shut"
        if found and len(found) < budget:
            assert not [work for work in self.grantable() if self.wishes[work].at_ms <= self.queue.now_ms()]

    def take(self, one: Grant) -> None:
        wish = self.wishes.pop(one.work)
        assert wish.at_ms <= self.queue.now_ms()
        assert (one.lane, one.commit, one.full) == (wish.lane, wish.commit, wish.full)
        assert set(one.requests) == wish.requests
        assert one.work not in self.granted
        assert not self.valid(one.work), "granted while another may still write"
        assert self.clock.boot_s() >= self.quarantined_s.get(one.work, 0), "granted within a lease length of a loss"
        assert one.fence > self.fences.get(one.work, 0)
        self.fences[one.work] = one.fence
        self.granted[one.work] = one
        assert not self.is_full(one.work, spare=-1), "granted more than its destination takes"

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        grant = self.granted[data.draw(st.sampled_from(sorted(self.granted)))]
        before_s = self.clock.boot_s()

        mine = self.queue.claim(grant.work, grant.fence, LEASE_S)
        again = self.queue.claim(grant.work, grant.fence, LEASE_S)

        assert again is None, "the second delivery of a fence claimed it, too"
        assert (mine is None) == ((grant.work, grant.fence) in self.claimed)
        if mine is not None:
            self.claimed.add((grant.work, grant.fence))
            self.holders.append(Holder(grant, before_s + LEASE_S))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        before_s = self.clock.boot_s()
        if before_s < holder.until_s and self.queue.extend(holder.grant.work, holder.grant.fence, LEASE_S):
            holder.until_s = before_s + LEASE_S

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), in_s=moments, lane=lanes, ends=st.booleans())
    def complete(self, data: st.DataObject, in_s: int | None, lane: Lane, ends: bool) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        grant, work = holder.grant, holder.grant.work
        at_ms = self.queue.now_ms() + (in_s or 0) * 1000
        self.holders.remove(holder)

        ours = self.queue.complete(work, grant.fence, None if ends else Mark(work, lane, "again", at_ms))

        assert ours == (self.granted.get(work) == grant)
        if ours:
            del self.granted[work]
            self.attempts.pop(work, None)
            waiting = self.wishes.get(work)
            if not ends and (waiting is None or at_ms < waiting.at_ms):
                self.wish(work, Wish(lane, at_ms))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A child is killed: it writes no more, and says nothing."""
        self.holders.remove(data.draw(st.sampled_from(self.holders)))

    @precondition(lambda self: self.granted)
    @rule()
    def children_are_lost(self) -> None:
        """All that is granted is claimed by children that are killed; their leases end."""
        for grant in list(self.granted.values()):
            if self.queue.claim(grant.work, grant.fence, LEASE_S) is not None:
                self.claimed.add((grant.work, grant.fence))
        self.clock.advance(LEASE_S + 1)
        self.expire()
        self.grant(4)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        grant = self.granted[data.draw(st.sampled_from(sorted(self.granted)))]
        held = self.queued.states()[grant.work][0] == "claimed"

        assert self.queue.release(grant.work, grant.fence) != held

        if not held:
            self.give_back(grant, self.queue.now_ms())

    @rule()
    def expire(self) -> None:
        for lost in self.queue.expire(LEASE_S):
            grant = self.granted[lost.work]
            attempts = self.attempts.get(lost.work, 0) + 1 if lost.held else 0
            assert lost.attempts == attempts
            wish = self.wishes.get(lost.work)
            hopeless = lost.held and lost.work.kind == "sync" and attempts >= MOST_ATTEMPTS
            if lost.held:
                self.attempts[lost.work] = attempts
                self.quarantined_s[lost.work] = self.clock.boot_s() + LEASE_S
            if hopeless and wish is not None and wish.lane <= Lane.COMMIT:
                del self.attempts[lost.work]
            assert lost.is_parked == (hopeless and (wish is None or wish.lane > Lane.COMMIT))
            self.give_back(grant, self.queued.states()[lost.work][1] if not lost.is_parked else 0)
            if lost.is_parked:
                assert set(lost.requests) == self.wishes.pop(lost.work).requests
                self.parked.add(lost.work)

    @rule(work=works)
    def forget(self, work: Work) -> None:
        self.queue.forget([work])
        self.wishes.pop(work, None)
        self.parked.discard(work)
        self.attempts.pop(work, None)
        if work not in self.granted:
            self.fences.pop(work, None)

    @rule(destination=st.sampled_from(DESTINATIONS), seconds=st.sampled_from([5, 40, 7000]))
    def shut(self, destination: str, seconds: int) -> None:
        before = self.queued.shut_until().get(destination)

        assert self.queue.shut(destination, seconds) == (before is None)

        until = self.queue.now_ms() + min(seconds, 3600) * 1000
        assert self.queued.shut_until()[destination] == max(until, before or 0), "never for shorter than it was"

    @rule(destination=st.sampled_from(DESTINATIONS))
    def open(self, destination: str) -> None:
        was_shut = destination in self.queued.shut_until()

        assert self.queue.open(destination) == was_shut

        assert destination not in self.queued.shut_until()

    @rule(seconds=st.sampled_from([1, 5, 11, 29, 31, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-7200, -45, 45, 7200]))
    def the_clock_is_set(self, seconds: int) -> None:
        self.clock.jump(seconds)

    @rule()
    def redis_is_emptied(self) -> None:
        """Nothing is granted for a lease length; whoever still holds a lease has run out of it by then."""
        self.client.flushall()
        assert self.queue.grant(4, LEASE_S) == []
        assert not self.queue.seen_before(quarantine_s=LEASE_S)
        assert self.queue.seen_before(quarantine_s=LEASE_S)
        self.wishes, self.granted, self.fences = {}, {}, {}
        self.parked, self.attempts = set(), {}

    # ── what must hold

    @invariant()
    def one_holder_at_a_time(self) -> None:
        for work in WORKS:
            assert self.valid(work) <= 1, f"{work} has two holders"

    @invariant()
    def what_is_wished_for_waits_and_nothing_else(self) -> None:
        states = self.queued.states()
        assert {work for work, (state, _) in states.items() if state != "due"} == set(self.granted)
        assert {work for work, (state, _) in states.items() if state == "due"} == set(self.wishes) - set(self.granted)
        assert self.queued.parked() == self.parked
        claimed = {work for work, (state, _) in states.items() if state == "claimed"}
        assert self.queued.waiting_in_broker() == len(self.granted) - len(claimed)

    @invariant()
    def what_is_leased_is_counted_where_it_goes(self) -> None:
        for destination in DESTINATIONS:
            counted = {Work.parse(one.decode()) for one in self.client.smembers(f"undrift:running:{destination}")}  # type: ignore[union-attr]  # not the asynchronous client
            assert counted == {work for work in self.granted if work.destination == destination}

    # ── the model's own words

    def wish(self, work: Work, wish: Wish) -> None:
        before = self.wishes.get(work)
        self.wishes[work] = before.joined(wish) if before else wish

    def give_back(self, grant: Grant, at_ms: int) -> None:
        """What a lease took over is wished for again; what was wished meanwhile is newer."""
        old = Wish(grant.lane, at_ms, grant.commit, grant.full, set(grant.requests))
        newer = self.wishes.pop(grant.work, None)
        del self.granted[grant.work]
        self.wish(grant.work, old)
        if newer is not None:
            self.wish(grant.work, newer)
        self.wishes[grant.work].at_ms = at_ms

    def valid(self, work: Work) -> int:
        now_s = self.clock.boot_s()
        return sum(1 for one in self.holders if one.grant.work == work and now_s < one.until_s)

    def grantable(self) -> set[Work]:
        """Wished for, and not blocked: as Redis tells when it is due, since quarantine is its affair."""
        blocked = {work for work, at in self.blocked().items() if at > self.queue.now_ms()}
        free = set(self.wishes) - set(self.granted) - blocked
        return {work for work in free if not self.is_full(work) and not self.may_be_shut(work)}

    def is_full(self, work: Work, spare: int = 0) -> bool:
        here = sum(other.destination == work.destination for other in self.granted)
        most = {"sync": MOST.syncs, "refresh": MOST.looks}.get(work.kind, len(WORKS))
        return here + spare >= most

    def may_be_shut(self, work: Work) -> bool:
        return self.wishes[work].lane is not Lane.OPERATOR and work.destination in self.queued.shut_until()

    def blocked(self) -> dict[Work, float]:
        rows = self.client.zrange("undrift:quarantine", 0, -1, withscores=True)
        return {Work.parse(name.decode()): at for name, at in rows}  # type: ignore[union-attr]  # not the asynchronous client


Queue.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class TestQueue(Queue.TestCase):  # type: ignore[name-defined,misc]  # made by hypothesis at run time
    """Runs the machine."""
