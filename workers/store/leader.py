"""Which scheduler leads: one lock, renewed by its holder, taken over when it runs out or is let go."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import structlog

from workers.store.lock import Locks

log = structlog.get_logger()
_LEAD = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) "
    "elseif not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end "
    "local last = redis.call('GET', KEYS[2]) "
    "if last == ARGV[1] then return 1 end "
    "redis.call('SET', KEYS[2], ARGV[1]) "
    "return last and 2 or 1"
)


class NotLeading(Exception):
    """Another leads, or has led since."""


class Leader:
    """One contender. Leading only makes the work be done once; correctness rests on leases."""

    def __init__(self, client: redis.Redis, prefix: str, *, ttl_s: float = 10.0) -> None:
        self._redis: Any = client
        self._key, self._free, self._last = f"{prefix}leader", f"{prefix}leader-free", f"{prefix}leader-last"
        self.token = secrets.token_hex(8)
        self._ttl_s = ttl_s
        self.is_new = False
        """Whether another led meanwhile, by the last `leads`; an emptied Redis knows of none."""
        self._lead = client.register_script(_LEAD)
        self._locks = Locks(client, ttl_s=ttl_s)

    def leads(self) -> bool:
        """Take or renew the lock; whether we lead now."""
        found = int(self._lead(keys=[self._key, self._last], args=[self.token, int(self._ttl_s * 1000)]))
        self.is_new = found > 1
        return found > 0

    def is_leading(self) -> bool:
        """Whether the lock is ours now; nothing is taken or renewed."""
        return bool(self._redis.get(self._key) == self.token.encode())

    def release(self) -> None:
        """Let another lead at once."""
        self._locks.release(self._key, self.token, wakes=self._free)

    def watch(self, pipe: Any) -> None:
        """Begin a transaction that fails when another leads before its end. Raises NotLeading.

        What is watched names who led last: the lock itself changes each time that it is renewed.
        """
        pipe.watch(self._last)
        if pipe.get(self._last) != self.token.encode():
            pipe.reset()
            raise NotLeading
        pipe.multi()

    def wait(self, timeout_s: float) -> None:
        """Stand by: return when the leader let go, or after the time."""
        self._redis.blpop([self._free], timeout=max(timeout_s, 0.01))

    @contextmanager
    def kept(self, longest_s: float) -> Iterator[None]:
        """Go on leading through something slow, like the fetch of a fleet or the publishing of a large one, for so long at
        most: a loop that hangs for ever must not lead for ever."""
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended, longest_s), name="leader", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _keep(self, ended: threading.Event, longest_s: float) -> None:
        every_s = self._ttl_s / 3
        for _ in range(int(longest_s / every_s)):
            if ended.wait(every_s):
                return
            try:
                self._locks.renew(self._key, self.token)
            except redis.RedisError as error:
                log.warning("lead_not_renewed", error=str(error))  # the next time may do before the lock runs out
