"""Which scheduler leads: one lock, renewed by its holder, taken over when it runs out or is let go."""

from __future__ import annotations

import secrets
from typing import Any

import redis

_RENEW = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end"
)
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"


class Leader:
    """One contender. Leading only makes the work be done once; correctness rests on leases."""

    def __init__(self, client: redis.Redis, prefix: str, *, ttl_s: float = 10.0) -> None:
        self._redis: Any = client
        self._key = f"{prefix}leader"
        self._token = secrets.token_hex(8)
        self._ttl_ms = int(ttl_s * 1000)
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)

    def leads(self) -> bool:
        """Take or renew the lock; whether we lead now."""
        if self._renew(keys=[self._key], args=[self._token, self._ttl_ms]):
            return True
        return bool(self._redis.set(self._key, self._token, nx=True, px=self._ttl_ms))

    def release(self) -> None:
        """Let another lead at once."""
        self._release(keys=[self._key], args=[self._token])
