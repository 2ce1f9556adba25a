"""The fleet as a whole: the leader puts it in force in one step, and says what is wrong with it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import ClusterTarget, InstanceSpec, RepositoryAccess
from reconciler.text import bounded, printable
from workers.store.batches import at_most, grouped
from workers.store.closures import Closures, source_words, url_in
from workers.store.damaged import undamaged
from workers.store.leader import Leader, NotLeading
from workers.store.packed import pack
from workers.store.specs import DAMAGED, SpecStore
from workers.store.unjudged import Unjudged

MOST_SENTENCES, MOST_OF_SENTENCE = 200, 1000
"""Of the fleet's problems, and as many of its notes, and characters of each."""


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing changed: instances that are new, and those whose spec is another now."""

    new: frozenset[InstanceKey]
    changed: frozenset[InstanceKey]
    left: frozenset[InstanceKey] = frozenset()
    """Those that were published until now; what they own stays."""
    token: str = ""
    """Names what was put there, for `is_published`."""


class FleetStore:
    """Written by the leader. `SpecStore` reads the parts."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix, self._specs = prefix, SpecStore(client, prefix)

    def publish(
        self,
        specs: Mapping[InstanceKey, InstanceSpec],
        clusters: Mapping[str, ClusterTarget],
        repositories: Mapping[str, RepositoryAccess],
        *,
        leader: Leader | None = None,
        names: Mapping[InstanceKey, str] | None = None,
    ) -> Published:
        """Replace the fleet in one step. Specs that nobody has any more are dropped; those of what left are kept.

        What is new or wanted differently waits from the same step on to be judged by the next look at its repository. In a
        Redis that was empty everything looks new, and nothing waits merely because of that: the scans will tell. `names`
        are those of `names_of`, which takes seconds for a large fleet. Raises NotLeading when another has led since
        `leader` did: one that slept must not put an old fleet in force.
        """
        before, old = self._specs.digests(), self._specs.clusters()
        words = self._specs.source_words()
        relabelled = {name for name, one in clusters.items() if name in old and old[name].labels != one.labels}
        now = names_of(specs) if names is None else names
        gone = {key: digest for key, digest in before.items() if key not in now}
        new = frozenset(now.keys() - before.keys())
        changed = frozenset(key for key, digest in now.items() if before.get(key, digest) != digest)
        token = secrets.token_hex(8)
        pipe = self._redis.pipeline()
        if leader is not None:
            leader.watch(pipe)
        self._drop(pipe, gone, words)
        self._add(pipe, new)
        self._write(pipe, specs, now, before, words, relabelled)
        unjudged = Unjudged(pipe, self._prefix)
        is_rebuilt = not self._redis.exists(self._key("published"))
        for keys, why in ((frozenset() if is_rebuilt else new, "new"), (changed, "fleet changed")):
            for url, some in grouped(keys, lambda key: specs[key].source.repo.subject):
                unjudged.add(url, dict.fromkeys(some, why))
        self._replace(pipe, "clusters", {name: one.model_dump_json(by_alias=True) for name, one in clusters.items()})
        self._replace(
            pipe, "repositories", {url: one.model_dump_json(by_alias=True) for url, one in repositories.items()}
        )
        self._drop_heads(pipe, specs, repositories)
        pipe.set(self._key("published"), token)
        try:
            pipe.execute()
        except redis.WatchError as error:
            raise NotLeading from error
        self._drop_unused()
        return Published(new, changed, frozenset(gone), token)

    def is_published(self, token: str, count: int) -> bool:
        """Whether the fleet of so many instances that `publish` gave this token stands as it was put there."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(self._key("published"))
        pipe.hlen(self._key("instances"))
        return bool(pipe.execute() == [token.encode(), count])

    def note(
        self,
        revision: str,
        problems: Iterable[str],
        notes: Iterable[str] = (),
        rejected: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Keep which revision of the fleet is in force, what is wrong with it, and what is worth knowing: the first of it,
        as `first_of` says. `rejected` is by application: the places of its own `problems`, and the clusters on which what
        it said before holds (`kept`)."""
        row = {
            "revision": revision,
            "problems": first_of(problems),
            "notes": first_of(notes),
            "rejected": dict(rejected or {}),
        }
        self._redis.set(self._key("fleet"), orjson.dumps(row))

    def told(self) -> Mapping[str, Any]:
        raw = self._redis.get(self._key("fleet"))
        known = undamaged(self._key("fleet"), [raw] if raw else [], lambda one: dict(orjson.loads(one)), lambda _: None)
        return {"revision": "", "problems": [], "notes": [], "rejected": {}, **(known[0] if known else {})}

    def _add(self, pipe: Any, new: Collection[InstanceKey]) -> None:
        """What came back is wanted again, whatever was asked while it was away."""
        for some in at_most(new):
            pipe.hdel(self._key("left"), *map(str, some))
            pipe.srem(self._key("teardown"), *map(str, some))
        for cluster, keys in grouped(new, _cluster):
            for some in at_most(keys):
                pipe.sadd(self._key(f"on:{cluster}"), *map(str, some))

    def _drop(self, pipe: Any, gone: Mapping[InstanceKey, str], words: Mapping[InstanceKey, str]) -> None:
        """What is gone keeps its spec, under `left`, and nothing else."""
        for some in at_most(gone):
            fields = list(map(str, some))
            pipe.hdel(self._key("instances"), *fields)
            pipe.hdel(self._key("sources"), *fields)
            pipe.hset(self._key("left"), mapping={str(key): gone[key] for key in some})
        closures, unjudged = Closures(pipe, self._prefix), Unjudged(pipe, self._prefix)
        for url, keys in grouped(gone, lambda key: url_in(words.get(key, ""))):
            closures.forget(keys, url)
            unjudged.forget(url, keys)
        for cluster, keys in grouped(gone, _cluster):
            for some in at_most(keys):
                pipe.srem(self._key(f"on:{cluster}"), *map(str, some))

    def _drop_heads(
        self, pipe: Any, specs: Mapping[InstanceKey, InstanceSpec], repositories: Mapping[str, RepositoryAccess]
    ) -> None:
        """Repositories that are of the fleet no more are judged through no commit."""
        words = Closures(self._redis, self._prefix).heads()
        if strange := {one for one in words if url_in(one) not in repositories}:
            used = {spec.source.repo.subject for spec in specs.values()}
            Closures(pipe, self._prefix).forget_heads(one for one in strange if url_in(one) not in used)

    def _write(
        self,
        pipe: Any,
        specs: Mapping[InstanceKey, InstanceSpec],
        now: Mapping[InstanceKey, str],
        before: Mapping[InstanceKey, str],
        words: Mapping[InstanceKey, str],
        relabelled: Collection[str],
    ) -> None:
        """What differs from what stands there: specs with their names, and where each instance comes from."""
        mine = dict[int, str]()  # applications share their sources
        lost = self._lost(now)
        for some in at_most(now):
            texts, digests, sources, renamed = dict[str, bytes](), dict[str, str](), dict[str, str](), []
            for key in some:
                digest, source, came_from = now[key], specs[key].source, url_in(words.get(key, ""))
                is_renamed = came_from not in ("", source.repo.subject)
                if before.get(key) != digest or digest in lost or key.cluster in relabelled or is_renamed:
                    # Labels, and what look-ups are called, are in the text and not in the digest: nothing is wanted
                    # differently.
                    texts[digest] = pack(specs[key].to_json())
                if before.get(key) != digest:
                    digests[str(key)] = digest
                if id(source) not in mine:
                    mine[id(source)] = source_words(source)
                if words.get(key) != mine[id(source)]:
                    sources[str(key)] = mine[id(source)]
                if is_renamed:
                    renamed.append(key)
            for name, rows in (("specs", texts), ("instances", digests), ("sources", sources)):
                if rows:
                    pipe.hset(self._key(name), mapping=rows)
            self._rename(pipe, renamed, specs, words)

    def _lost(self, now: Mapping[InstanceKey, str]) -> Set[str]:
        """The names of specs whose texts are gone, where somebody met one that is."""
        if self._redis.get(self._key("published")) != DAMAGED:
            return frozenset()
        return {*now.values()} - {name.decode(errors="replace") for name in self._redis.hkeys(self._key("specs"))}

    def _rename(
        self,
        pipe: Any,
        renamed: Collection[InstanceKey],
        specs: Mapping[InstanceKey, InstanceSpec],
        words: Mapping[InstanceKey, str],
    ) -> None:
        """Instances whose look-up is called otherwise now: under the new name nobody knows what they read."""
        closures = Closures(pipe, self._prefix)
        for url, keys in grouped(renamed, lambda key: url_in(words[key])):
            closures.forget(keys, url)
        for url, keys in grouped(renamed, lambda key: specs[key].source.repo.subject):
            closures.reopen_all(url, dict.fromkeys(keys, ""))

    def _replace(self, pipe: Any, name: str, rows: Mapping[str, str]) -> None:
        pipe.delete(self._key(name))
        if rows:
            pipe.hset(self._key(name), mapping=rows)

    def _drop_unused(self) -> None:
        stored = self._redis.hkeys(self._key("specs"))  # before who uses them: a text is never older than its use
        used = {*self._redis.hvals(self._key("instances")), *self._redis.hvals(self._key("left"))}
        for some in at_most(one for one in stored if one not in used):
            self._redis.hdel(self._key("specs"), *some)

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"


def first_of(sentences: Iterable[str]) -> list[str]:
    """What is kept and logged of many, and how many more there are: everybody who shows the fleet reads all of it."""
    told = list(sentences)
    first = [bounded(printable(one), MOST_OF_SENTENCE) for one in told[:MOST_SENTENCES]]
    if len(told) > MOST_SENTENCES:
        first.append(f"and {len(told) - MOST_SENTENCES} more: `undrift fleet validate` prints all of them")
    return first


def names_of(specs: Mapping[InstanceKey, InstanceSpec]) -> Mapping[InstanceKey, str]:
    """What specs are stored by: 128 bits of their digests, since these stand twice for each instance."""
    return {key: spec.digest.removeprefix("sha256:")[:32] for key, spec in specs.items()}


def _cluster(key: InstanceKey) -> str:
    return key.cluster
