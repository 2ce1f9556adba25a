"""The due queue and the leases: what should run, and who may run it (invariant 2).

Each step is one Lua script, so that no crash and no second process can fall between its parts. Times come from the
caller's clock in milliseconds; fences are such times, never repeated and never falling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import orjson
import redis

from reconciler.clock import Clock
from workers.messages import Grant, Lane, Mark, Work
from workers.store.keys import PREFIX

MOST_ATTEMPTS = 3
SCRIPTS = ("mark", "grant", "claim", "extend", "complete", "expire")


@dataclass(frozen=True, slots=True)
class Expired:
    """A lease that was taken back. `held` when its child had claimed it, so that the child is lost."""

    work: Work
    held: bool
    attempts: int

    @property
    def is_parked(self) -> bool:
        return self.attempts >= MOST_ATTEMPTS


class DueQueue:
    """One queue per Redis; any number of processes may mark, claim and complete, one grants."""

    def __init__(self, client: redis.Redis, clock: Clock, prefix: str = PREFIX) -> None:
        # redis-py types every answer for its asynchronous client too; this one is synchronous.
        self._redis: Any = client
        self._clock, self._prefix = clock, prefix
        folder = resources.files("workers.store") / "lua"
        self._scripts: dict[str, Any] = {
            name: client.register_script((folder / f"{name}.lua").read_text()) for name in SCRIPTS
        }

    def now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    def mark(self, marks: Iterable[Mark]) -> None:
        """Wish for work; all wishes in one step each five hundred."""
        rows = [
            [str(one.work), int(one.lane), one.at_ms or self.now_ms(), one.reason, one.commit, one.full, one.request]
            for one in marks
        ]
        for start in range(0, len(rows), 500):
            self._run("mark", self.now_ms(), orjson.dumps(rows[start : start + 500]))

    def grant(self, budget: int, lease_s: float) -> list[Grant]:
        """Lease up to `budget` due works, most urgent lane first, projects in turn."""
        if budget <= 0:
            return []
        raw = self._run("grant", self.now_ms(), budget, int(lease_s * 1000))
        return [_grant(row) for row in orjson.loads(raw)]

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

    def complete(self, work: Work, fence: int, again: Mark | None = None, *, met_fence: int = 0) -> bool:
        """End a held lease; `again` is when the work is due next. False when the lease was not ours any more."""
        at = (again.at_ms or self.now_ms()) if again else 0
        lane, reason = (int(again.lane), again.reason) if again else (int(Lane.PERIODIC), "")
        return bool(self._run("complete", self.now_ms(), str(work), fence, at, lane, reason, met_fence))

    def expire(self, lease_s: float) -> list[Expired]:
        """Take back the leases that ended without completion."""
        raw = self._run("expire", self.now_ms(), int(lease_s * 1000), MOST_ATTEMPTS)
        return [Expired(Work.parse(work), state == "claimed", attempts) for work, state, attempts in orjson.loads(raw)]

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

    def next_ms(self) -> int | None:
        """When the next thing happens by itself: something comes due or a lease ends. None when nothing is known."""
        pipe = self._redis.pipeline(transaction=False)
        for name in (*(f"due:{int(lane)}" for lane in Lane), "leases"):
            pipe.zrange(f"{self._prefix}{name}", 0, 0, withscores=True)
        scores = [rows[0][1] for rows in pipe.execute() if rows]
        return int(min(scores)) if scores else None

    def waiting_in_broker(self) -> int:
        """Grants that nobody has claimed yet."""
        return int(self._redis.scard(f"{self._prefix}granted"))

    def forget(self, works: Iterable[Work]) -> None:
        """Take works out of the queue. A lease that is held goes on to its end."""
        pipe = self._redis.pipeline(transaction=False)
        for work in works:
            for lane in Lane:
                pipe.zrem(f"{self._prefix}due:{int(lane)}", str(work))
            pipe.delete(f"{self._prefix}want:{work}")
        pipe.execute()

    def parked(self) -> frozenset[Work]:
        """Works that killed three children and wait for a commit or an operator."""
        return frozenset(Work.parse(name.decode()) for name in self._redis.smembers(f"{self._prefix}parked"))

    def states(self) -> Mapping[Work, tuple[str, int]]:
        """Every due or leased work: (`due`, due time) or (`granted` | `claimed`, end of its lease), in ms."""
        found: dict[Work, tuple[str, int]] = {}
        for lane in Lane:
            for name, score in self._redis.zrange(f"{self._prefix}due:{int(lane)}", 0, -1, withscores=True):
                found[Work.parse(name.decode())] = ("due", int(score))
        granted = self._redis.smembers(f"{self._prefix}granted")
        for name, score in self._redis.zrange(f"{self._prefix}leases", 0, -1, withscores=True):
            state = "granted" if name in granted else "claimed"
            found[Work.parse(name.decode())] = (state, int(score))
        return found

    def seen_before(self, *, quarantine_s: float) -> bool:
        """Whether this Redis is the one that was seen before. A new or emptied one grants nothing for a lease length,
        since somebody may still hold a lease that it does not know of."""
        fresh = self._redis.set(f"{self._prefix}boot", self.now_ms(), nx=True)
        if fresh:
            self._redis.set(f"{self._prefix}grants-from", self.now_ms() + int(quarantine_s * 1000))
        return not fresh

    def _run(self, name: str, *args: object) -> Any:
        return self._scripts[name](keys=[], args=[self._prefix, *args])


def _grant(row: list[Any]) -> Grant:
    work, fence, lane, reasons, commit, full, requests, attempts = row
    return Grant(
        work=Work.parse(work),
        fence=int(fence),
        lane=Lane(int(lane)),
        reasons=tuple(orjson.loads(reasons)),
        commit=commit,
        full=bool(full),
        requests=tuple(orjson.loads(requests)),
        attempts=int(attempts),
    )
