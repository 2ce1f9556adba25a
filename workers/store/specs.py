"""The fleet as the leader expanded it: specs by digest, and which instance has which."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import ClusterTarget, InstanceSpec, Ref, RepositoryAccess
from workers.store.batches import at_most
from workers.store.closures import Closures, ref_in, source_words, url_in
from workers.store.leader import Leader, NotLeading
from workers.store.packed import pack, unpack
from workers.store.status import StatusStore

READ_AHEAD = 100
"""Specs that are read at once, where one after the other is asked for."""


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing changed: instances that are new, and those whose spec is another now."""

    new: frozenset[InstanceKey]
    changed: frozenset[InstanceKey]
    left: frozenset[InstanceKey] = frozenset()
    """Those that were published until now; what they own stays."""
    token: str = ""
    """Names what was put there, for `is_published`."""


class SpecStore:
    """Written by the leader, read by everybody."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def publish(
        self,
        specs: Mapping[InstanceKey, InstanceSpec],
        clusters: Mapping[str, ClusterTarget],
        repositories: Mapping[str, RepositoryAccess],
        *,
        leader: Leader | None = None,
        names: Mapping[InstanceKey, str] | None = None,
        why_new: str = "",
        why_changed: str = "",
    ) -> Published:
        """Replace the fleet in one step. Specs that nobody has any more are dropped; those of what left are kept.

        `names` are those of `names_of`, which takes seconds for a large fleet. With a reason, what is new or wanted
        differently waits from the same step on to be judged by the next look at its repository. Raises NotLeading when
        another has led since `leader` did: one that slept must not put an old fleet in force.
        """
        before, old = self._digests("instances"), self.clusters()
        words = self.source_words()
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
        mine = dict[int, str]()  # applications share their sources
        for some in at_most(now):
            texts, digests, sources, renamed = dict[str, bytes](), dict[str, str](), dict[str, str](), []
            for key in some:
                digest, source, came_from = now[key], specs[key].source, url_in(words.get(key, ""))
                is_renamed = came_from not in ("", source.repo.subject)
                if before.get(key) != digest or key.cluster in relabelled or is_renamed:
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
        status = StatusStore(pipe, self._prefix)
        for keys, why in ((new, why_new), (changed, why_changed)):
            for url, some in _grouped(keys if why else (), lambda key: specs[key].source.repo.subject):
                status.unjudge(url, dict.fromkeys(some, why))
        self._replace(pipe, "clusters", {name: one.model_dump_json(by_alias=True) for name, one in clusters.items()})
        self._replace(
            pipe, "repositories", {url: one.model_dump_json(by_alias=True) for url, one in repositories.items()}
        )
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

    def _add(self, pipe: Any, new: Collection[InstanceKey]) -> None:
        """What came back is wanted again, whatever was asked while it was away."""
        for some in at_most(new):
            pipe.hdel(self._key("left"), *map(str, some))
            pipe.srem(self._key("teardown"), *map(str, some))
        for cluster, keys in _grouped(new, _cluster):
            for some in at_most(keys):
                pipe.sadd(self._key(f"on:{cluster}"), *map(str, some))

    def _drop(self, pipe: Any, gone: Mapping[InstanceKey, str], words: Mapping[InstanceKey, str]) -> None:
        """What is gone keeps its spec, under `left`, and nothing else."""
        for some in at_most(gone):
            fields = list(map(str, some))
            pipe.hdel(self._key("instances"), *fields)
            pipe.hdel(self._key("sources"), *fields)
            pipe.hset(self._key("left"), mapping={str(key): gone[key] for key in some})
        closures, status = Closures(pipe, self._prefix), StatusStore(pipe, self._prefix)
        for url, keys in _grouped(gone, lambda key: url_in(words.get(key, ""))):
            closures.forget(keys, url)
            status.forget_unjudged(url, keys)
        for cluster, keys in _grouped(gone, _cluster):
            for some in at_most(keys):
                pipe.srem(self._key(f"on:{cluster}"), *map(str, some))

    def _rename(
        self,
        pipe: Any,
        renamed: Collection[InstanceKey],
        specs: Mapping[InstanceKey, InstanceSpec],
        words: Mapping[InstanceKey, str],
    ) -> None:
        """Instances whose look-up is called otherwise now: under the new name nobody knows what they read."""
        closures = Closures(pipe, self._prefix)
        for url, keys in _grouped(renamed, lambda key: url_in(words[key])):
            closures.forget(keys, url)
        for url, keys in _grouped(renamed, lambda key: specs[key].source.repo.subject):
            closures.reopen_all(url, dict.fromkeys(keys, ""))

    def get(self, key: InstanceKey) -> InstanceSpec | None:
        """The instance's spec, also of one that left the fleet; None when it is not known here."""
        digest = self._redis.hget(self._key("instances"), str(key)) or self._redis.hget(self._key("left"), str(key))
        raw = unpack(self._redis.hget(self._key("specs"), digest)) if digest else None
        return InstanceSpec.model_validate_json(raw) if raw else None

    def known(self) -> Mapping[InstanceKey, InstanceSpec]:
        """Every instance of the fleet as it is published now, each spec read when it is asked for; one that can't be read is
        missing to `get`. For the leader, which alone publishes."""
        return _Known(self._digests("instances"), self._read)

    def labels(self) -> Iterator[tuple[InstanceKey, Mapping[str, str]]]:
        """What selectors ask of every instance of the fleet: the labels of its cluster, and over them its own. Few at a time
        are in memory, and no more is read of a spec; one that can't be read is missing."""
        for some in at_most(sorted(self._digests("instances").items())):
            raw = self._redis.hmget(self._key("specs"), [digest for _, digest in some])
            for (key, _), text in zip(some, map(unpack, raw), strict=True):
                if text is not None:
                    found = orjson.loads(text)
                    yield key, {**found["cluster"]["labels"], **found["labels"]}

    def on_cluster(self, name: str) -> Mapping[InstanceKey, InstanceSpec]:
        """The instances of one cluster; only these are read."""
        return self.many(self.keys_on(name))

    def refs(self, url: str, keys: Iterable[InstanceKey] | None = None) -> Mapping[InstanceKey, Ref]:
        """The instances that one look-up serves, or those of `keys` that it does, each with the ref that it wants. No
        spec is read for it: one repository may serve a whole fleet."""
        found, known = dict[InstanceKey, Ref](), dict[str, Ref]()
        for key, words in (self.source_words() if keys is None else self.words_of(keys)).items():
            if url_in(words) == url and (ref := known.get(words) or ref_in(words)) is not None:
                found[key] = known[words] = ref
        return found

    def many(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, InstanceSpec]:
        """The specs of these, as far as they are of the fleet."""
        wanted = list(keys)
        raw = self._redis.hmget(self._key("instances"), [str(key) for key in wanted]) if wanted else []
        return self._read({key: one.decode() for key, one in zip(wanted, raw, strict=True) if one})

    def sources(self) -> Mapping[InstanceKey, str]:
        """What the look-up of each instance's repository is called."""
        return {key: url_in(words) for key, words in self.source_words().items()}

    def source_words(self) -> Mapping[InstanceKey, str]:
        """Each instance's source, in the words of `Closures.heads`."""
        found, one_of = self._redis.hgetall(self._key("sources")), dict[bytes, str]()
        return {
            InstanceKey.parse(key.decode()): one_of.setdefault(words, words.decode()) for key, words in found.items()
        }

    def words_of(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, str]:
        """The same of these instances."""
        found = dict[InstanceKey, str]()
        for some in at_most(keys):
            raw = self._redis.hmget(self._key("sources"), [str(key) for key in some])
            found |= {key: words.decode() for key, words in zip(some, raw, strict=True) if words}
        return found

    def _read(self, digests: Mapping[InstanceKey, str]) -> dict[InstanceKey, InstanceSpec]:
        if not digests:
            return {}
        raw = self._redis.hmget(self._key("specs"), list(digests.values()))
        found = zip(digests, map(unpack, raw), strict=True)
        return {key: InstanceSpec.model_validate_json(text) for key, text in found if text is not None}

    def instance_keys(self) -> frozenset[InstanceKey]:
        return self._names("instances")

    def has(self, key: InstanceKey) -> bool:
        """Whether an instance is of the fleet."""
        return bool(self._redis.hexists(self._key("instances"), str(key)))

    def standing(self, keys: Iterable[InstanceKey]) -> tuple[frozenset[InstanceKey], frozenset[InstanceKey]]:
        """Those of a few that are of the fleet, and those that left it and are not deleted, as of one moment."""
        wanted = list(keys)
        if not wanted:
            return frozenset(), frozenset()
        pipe = self._redis.pipeline()
        for name in ("instances", "left"):
            pipe.hmget(self._key(name), [str(key) for key in wanted])
        fleet, left = (
            frozenset(key for key, digest in zip(wanted, raw, strict=True) if digest is not None)
            for raw in pipe.execute()
        )
        return fleet, left

    def keys_on(self, cluster: str) -> frozenset[InstanceKey]:
        """The instances of one cluster."""
        return frozenset(InstanceKey.parse(raw.decode()) for raw in self._redis.smembers(self._key(f"on:{cluster}")))

    def left(self) -> frozenset[InstanceKey]:
        """Instances that are gone from the fleet and not deleted."""
        return self._names("left")

    def forget_left(self, key: InstanceKey) -> None:
        """Drop an instance that left and was deleted."""
        self._redis.hdel(self._key("left"), str(key))
        self._redis.srem(self._key("teardown"), str(key))

    def ask_teardown(self, key: InstanceKey) -> None:
        """Note a person's word to delete an instance that left."""
        self._redis.sadd(self._key("teardown"), str(key))

    def cluster(self, name: str) -> ClusterTarget | None:
        raw = self._redis.hget(self._key("clusters"), name)
        return ClusterTarget.model_validate_json(raw) if raw else None

    def clusters(self) -> Mapping[str, ClusterTarget]:
        found = self._redis.hgetall(self._key("clusters"))
        return {name.decode(): ClusterTarget.model_validate_json(raw) for name, raw in sorted(found.items())}

    def repository(self, url: str) -> RepositoryAccess | None:
        raw = self._redis.hget(self._key("repositories"), url)
        return RepositoryAccess.model_validate_json(raw) if raw else None

    def repositories(self) -> Mapping[str, RepositoryAccess]:
        found = self._redis.hgetall(self._key("repositories"))
        return {url.decode(): RepositoryAccess.model_validate_json(raw) for url, raw in sorted(found.items())}

    def note_fleet(self, revision: str, problems: Iterable[str], notes: Iterable[str] = ()) -> None:
        """Keep which revision of the fleet is in force, what is wrong with it, and what is worth knowing."""
        row = {"revision": revision, "problems": list(problems), "notes": list(notes)}
        self._redis.set(self._key("fleet"), orjson.dumps(row))

    def fleet(self) -> Mapping[str, Any]:
        raw = self._redis.get(self._key("fleet"))
        return {"revision": "", "problems": [], "notes": [], **(orjson.loads(raw) if raw else {})}

    def _replace(self, pipe: Any, name: str, rows: Mapping[str, str]) -> None:
        pipe.delete(self._key(name))
        if rows:
            pipe.hset(self._key(name), mapping=rows)

    def _drop_unused(self) -> None:
        stored = self._redis.hkeys(self._key("specs"))  # before who uses them: a text is never older than its use
        used = {*self._redis.hvals(self._key("instances")), *self._redis.hvals(self._key("left"))}
        for some in at_most(one for one in stored if one not in used):
            self._redis.hdel(self._key("specs"), *some)

    def _digests(self, name: str) -> dict[InstanceKey, str]:
        found = self._redis.hgetall(self._key(name))
        return {InstanceKey.parse(key.decode()): digest.decode() for key, digest in found.items()}

    def _names(self, name: str) -> frozenset[InstanceKey]:
        return frozenset(InstanceKey.parse(key.decode()) for key in self._redis.hkeys(self._key(name)))

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"


class _Known(Mapping[InstanceKey, InstanceSpec]):
    """Reads a spec with those that follow it, since an application's instances are mostly wanted one after the other. A
    leader that takes over compares the names of a whole fleet, and hardly any specs."""

    def __init__(
        self,
        digests: dict[InstanceKey, str],
        read: Callable[[Mapping[InstanceKey, str]], dict[InstanceKey, InstanceSpec]],
    ) -> None:
        self._digests, self._order, self._read_many = digests, sorted(digests), read
        self._read: dict[InstanceKey, InstanceSpec] = {}

    def __getitem__(self, key: InstanceKey) -> InstanceSpec:
        if key in self._digests and key not in self._read:
            at = bisect_left(self._order, key)
            self._read = self._read_many({one: self._digests[one] for one in self._order[at : at + READ_AHEAD]})
        return self._read[key]

    def __contains__(self, key: object) -> bool:
        return key in self._digests

    def __iter__(self) -> Iterator[InstanceKey]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


def _cluster(key: InstanceKey) -> str:
    return key.cluster


def _grouped(keys: Iterable[InstanceKey], by: Callable[[InstanceKey], str]) -> Iterator[tuple[str, list[InstanceKey]]]:
    for name, some in groupby(sorted(keys, key=by), key=by):
        yield name, list(some)


def names_of(specs: Mapping[InstanceKey, InstanceSpec]) -> Mapping[InstanceKey, str]:
    """What specs are stored by: 128 bits of their digests, since these stand twice for each instance."""
    return {key: spec.digest.removeprefix("sha256:")[:32] for key, spec in specs.items()}
