"""Which instances read in which folders of a repository, so that a commit is judged at the cost of what it changed.

`heads` says through which commit all instances of a repository and ref were judged, except for the open ones. An open one
waits to be synced, failed, or has never been looked at here: each later commit concerns it. What a repository's readers are
is learnt from each sync that ended; entries that became stale lead to an instance once too often and are dropped then.
Lost or not, all of it is made anew every few hours by a look at the whole (`is_whole`), so nothing is missed for long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import Ref, Source

WHOLE_FOR_S = 6 * 3600
UNION_AT_ONCE = 1000


class Closures:
    """`source` is that of an instance: its repository's URL and its ref."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def head(self, source: Source) -> str:
        """The commit through which a source's instances were judged; empty when nothing is known."""
        raw = self._redis.hget(f"{self._prefix}judged", _field(source.repo.url, source.ref))
        return raw.decode() if raw else ""

    def heads(self) -> Mapping[str, str]:
        """All heads, by the words that `sources` of the specs keeps for each instance."""
        return {name.decode(): raw.decode() for name, raw in self._redis.hgetall(f"{self._prefix}judged").items()}

    def heads_of(self, url: str) -> Mapping[Ref, str]:
        """The heads of a repository."""
        return {ref: commit for name, commit in self.heads().items() if (ref := _ref_of(name, url)) is not None}

    def open(self, url: str) -> Mapping[InstanceKey, str]:
        """The open instances of a repository, with the commit by which each was made due last; empty where none was."""
        found = self._redis.hgetall(self._open(url))
        return {InstanceKey.parse(key.decode()): commit.decode() for key, commit in found.items()}

    def open_anywhere(self, urls: Iterable[str]) -> frozenset[InstanceKey]:
        """The open instances of some repositories."""
        pipe = self._redis.pipeline(transaction=False)
        for url in urls:
            pipe.hkeys(self._open(url))
        return frozenset(InstanceKey.parse(key.decode()) for keys in pipe.execute() for key in keys)

    def reading(self, url: str, folders: Collection[str]) -> frozenset[InstanceKey]:
        """The instances that read in one of these folders, and some that did once."""
        keys = [self._readers(url, folder) for folder in folders]
        found: set[bytes] = set()
        for start in range(0, len(keys), UNION_AT_ONCE):
            found |= self._redis.sunion(keys[start : start + UNION_AT_ONCE])
        return frozenset(InstanceKey.parse(one.decode()) for one in found)

    def is_whole(self, url: str) -> bool:
        """Whether all of a repository's instances were looked at lately."""
        return bool(self._redis.exists(f"{self._prefix}whole:{_short(url)}"))

    def note_whole(self, url: str) -> None:
        self._redis.set(f"{self._prefix}whole:{_short(url)}", b"1", ex=WHOLE_FOR_S)

    def know(self, key: InstanceKey, url: str, folders: Iterable[str]) -> None:
        """An instance is as the head says, and this is where its render read."""
        for folder in folders:
            self._redis.sadd(self._readers(url, folder), str(key))
        self._redis.hdel(self._open(url), str(key))

    def know_all(self, url: str, read: Mapping[InstanceKey, Collection[str]]) -> None:
        """The same for many, in one step."""
        with self._redis.pipeline() as pipe:
            mine = Closures(pipe, self._prefix)
            for key, folders in read.items():
                mine.know(key, url, folders)
            pipe.execute()

    def reopen(self, key: InstanceKey, url: str, commit: str = "") -> None:
        """Nothing is known of what an instance reads: each commit but this one concerns it."""
        self._redis.hset(self._open(url), str(key), commit)

    def reopen_all(self, url: str, keys: Iterable[InstanceKey]) -> None:
        rows = {str(key): "" for key in keys}
        if rows:
            self._redis.hset(self._open(url), mapping=rows)

    def advance(self, url: str, heads: Mapping[Ref, str], made_due: Mapping[InstanceKey, str]) -> None:
        """Note what a look has judged, once its wishes are in the queue. One that was synced meanwhile stays known."""
        still = self._redis.hmget(self._open(url), [str(key) for key in made_due]) if made_due else []
        with self._redis.pipeline() as pipe:
            for (key, commit), raw in zip(made_due.items(), still, strict=True):
                if raw is not None:
                    pipe.hset(self._open(url), str(key), commit)
            for ref, commit in heads.items():
                pipe.hset(f"{self._prefix}judged", _field(url, ref), commit)
            pipe.execute()

    def forget(self, key: InstanceKey, url: str, folders: Iterable[str] = ()) -> None:
        """An instance does not use a repository any more, or does not read in these folders."""
        for folder in folders:
            self._redis.srem(self._readers(url, folder), str(key))
        self._redis.hdel(self._open(url), str(key))

    def drop_readers(self, url: str, folders: Iterable[str], keys: Collection[InstanceKey]) -> None:
        """These do not read in these folders."""
        if keys:
            for folder in folders:
                self._redis.srem(self._readers(url, folder), *(str(key) for key in keys))

    def _open(self, url: str) -> str:
        return f"{self._prefix}open:{_short(url)}"

    def _readers(self, url: str, folder: str) -> str:
        return f"{self._prefix}readers:{_short(f'{url} {folder}')}"


def source_words(source: Source) -> str:
    """A source as `sources` of the specs keeps it."""
    return _field(source.repo.url, source.ref)


def _field(url: str, ref: Ref) -> str:
    return f"{url}\n{ref.model_dump_json(exclude_none=True)}"


def _ref_of(name: str, url: str) -> Ref | None:
    mine, _, text = name.partition("\n")
    return Ref.model_validate_json(text) if mine == url else None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
