"""Which instances read in which folders of a repository, so that a commit is judged at the cost of what it changed.

`heads` says through which commit all instances of a repository and ref were judged, except for the open ones. An open one
waits to be synced, failed, or has never been looked at here: each later commit concerns it. What a repository's readers are
is learnt from each sync that ended; entries that became stale lead to an instance once too often and are dropped then.
Lost or not, all of it is made anew every few hours by a look at the whole (`is_whole`), so nothing is missed for long. What
can't be read is dropped, and has the next look be one at the whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import redis
import structlog

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import Ref, Source
from workers.store.batches import at_most, fields_of

log = structlog.get_logger()
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
WHOLE_FOR_S = 6 * 3600
READERS_FOR_S = 4 * WHOLE_FOR_S
"""Each look at the whole notes all that instances read, and where none was lately, the next look is one: nothing relies on
older entries. What is never noted again is of a folder or repository that nobody uses."""


class Closures:
    """`source` is an instance's; `url` is what the look-up of its repository is called (`RepositoryAccess.subject`)."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def head(self, source: Source) -> str:
        """The commit through which a source's instances were judged; empty when nothing is known."""
        raw = self._redis.hget(f"{self._prefix}judged", _field(source.repo.subject, source.ref))
        return raw.decode() if raw else ""

    def heads(self) -> Mapping[str, str]:
        """All heads, by the words that `sources` of the specs keeps for each instance."""
        found = self._redis.hgetall(f"{self._prefix}judged").items()
        return {name.decode(errors="replace"): raw.decode(errors="replace") for name, raw in found}

    def heads_of(self, url: str) -> Mapping[Ref, str]:
        """The heads of a repository."""
        mine = {name: commit for name, commit in self.heads().items() if url_in(name) == url}
        found = {}
        for name, commit in mine.items():
            ref = ref_in(name)
            if ref is not None and _COMMIT.fullmatch(commit):
                found[ref] = commit
            else:
                self._drop(url, "judged", name)
        return found

    def open(self, url: str) -> Mapping[InstanceKey, str]:
        """The open instances of a repository, with the commit by which each was made due last; empty where none was."""
        found = {}
        for raw, commit in self._redis.hgetall(self._open(url)).items():
            if (key := _parsed(raw)) is not None:
                found[key] = commit.decode()
            else:
                self._drop(url, self._open(url).removeprefix(self._prefix), raw)
        return found

    def open_of(self, urls: Mapping[InstanceKey, str]) -> Mapping[InstanceKey, str]:
        """Those of a few that are open, each in the repository that stands beside it, with the commit as `open` gives it."""
        return {key: commit.decode() for key, commit in fields_of(self._redis, urls, self._open).items()}

    def reading(self, url: str, folders: Collection[str]) -> frozenset[InstanceKey]:
        """The instances that read in one of these folders, and some that did once."""
        found: set[bytes] = set()
        for some in at_most(folders):
            found |= self._redis.sunion([self._readers(url, folder) for folder in some])
        known = {raw: _parsed(raw) for raw in found}
        for raw in (raw for raw, key in known.items() if key is None):
            self._redis.delete(f"{self._prefix}whole:{short(url)}")
            for folder in folders:
                self._redis.srem(self._readers(url, folder), raw)
        return frozenset(key for key in known.values() if key is not None)

    def is_whole(self, url: str) -> bool:
        """Whether all of a repository's instances were looked at lately."""
        return bool(self._redis.exists(f"{self._prefix}whole:{short(url)}"))

    def note_whole(self, url: str) -> None:
        self._redis.set(f"{self._prefix}whole:{short(url)}", b"1", ex=WHOLE_FOR_S)

    def know(self, key: InstanceKey, url: str, folders: Collection[str]) -> None:
        """An instance is as the head says, and this is where its render read."""
        self.know_all(url, {key: folders})

    def know_all(self, url: str, folders: Mapping[InstanceKey, Collection[str]]) -> None:
        """The same for many, in few commands. All are readers before any is open no more: cut short between two commands,
        an instance is looked at once too often."""
        readers: dict[str, list[str]] = {}
        for key, mine in folders.items():
            for folder in mine:
                readers.setdefault(folder, []).append(str(key))
        for folder, keys in readers.items():
            for some in at_most(keys):
                self._redis.sadd(self._readers(url, folder), *some)
            self._redis.expire(self._readers(url, folder), READERS_FOR_S)
        for known in at_most(folders):
            self._redis.hdel(self._open(url), *map(str, known))

    def reopen(self, key: InstanceKey, url: str, commit: str = "") -> None:
        """Nothing is known of what an instance reads: each commit but this one concerns it."""
        self._redis.hset(self._open(url), str(key), commit)

    def reopen_all(self, url: str, commits: Mapping[InstanceKey, str]) -> None:
        """The same for many, each with the commit that does not concern it; empty where there is none."""
        for some in at_most(commits):
            self._redis.hset(self._open(url), mapping={str(key): commits[key] for key in some})

    def advance(self, url: str, heads: Mapping[Ref, str], lost: Iterable[Ref] = ()) -> None:
        """Note through which commits a repository's refs are judged from now on, and that some refs are not there: what is
        judged by the last commit of a ref that went would be taken to be as Git says."""
        for ref, commit in heads.items():
            self._redis.hset(f"{self._prefix}judged", _field(url, ref), commit)
        for ref in lost:
            self._redis.hdel(f"{self._prefix}judged", _field(url, ref))

    def forget_heads(self, words: Iterable[str]) -> None:
        """Nobody has these sources any more, as `heads` calls them."""
        for some in at_most(words):
            self._redis.hdel(f"{self._prefix}judged", *some)

    def forget(self, keys: Iterable[InstanceKey], url: str) -> None:
        """Instances do not use a repository any more."""
        for some in at_most(keys):
            self._redis.hdel(self._open(url), *map(str, some))

    def drop_readers(self, url: str, folders: Iterable[str], keys: Collection[InstanceKey]) -> None:
        """These do not read in these folders."""
        for folder in folders:
            for some in at_most(keys):
                self._redis.srem(self._readers(url, folder), *(str(key) for key in some))

    def _drop(self, url: str, name: str, field: str | bytes) -> None:
        """Something wrote over an entry. It is gone, and so may be others that nobody can see."""
        log.warning("closure_index_damaged", url=url, where=name.partition(":")[0])
        self._redis.hdel(f"{self._prefix}{name}", field)
        self._redis.delete(f"{self._prefix}whole:{short(url)}")

    def _open(self, url: str) -> str:
        return f"{self._prefix}open:{short(url)}"

    def _readers(self, url: str, folder: str) -> str:
        return f"{self._prefix}readers:{short(f'{url} {folder}')}"


def source_words(source: Source) -> str:
    """A source as `sources` of the specs keeps it."""
    return _field(source.repo.subject, source.ref)


def url_in(words: str) -> str:
    """What the look-up is called, in a source's words; "" of none."""
    return words.partition("\n")[0]


def ref_in(words: str) -> Ref | None:
    """The ref in a source's words; None in what is damaged."""
    try:
        return Ref.model_validate_json(words.partition("\n")[2])
    except ValueError:
        return None


def _field(url: str, ref: Ref) -> str:
    return f"{url}\n{ref.model_dump_json(exclude_none=True)}"


def _parsed(raw: bytes) -> InstanceKey | None:
    try:
        return InstanceKey.parse(raw.decode())
    except ValueError:
        return None


def short(text: str) -> str:
    """What stands for a look-up, or for a folder of one, in the name of a key."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
