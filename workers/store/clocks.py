"""How far the clocks of machines are apart. Due times and leases are written by one machine and read by another, so a worker
whose clock is not the scheduler's would find every lease ended, or none. Redis' own clock is only the place where the two
meet: if it is the one that is wrong, nothing follows from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from reconciler.clock import Clock

MOST_APART_S = 5.0


def told(ahead_s: float) -> str:
    """What is wrong with a clock, and the way out."""
    where = "ahead of" if ahead_s > 0 else "behind"
    return f"its clock is {abs(ahead_s):.0f} s {where} the scheduler's, so it takes no work; set it (NTP)"


class Clocks:
    def __init__(self, client: redis.Redis, clock: Clock, prefix: str) -> None:
        self._redis: Any = client
        self._clock, self._leader, self._apart = clock, f"{prefix}leader-clock", f"{prefix}clocks-apart"

    def lead(self) -> None:
        """Say that this process' clock is the one that due times are written by."""
        self._redis.set(self._leader, f"{self._ahead_of_redis_s():.3f}")

    def ahead_of_leader_s(self) -> float:
        """How far this process' clock is ahead of the leading scheduler's, in seconds; 0 while none has led."""
        leader = self._redis.get(self._leader)
        return self._ahead_of_redis_s() - float(leader) if leader is not None else 0.0

    def note(self, process: str, ahead_s: float) -> None:
        """Note a process that takes no work for its clock, or, with 0, that it does again."""
        if ahead_s:
            self._redis.hset(self._apart, process, f"{ahead_s:.0f}")
        else:
            self._redis.hdel(self._apart, process)

    def apart(self) -> Mapping[str, float]:
        """The processes that take no work, and how far their clocks are ahead, in seconds."""
        return {name.decode(): float(ahead) for name, ahead in sorted(self._redis.hgetall(self._apart).items())}

    def _ahead_of_redis_s(self) -> float:
        before = self._clock.now().timestamp()
        seconds, microseconds = self._redis.time()
        after = self._clock.now().timestamp()
        return (before + after) / 2 - (float(seconds) + float(microseconds) / 1e6)
