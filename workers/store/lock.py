"""Locks that name their holder and run out: renewed by it alone, let go by it alone."""

from __future__ import annotations

from typing import Any

import redis

_RENEW = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end"
)
_RELEASE = (
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
    "if KEYS[2] then redis.call('LPUSH', KEYS[2], '1') redis.call('LTRIM', KEYS[2], 0, 0) end "
    "return redis.call('DEL', KEYS[1])"
)


class Locks:
    """Locks by the key that each of them is."""

    def __init__(self, client: redis.Redis, *, ttl_s: float) -> None:
        self._redis: Any = client
        self._ttl_ms = int(ttl_s * 1000)
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)

    def take(self, key: str, holder: str) -> bool:
        """Take or renew a lock; whether it is the holder's now."""
        return self.renew(key, holder) or bool(self._redis.set(key, holder, nx=True, px=self._ttl_ms))

    def renew(self, key: str, holder: str) -> bool:
        """Whether it was the holder's still."""
        return bool(self._renew(keys=[key], args=[holder, self._ttl_ms]))

    def release(self, key: str, holder: str, *, wakes: str = "") -> None:
        """Let it go; who waits at the list `wakes` is told."""
        self._release(keys=[key, wakes] if wakes else [key], args=[holder])
