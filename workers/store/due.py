"""The due queue and the leases: what should run, and who may run it (invariant 2).

Each step is one Lua script, so that no crash and no second process can fall between its parts. Times come from the
caller's clock in milliseconds; fences are such times, never repeated and never falling. A clock that jumps, or differs
between machines, makes work early or late, but never gives it two holders: each holder judges its lease by its own
suspend-counting clock, what ended early is quarantined for a whole lease length, and after a jump of the granting
process's own clock nothing is granted for so long either.

Fair shares, in their simple form: within a lane, the project that was given work longest ago goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from reconciler.clock import Clock
from reconciler.errors import LeaseLost
from reconciler.model.instance import InstanceKey
from workers.messages import Grant, Lane, Mark, Work
from workers.store.batches import at_most
from workers.store.damaged import undamaged
from workers.store.keys import PREFIX
from workers.store.scripts import QUEUE, script

MOST_ATTEMPTS = 3
JUMP_S = 1.0
FAR_MS = 3_600_000
"""No destination is shut for longer; `queue.lua` holds the clock's jumps against it."""
MARKS_A_STEP = 500
"""A script blocks Redis while it runs: five hundred wishes take it about 10 ms."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A lease that was taken back. `held` when its child had claimed it, so that the child is lost; `is_parked` when it
    is not due again until a commit or an operator wants it. `requests` are those that still wait for its outcome."""

    work: Work
    held: bool
    attempts: int
    is_parked: bool = False
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Most:
    """How much is leased at once for one destination, so that many workers do not run one cluster or Git host over."""

    syncs: int = 32
    """Of one cluster."""
    looks: int = 8
    """At repositories of one Git host."""


class DueQueue:
    """One queue per Redis; any number of processes may mark, claim and complete, one grants."""

    def __init__(self, client: redis.Redis, clock: Clock, prefix: str = PREFIX) -> None:
        # redis-py types every answer for its asynchronous client too; this one is synchronous.
        self._redis: Any = client
        self._clock, self._prefix = clock, prefix
        self._ahead_s = self._wall_ahead_s()
        self._scripts: dict[str, Any] = {name: client.register_script(script(name)) for name in QUEUE}

    def now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    def mark(self, marks: Iterable[Mark]) -> None:
        """Wish for work. Wishes for the same work join: the soonest time, the most urgent lane, the newest commit."""
        now_ms = self.now_ms()
        for rows in wishes(marks, now_ms):
            self._run("mark", now_ms, rows)

    def grant(self, budget: int, lease_s: float, most: Most = Most()) -> list[Grant]:
        """Lease up to `budget` due works, most urgent lane first, projects in turn. A destination that has `most` leased,
        or is shut, is passed over."""
        if budget <= 0 or self._clock_jumped(lease_s):
            return []
        raw = self._run("grant", self.now_ms(), budget, int(lease_s * 1000), most.syncs, most.looks)
        return undamaged(f"{self._prefix}due", _rows(raw), _grant, self._forget_row)

    def claim(self, work: Work, fence: int, lease_s: float) -> Grant | None:
        """Take up a granted lease; None when it is not ours to take (a second delivery, or too late)."""
        flat = self._run("claim", self.now_ms(), str(work), fence, int(lease_s * 1000))
        if not flat:
            return None
        fields = {key.decode(): value.decode() for key, value in zip(flat[::2], flat[1::2], strict=True)}
        return Grant(
            work=work,
            fence=fence,
            lane=Lane(int(fields["lane"])),
            reasons=tuple(orjson.loads(fields["reasons"])),
            commit=fields["commit"],
            full=bool(fields["full"]),
            requests=tuple(orjson.loads(fields["requests"])),
        )

    def extend(self, work: Work, fence: int, lease_s: float) -> bool:
        """Make a held lease last `lease_s` from now. False when it is not ours any more."""
        return bool(self._run("extend", self.now_ms(), str(work), fence, int(lease_s * 1000)))

    def step(self, work: Work, fence: int, commands: Sequence[object]) -> None:
        """Carry out commands in the middle of a held lease, in one step. Raises LeaseLost when the lease is not ours any
        more: then nothing was written."""
        if not self._run("step", self.now_ms(), str(work), fence, *commands):
            raise LeaseLost(f"{work}: the lease under fence {fence} ended", subject=work.subject)

    def complete(
        self,
        work: Work,
        fence: int,
        again: Mark | None = None,
        *,
        met_fence: int = 0,
        commands: Sequence[object] = (),
    ) -> bool:
        """End a held lease; `again` is when the work is due next, `commands` are carried out in the same step.

        False when the lease was not ours any more: then nothing was written.
        """
        at = (again.at_ms or self.now_ms()) if again else 0
        lane, reason = (int(again.lane), again.reason) if again else (int(Lane.PERIODIC), "")
        return bool(self._run("complete", self.now_ms(), str(work), fence, at, lane, reason, met_fence, *commands))

    def release(self, work: Work, fence: int) -> bool:
        """Give back a lease that never reached the broker: due again at once. False when it was claimed or has ended.

        A message that got through all the same finds no lease, and does nothing.
        """
        return bool(self._run("release", self.now_ms(), str(work), fence))

    def shut(self, destination: str, for_s: float) -> bool:
        """Grant nothing for a destination but what an operator wants: it does not answer, or asked for time. True when it
        was not shut before."""
        now_ms = self.now_ms()
        return not self._run("shut", now_ms, destination, now_ms + min(int(for_s * 1000), FAR_MS))

    def open(self, destination: str) -> bool:
        """Grant again for a destination. False when it was not shut."""
        return bool(self._run("shut", self.now_ms(), destination, 0))

    def expire(self, lease_s: float) -> list[Expired]:
        """Take back the leases that ended without completion."""
        self._clock_jumped(lease_s)
        raw = self._run("expire", self.now_ms(), int(lease_s * 1000), MOST_ATTEMPTS)
        return undamaged(f"{self._prefix}leases", _rows(raw), _expired, self._forget_row)

    def wait(self, timeout_s: float) -> None:
        """Return when something changed, or after the time."""
        self._redis.blpop([f"{self._prefix}wake"], timeout=max(timeout_s, 0.01))

    def wake(self) -> None:
        """Let the scheduler look now."""
        self._redis.lpush(f"{self._prefix}wake", "1")
        self._redis.ltrim(f"{self._prefix}wake", 0, 0)

    def look_at_fleet(self) -> None:
        """Ask the scheduler to read the fleet now."""
        self._redis.set(f"{self._prefix}look", "1")
        self.wake()

    def was_asked_to_look(self) -> bool:
        """Whether somebody asked; the wish is taken."""
        return bool(self._redis.delete(f"{self._prefix}look"))

    def next_ms(self, *, has_room: bool = True) -> int | None:
        """When the next thing happens by itself: a lease ends, or something comes due, or a destination opens, that there
        is room for."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(f"{self._prefix}grants-from")
        pipe.zrange(f"{self._prefix}leases", 0, 0, withscores=True)
        for name in ("shut", *(f"heads:{int(lane)}" for lane in Lane)):
            pipe.zrange(f"{self._prefix}{name}", 0, 0, withscores=True)
        grants_from, leases, *heads = pipe.execute()
        due = [max(rows[0][1], float(grants_from or 0)) for rows in heads if rows and has_room]
        moments = [rows[0][1] for rows in (leases,) if rows] + due
        return int(min(moments)) if moments else None

    def forget(self, works: Iterable[Work]) -> None:
        """Take works out of the queue. A lease that is held goes on to its end."""
        for some in at_most(works, MARKS_A_STEP):
            self._run("forget", self.now_ms(), orjson.dumps([str(work) for work in some]))

    def missing(self, works: Iterable[Work]) -> frozenset[Work]:
        """Those of these that nothing makes run: neither due nor leased nor parked."""
        found = set[Work]()
        for some in at_most(works, MARKS_A_STEP):
            found |= {Work.parse(name.decode()) for name in self._run("missing", self.now_ms(), *map(str, some))}
        return frozenset(found)

    def is_known(self) -> bool:
        """Whether this Redis is the one that was seen before."""
        return bool(self._redis.exists(f"{self._prefix}boot"))

    def seen_before(self, *, quarantine_s: float) -> bool:
        """Whether this Redis is the one that was seen before. A new or emptied one grants nothing for a lease length,
        since somebody may still hold a lease that it does not know of."""
        return not self._run("boot", self.now_ms(), int(quarantine_s * 1000))

    def _forget_row(self, row: list[Any]) -> None:
        """What is no work leaves the queue; a lease that it was just given ends by itself, and it is forgotten again."""
        self._run("forget", self.now_ms(), orjson.dumps([row[0]]))

    def _wall_ahead_s(self) -> float:
        return self._clock.now().timestamp() - self._clock.boot_s()

    def _clock_jumped(self, lease_s: float) -> bool:
        """Whether the wall clock was set forward since the last look: leases and quarantines then ended before their
        time, so a whole lease length passes without a grant."""
        before_s, self._ahead_s = self._ahead_s, self._wall_ahead_s()
        if self._ahead_s - before_s < JUMP_S:
            return False
        self._redis.set(f"{self._prefix}grants-from", self.now_ms() + int(lease_s * 1000))
        return True

    def _run(self, name: str, *args: object) -> Any:
        return self._scripts[name](keys=[], args=[self._prefix, *args])


def wishes(marks: Iterable[Mark], now_ms: int) -> Iterator[bytes]:
    """Marks as the scripts take them, in lists of so many."""
    for some in at_most(marks, MARKS_A_STEP):
        yield orjson.dumps(
            [
                [str(one.work), int(one.lane), one.at_ms or now_ms, one.reason, one.commit, one.full, one.request]
                for one in some
            ]
        )


def _rows(raw: bytes) -> list[list[Any]]:
    """A script's answer. What is no text in one row must not hide the others."""
    return list(orjson.loads(raw.decode(errors="replace")))


def _work(text: str) -> Work:
    """Raises ValueError for what is no work, or a sync of no instance."""
    work = Work.parse(text)
    if work.kind == "sync":
        InstanceKey.parse(work.subject)
    return work


def _expired(row: list[Any]) -> Expired:
    work, held, attempts, parked, requests = row
    return Expired(_work(work), held, attempts, parked, tuple(orjson.loads(requests)))


def _grant(row: list[Any]) -> Grant:
    work, fence, lane, reasons, commit, full, requests = row
    return Grant(
        work=_work(work),
        fence=int(fence),
        lane=Lane(int(lane)),
        reasons=tuple(orjson.loads(reasons)),
        commit=commit,
        full=bool(full),
        requests=tuple(orjson.loads(requests)),
    )
