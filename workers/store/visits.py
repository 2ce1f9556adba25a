"""Places at Git hosts: how many fetch from one at once, over all workers on all machines.

After a commit that concerns five hundred instances, fifty machines lack it at the same moment. Look-ups are bounded by the
due queue; every fetch by a worker waits here. A place that its holder died with runs out by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from reconciler.clock import Clock
from reconciler.errors import GitCrowded
from reconciler.model.spec import LONGEST_FETCH
from workers.messages import git_host

MOST = 8
HELD_S = LONGEST_FETCH.total_seconds() + 30.0
"""No fetch lasts longer, so a place held for longer is nobody's."""
LONGEST_WAIT_S = 60.0
LOOK_AGAIN_S = 5.0
"""Who waits is told when a place comes free; only one that ran out tells nobody."""
_TAKE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""
_LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[2], '1')
redis.call('LTRIM', KEYS[2], 0, 0)
redis.call('PEXPIRE', KEYS[2], 60000)
"""


class Visits:
    """`most` fetches at once of each host."""

    def __init__(self, client: redis.Redis, prefix: str, clock: Clock, *, most: int = MOST) -> None:
        self._redis: Any = client
        self._prefix, self._clock, self._most = prefix, clock, most
        self._take, self._leave = client.register_script(_TAKE), client.register_script(_LEAVE)

    @contextmanager
    def to(self, url: str) -> Iterator[None]:
        """Hold a place at a repository's host inside the block; a folder has none. Raises GitCrowded when none came free."""
        host = git_host(url)
        if not host:
            yield
            return
        token = secrets.token_hex(8)
        self._await(host, token)
        try:
            yield
        finally:
            self._leave(keys=[self._places(host), self._free(host)], args=[token])

    def _await(self, host: str, token: str) -> None:
        until_s = self._clock.boot_s() + LONGEST_WAIT_S
        while not self._taken(host, token):
            left_s = until_s - self._clock.boot_s()
            if left_s <= 0:
                raise GitCrowded(
                    f"{host}: {self._most} fetches from this Git host are under way; tried again soon",
                    subject=host,
                    retry=5.0,
                )
            self._redis.blpop([self._free(host)], timeout=min(left_s, LOOK_AGAIN_S))

    def _taken(self, host: str, token: str) -> bool:
        now_ms, held_ms = int(self._clock.now().timestamp() * 1000), int(HELD_S * 1000)
        return bool(self._take(keys=[self._places(host)], args=[now_ms, self._most, now_ms + held_ms, token, held_ms]))

    def _places(self, host: str) -> str:
        return f"{self._prefix}fetching:{host}"

    def _free(self, host: str) -> str:
        return f"{self._prefix}fetched:{host}"
