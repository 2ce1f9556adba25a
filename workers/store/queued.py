"""What is due and what is leased, for those that look at the queue and change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import redis

from reconciler.clock import Clock
from workers.messages import Lane, Work, WorkKind, kind_of
from workers.store.batches import at_most
from workers.store.damaged import undamaged


class Queued:
    def __init__(self, client: redis.Redis, clock: Clock, prefix: str) -> None:
        self._redis: Any = client
        self._clock, self._prefix = clock, prefix

    def states(self) -> Mapping[Work, tuple[str, int]]:
        """Every due or leased work: (`due`, due time) or (`granted` | `claimed`, end of its lease), in ms."""
        queues = self._queues()
        pipe = self._redis.pipeline(transaction=False)
        pipe.smembers(f"{self._prefix}granted")
        pipe.zrange(f"{self._prefix}leases", 0, -1, withscores=True)
        for name in queues:
            pipe.zrange(name, 0, -1, withscores=True)
        granted, leases, *waiting = pipe.execute()
        due = [(name, "due", at) for rows in waiting for name, at in rows]
        held = [(name, "granted" if name in granted else "claimed", at) for name, at in leases]
        return dict(undamaged("due", [*due, *held], _state, lambda _: None))  # the scheduler drops what is no work

    def states_of(self, works: Iterable[Work]) -> Mapping[Work, tuple[str, int]]:
        """The same of these works only, at the cost of these."""
        found = dict[Work, tuple[str, int]]()
        for some in at_most(works):
            pipe = self._redis.pipeline()  # in one step: work that moves on is neither missed nor told of twice
            for work in some:
                pipe.sismember(f"{self._prefix}granted", str(work))
                pipe.zscore(f"{self._prefix}leases", str(work))
                for lane in Lane:
                    pipe.zscore(f"{self._prefix}due:{int(lane)}:{work.project}:{work.destination}", str(work))
            rows, width = pipe.execute(), 2 + len(Lane)
            for place, work in enumerate(some):
                is_granted, lease_ends, *waits = rows[place * width : (place + 1) * width]
                due = [at for at in waits if at is not None]
                if lease_ends is not None:
                    found[work] = ("granted" if is_granted else "claimed", int(lease_ends))
                elif due:
                    found[work] = ("due", int(due[0]))
        return found

    def waiting(self) -> Mapping[WorkKind, tuple[int, int]]:
        """How much of each kind is due and waits for a worker, not for its destination to open, and since when the first of
        it, in ms. No work is read for it, only how long the queues are."""
        now_ms, shut = int(self._clock.now().timestamp() * 1000), self.shut_until()
        found = dict[WorkKind, tuple[int, int]]()
        for some in at_most(self._redis.smembers(f"{self._prefix}queues")):
            names = [name for name in (raw.decode() for raw in some) if name.split(":", 2)[2] not in shut]
            firsts = self._of_each("zrange", names, 0, 0, withscores=True)
            late = {name: int(rows[0][1]) for name, rows in zip(names, firsts, strict=True) if rows}
            late = {name: at_ms for name, at_ms in late.items() if at_ms <= now_ms}
            counts = self._of_each("zcount", late, "-inf", now_ms)
            for (name, at_ms), count in zip(late.items(), counts, strict=True):
                kind = kind_of(name.split(":", 2)[1])
                known, since_ms = found.get(kind, (0, at_ms))
                found[kind] = known + count, min(since_ms, at_ms)
        return found

    def waiting_in_broker(self) -> int:
        """Grants that nobody has claimed yet."""
        return int(self._redis.scard(f"{self._prefix}granted"))

    def leases(self) -> int:
        """How much is granted or held."""
        return int(self._redis.zcard(f"{self._prefix}leases"))

    def leased(self, works: Iterable[Work]) -> frozenset[Work]:
        """Those of these that are granted or held now."""
        wanted = list(works)
        pipe = self._redis.pipeline(transaction=False)
        for work in wanted:
            pipe.exists(f"{self._prefix}lease:{work}")
        return frozenset(work for work, is_leased in zip(wanted, pipe.execute(), strict=True) if is_leased)

    def reasons(self, works: Iterable[Work]) -> Mapping[Work, tuple[str, ...]]:
        """Why leased works run."""
        wanted = list(works)
        pipe = self._redis.pipeline(transaction=False)
        for work in wanted:
            pipe.hget(f"{self._prefix}lease:{work}", "reasons")
        return {
            work: tuple(orjson.loads(raw)) for work, raw in zip(wanted, pipe.execute(), strict=True) if raw is not None
        }

    def parked(self) -> frozenset[Work]:
        """Works that killed three children and wait for a commit or an operator."""
        return frozenset(Work.parse(name.decode()) for name in self._redis.smembers(f"{self._prefix}parked"))

    def shut_until(self) -> Mapping[str, int]:
        """Destinations that are shut, and until when, in ms."""
        rows = self._redis.zrange(f"{self._prefix}shut", 0, -1, withscores=True)
        return {name.decode(): int(until) for name, until in rows}

    def _of_each(self, command: str, queues: Iterable[str], *words: object, **more: object) -> list[Any]:
        """What a command answers for each of these queues."""
        pipe = self._redis.pipeline(transaction=False)
        for name in queues:
            getattr(pipe, command)(f"{self._prefix}due:{name}", *words, **more)
        return list(pipe.execute())

    def _queues(self) -> list[str]:
        """The keys of all queues that hold something."""
        return [f"{self._prefix}due:{name.decode()}" for name in self._redis.smembers(f"{self._prefix}queues")]


def _state(row: tuple[bytes, str, float]) -> tuple[Work, tuple[str, int]]:
    name, state, at = row
    return Work.parse(name.decode()), (state, int(at))
