"""The lease as its holder sees it: extended by a thread, judged by a clock that counts suspended time.

The local deadline counts from before the extending request was sent, so it never outlasts what Redis believes. When Redis
can't be reached the guard just runs out. A holder that was stopped (SIGSTOP, a suspended machine) finds its time over at
the next request, before anything is sent.
"""

from __future__ import annotations

import threading

import redis
import structlog

from reconciler.clock import Clock
from reconciler.errors import LeaseLost
from workers.messages import Work
from workers.store.due import DueQueue

log = structlog.get_logger()


class RedisGuard:
    """Holds one claimed lease for the time of a `with` block."""

    def __init__(self, queue: DueQueue, work: Work, fence: int, lease_s: float, clock: Clock) -> None:
        self._queue, self._work, self._lease_s, self._clock = queue, work, lease_s, clock
        self.fence = fence
        self._deadline_s = clock.boot_s() + lease_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {work}", daemon=True)

    def __enter__(self) -> RedisGuard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def remaining_s(self) -> float:
        """Seconds for which a request may still run. Raises LeaseLost when none are left."""
        left_s = self._deadline_s - self._clock.boot_s()
        if left_s <= 0:
            raise LeaseLost(f"{self._work}: the lease under fence {self.fence} ended", subject=self._work.subject)
        return left_s

    def _keep(self) -> None:
        while not self._ended.wait(self._lease_s / 3):
            begun_s = self._clock.boot_s()
            if begun_s >= self._deadline_s:
                return
            try:
                if not self._queue.extend(self._work, self.fence, self._lease_s):
                    self._deadline_s = begun_s
                    return
            except redis.RedisError as error:
                log.warning("lease_not_extended", work=str(self._work), error=type(error).__name__)
                continue
            self._deadline_s = begun_s + self._lease_s
