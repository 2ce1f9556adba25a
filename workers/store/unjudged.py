"""The instances that wait for the next look at their repository, which makes them due whatever it finds, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import redis

from reconciler.model.instance import InstanceKey
from workers.store.batches import at_most, fields_of
from workers.store.closures import short
from workers.store.damaged import fields, members


class Unjudged:
    """By look-up: `url` is what the look-up of a repository is called (`RepositoryAccess.subject`)."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix, self._urls = prefix, f"{prefix}waited-for"

    def add(self, url: str, reasons: Mapping[InstanceKey, str]) -> None:
        """Let the next look at a repository make instances due, for these reasons, whatever the commit."""
        if reasons:
            self._redis.sadd(self._urls, url)  # first: no instance waits where nobody finds it
        for some in at_most(reasons):
            self._redis.hset(self._at(url), mapping={str(key): reasons[key] for key in some})

    def at(self, url: str) -> Mapping[InstanceKey, str]:
        """The instances that wait for a look at a repository, and why."""
        return self._reasons(url, self._redis.hgetall(self._at(url)))

    def of(self, urls: Mapping[InstanceKey, str]) -> frozenset[InstanceKey]:
        """Those of a few that wait, each for the look-up that stands beside it."""
        return frozenset(fields_of(self._redis, urls, self._at))

    def anywhere(self) -> Mapping[str, Mapping[InstanceKey, str]]:
        """The same of all look-ups for which instances wait or once did, whether or not they are in force."""
        urls = sorted(members(self._redis, self._urls, self._redis.smembers(self._urls), bytes.decode))
        pipe = self._redis.pipeline(transaction=False)
        for url in urls:
            pipe.hgetall(self._at(url))
        return {url: self._reasons(url, found) for url, found in zip(urls, pipe.execute(), strict=True)}

    def forget(self, url: str, keys: Iterable[InstanceKey]) -> None:
        """These do not wait for a look at a repository any more."""
        for some in at_most(keys):
            self._redis.hdel(self._at(url), *(str(key) for key in some))

    def forget_urls(self, urls: Iterable[str]) -> None:
        """Nobody waits for these look-ups any more, and nobody will."""
        for some in at_most(urls):
            self._redis.srem(self._urls, *some)

    def _reasons(self, url: str, found: Mapping[bytes, bytes]) -> dict[InstanceKey, str]:
        return dict(fields(self._redis, self._at(url), found, _reason))

    def _at(self, url: str) -> str:
        return f"{self._prefix}unjudged:{short(url)}"


def _reason(key: bytes, reason: bytes) -> tuple[InstanceKey, str]:
    return InstanceKey.parse(key.decode()), reason.decode()
