"""The fleet as the leader expanded it: specs by digest, and which instance has which."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import orjson
import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import ClusterTarget, InstanceSpec, Ref, RepositoryAccess
from workers.store.batches import at_most
from workers.store.closures import ref_in, url_in
from workers.store.damaged import fields, members
from workers.store.packed import readable

T = TypeVar("T")
DAMAGED = b"damaged"
"""In the place of what names a fleet in force: some of it was lost."""
READ_AHEAD = 100
"""Specs that are read at once, where one after the other is asked for."""


class SpecStore:
    """Written by the leader, read by everybody."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def get(self, key: InstanceKey) -> InstanceSpec | None:
        """The instance's spec, also of one that left the fleet; None when it is not known here."""
        digest = self._redis.hget(self._key("instances"), str(key)) or self._redis.hget(self._key("left"), str(key))
        return _spec(key, self._redis.hget(self._key("specs"), digest)) if digest else None

    def digests(self) -> dict[InstanceKey, str]:
        """The name of each instance's spec."""
        return dict(self._fields("instances", lambda key, digest: (InstanceKey.parse(key.decode()), digest.decode())))

    def known(self) -> Mapping[InstanceKey, InstanceSpec]:
        """Every instance of the fleet as it is published now, each spec read when it is asked for; one that can't be read is
        missing to `get`. For the leader, which alone publishes."""
        return _Known(self.digests(), self._read)

    def labels(self) -> Iterator[tuple[InstanceKey, Mapping[str, str]]]:
        """What selectors ask of every instance of the fleet: the labels of its cluster, and over them its own. Few at a time
        are in memory, and no more is read of a spec; one that can't be read is missing."""
        for some in at_most(sorted(self.digests().items())):
            raw = self._redis.hmget(self._key("specs"), [digest for _, digest in some])
            for (key, _), stored in zip(some, raw, strict=True):
                if (found := readable(stored, _labels, "spec", key)) is not None:
                    yield key, found

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
        return self._read(self.names(keys))

    def names(self, keys: Iterable[InstanceKey]) -> dict[InstanceKey, str]:
        """What the specs of these are stored by: a name for all that is wanted of an instance."""
        wanted = list(keys)
        raw = self._redis.hmget(self._key("instances"), [str(key) for key in wanted]) if wanted else []
        return {key: one.decode() for key, one in zip(wanted, raw, strict=True) if one}

    def sources(self) -> Mapping[InstanceKey, str]:
        """What the look-up of each instance's repository is called."""
        return {key: url_in(words) for key, words in self.source_words().items()}

    def source_words(self) -> Mapping[InstanceKey, str]:
        """Each instance's source, in the words of `Closures.heads`."""
        one_of = dict[bytes, str]()

        def read(key: bytes, words: bytes) -> tuple[InstanceKey, str]:
            return InstanceKey.parse(key.decode()), one_of.setdefault(words, words.decode())

        return dict(self._fields("sources", read))

    def words_of(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, str]:
        """The same of these instances."""
        found = dict[InstanceKey, str]()
        for some in at_most(keys):
            raw = self._redis.hmget(self._key("sources"), [str(key) for key in some])
            found |= {key: words.decode(errors="replace") for key, words in zip(some, raw, strict=True) if words}
        return found

    def _read(self, digests: Mapping[InstanceKey, str]) -> dict[InstanceKey, InstanceSpec]:
        if not digests:
            return {}
        raw = self._redis.hmget(self._key("specs"), list(digests.values()))
        found = {key: _spec(key, stored) for key, stored in zip(digests, raw, strict=True)}
        if lost := [digests[key] for key, spec in found.items() if spec is None]:
            self._redis.hdel(self._key("specs"), *lost)
            self._redis.set(self._key("published"), DAMAGED, xx=True)  # so that the leader publishes it again
        return {key: spec for key, spec in found.items() if spec is not None}

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
        key = self._key(f"on:{cluster}")
        return frozenset(members(self._redis, key, self._redis.smembers(key), _instance))

    def left(self) -> frozenset[InstanceKey]:
        """Instances that are gone from the fleet and not deleted."""
        return self._names("left")

    def restore_left(self, keys: Iterable[InstanceKey]) -> None:
        """Note again what is still to be deleted, unless it is of the fleet; its specs are lost."""
        for some in at_most(keys):
            fleet, pipe = self.names(some), self._redis.pipeline(transaction=False)
            for key in (one for one in some if one not in fleet):
                pipe.hsetnx(self._key("left"), str(key), "")
            pipe.execute()

    def forget_left(self, key: InstanceKey) -> None:
        """Drop an instance that left and was deleted."""
        self._redis.hdel(self._key("left"), str(key))
        self._redis.srem(self._key("teardown"), str(key))

    def ask_teardown(self, key: InstanceKey) -> None:
        """Note a person's word to delete an instance that left."""
        self._redis.sadd(self._key("teardown"), str(key))

    def cluster(self, name: str) -> ClusterTarget | None:
        raw = self._redis.hget(self._key("clusters"), name)
        return dict(self._read_fields("clusters", {name.encode(): raw} if raw else {}, _cluster)).get(name)

    def clusters(self) -> Mapping[str, ClusterTarget]:
        return dict(sorted(self._fields("clusters", _cluster), key=lambda one: one[0]))

    def repository(self, url: str) -> RepositoryAccess | None:
        raw = self._redis.hget(self._key("repositories"), url)
        return dict(self._read_fields("repositories", {url.encode(): raw} if raw else {}, _repository)).get(url)

    def repositories(self) -> Mapping[str, RepositoryAccess]:
        return dict(sorted(self._fields("repositories", _repository), key=lambda one: one[0]))

    def _names(self, name: str) -> frozenset[InstanceKey]:
        names = dict.fromkeys(self._redis.hkeys(self._key(name)), b"")
        return frozenset(self._read_fields(name, names, lambda key, _: _instance(key)))

    def _fields(self, name: str, read: Callable[[bytes, bytes], T]) -> list[T]:
        return self._read_fields(name, self._redis.hgetall(self._key(name)), read)

    def _read_fields(self, name: str, found: Mapping[bytes, bytes], read: Callable[[bytes, bytes], T]) -> list[T]:
        """What the fleet's entries say. Where one can't be read the leader puts the fleet there again, at its next check."""
        told = fields(self._redis, self._key(name), found, read)
        if len(told) < len(found):
            self._redis.set(self._key("published"), b"damaged", xx=True)
        return told

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"


def _instance(raw: bytes) -> InstanceKey:
    return InstanceKey.parse(raw.decode())


def _cluster(name: bytes, raw: bytes) -> tuple[str, ClusterTarget]:
    return name.decode(), ClusterTarget.model_validate_json(raw)


def _repository(url: bytes, raw: bytes) -> tuple[str, RepositoryAccess]:
    return url.decode(), RepositoryAccess.model_validate_json(raw)


def _spec(key: InstanceKey, stored: bytes | None) -> InstanceSpec | None:
    return readable(stored, InstanceSpec.model_validate_json, "spec", key)


def _labels(text: bytes) -> Mapping[str, str]:
    found = orjson.loads(text)
    return {**found["cluster"]["labels"], **found["labels"]}


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
