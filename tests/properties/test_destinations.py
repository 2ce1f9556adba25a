"""What clusters and Git hosts are given at once, against a plain model on a real Valkey, without crashes or clock jumps.

Two laws, at every step: nothing goes where it must not, and nothing that may go is left lying.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from reconciler.clock import ManualClock
from workers import embedded
from workers.messages import Lane, Mark, Work
from workers.store.due import DueQueue, Most

LEASE_S = 30.0
GIT = "https://git@git.example.com:8443/"
SYNCS = [Work("sync", f"{project}/{app}@{cluster}") for project in "ab" for app in "xyz" for cluster in ("c0", "c1")]
WORKS = [*SYNCS, *(Work("refresh", f"{GIT}{name}.git") for name in "mno"), Work("scan", "c0")]
MOST = Most(syncs=2, looks=1)
EXAMPLES = 400 if os.environ.get("UNDRIFT_SOAK") == "1" else 250


@pytest.fixture(autouse=True)
def _server(valkey_server: embedded.EmbeddedValkey) -> Iterator[None]:
    Destinations.client = redis.Redis.from_url(valkey_server.url)
    yield
    Destinations.client.close()


class Destinations(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.clock = ManualClock()
        self.queue = DueQueue(self.client, self.clock)
        self.queue.seen_before(quarantine_s=0)
        self.wishes: dict[Work, tuple[Lane, int]] = {}
        self.fences: dict[Work, int] = {}
        self.shut_until_ms: dict[str, int] = {}

    @rule(
        works=st.lists(st.sampled_from(WORKS), min_size=1, max_size=8),
        lane=st.sampled_from(list(Lane)),
        late=st.booleans(),
    )
    def mark(self, works: list[Work], lane: Lane, late: bool) -> None:
        at_ms = self.queue.now_ms() + (20_000 if late else 0)
        wanted = [one for one in works if one not in self.fences]
        self.queue.mark(Mark(one, lane, "why", at_ms) for one in wanted)
        for one in wanted:
            old_lane, old_ms = self.wishes.get(one, (lane, at_ms))
            self.wishes[one] = min(old_lane, lane), min(old_ms, at_ms)

    @rule(budget=st.sampled_from([1, 3, 50]))
    def grant(self, budget: int) -> None:
        found = self.queue.grant(budget, LEASE_S, MOST)

        for one in found:
            lane, at_ms = self.wishes.pop(one.work)
            assert at_ms <= self.queue.now_ms()
            assert lane is Lane.OPERATOR or not self.is_shut(one.work), f"{one.work} goes where it is shut"
            self.fences[one.work] = one.fence
        assert all(count <= self.takes(where) for where, count in self.running().items())
        if len(found) < budget:
            assert not [work for work in self.wishes if self.may_go(work)], "left lying"

    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        if self.fences:
            work = data.draw(st.sampled_from(sorted(self.fences)))
            self.queue.claim(work, self.fences[work], LEASE_S)
            assert self.queue.complete(work, self.fences.pop(work))

    @rule(seconds=st.sampled_from([1, 10]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for work, fence in self.fences.items():
            self.queue.claim(work, fence, LEASE_S)
            self.queue.extend(work, fence, LEASE_S)

    @rule(where=st.sampled_from(sorted({one.destination for one in WORKS} - {""})), seconds=st.sampled_from([5, 40]))
    def shut(self, where: str, seconds: int) -> None:
        self.queue.shut(where, seconds)
        self.shut_until_ms[where] = max(self.queue.now_ms() + seconds * 1000, self.shut_until_ms.get(where, 0))

    @rule(where=st.sampled_from(sorted({one.destination for one in WORKS} - {""})))
    def open(self, where: str) -> None:
        self.queue.open(where)
        self.shut_until_ms.pop(where, None)

    def running(self) -> Counter[str]:
        return Counter(work.destination for work in self.fences)

    def takes(self, where: str) -> int:
        return len(WORKS) if not where else MOST.looks if where.startswith("git ") else MOST.syncs

    def is_shut(self, work: Work) -> bool:
        return self.shut_until_ms.get(work.destination, 0) > self.queue.now_ms()

    def may_go(self, work: Work) -> bool:
        lane, at_ms = self.wishes[work]
        is_free = self.running()[work.destination] < self.takes(work.destination)
        return at_ms <= self.queue.now_ms() and is_free and (lane is Lane.OPERATOR or not self.is_shut(work))


Destinations.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class TestDestinations(Destinations.TestCase):  # type: ignore[name-defined,misc]  # made by hypothesis at run time
    """Runs the machine."""
