"""What was last seen of every instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import redis

from reconciler.model.instance import InstanceKey
from reconciler.model.status import InstanceStatus
from workers.store.batches import at_most
from workers.store.packed import pack, readable
from workers.store.scripts import script


class Read(NamedTuple):
    """A status beside the text that it was read from, None for none."""

    text: bytes | None
    status: InstanceStatus


class StatusStore:
    """One packed JSON text an instance."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}status"
        self._amend: Any = client.register_script(script("amend"))

    def get(self, key: InstanceKey) -> InstanceStatus:
        """The stored status, not yet composed with what is due; the empty one when nothing is known."""
        return status_of(key, self._redis.hget(self._key, str(key)))

    def known(self) -> frozenset[InstanceKey]:
        """The instances that have a status, whether or not they are of the fleet."""
        return frozenset(InstanceKey.parse(raw.decode()) for raw in self._redis.hkeys(self._key))

    def has(self, key: InstanceKey) -> bool:
        """Whether an instance has a status, and whether or not it is of the fleet."""
        return bool(self._redis.hexists(self._key, str(key)))

    def each(self, keys: Iterable[InstanceKey]) -> Iterator[tuple[InstanceKey, InstanceStatus]]:
        """The same as `many`, in the order of the keys, few at a time in memory."""
        for some in at_most(sorted(keys)):
            yield from self.many(some).items()

    def many(self, keys: Iterable[InstanceKey]) -> Mapping[InstanceKey, InstanceStatus]:
        """The stored statuses of these instances; the empty one of those of which nothing is known."""
        return {key: one.status for key, one in self.read(keys).items()}

    def read(
        self, keys: Iterable[InstanceKey], earlier: Mapping[InstanceKey, Read] = MappingProxyType({})
    ) -> Mapping[InstanceKey, Read]:
        """The same for `amend`. What is as it was read `earlier` is not parsed again."""
        wanted = list(keys)
        texts = self._redis.hmget(self._key, [str(key) for key in wanted]) if wanted else []
        return {key: _read(key, text, earlier.get(key)) for key, text in zip(wanted, texts, strict=True)}

    def put(self, status: InstanceStatus) -> None:
        self.put_all([status])

    def put_all(self, statuses: Iterable[InstanceStatus]) -> None:
        rows = {one.instance: _packed(one) for one in statuses}
        if rows:
            self._redis.hset(self._key, mapping=rows)

    def amend(
        self,
        read: Mapping[InstanceKey, Read],
        change: Callable[[InstanceKey, InstanceStatus], InstanceStatus | None],
    ) -> None:
        """Change statuses without holding the leases of their instances: each only if nobody wrote it since it was read, for
        then what was written is newer. `change` answers None for one that stays as it is."""
        words: list[str | bytes] = []
        for key, (text, status) in read.items():
            after = change(key, status)
            if after is not None and after != status:
                words += [str(key), text or b"", _packed(after)]
        if words:
            self._amend(keys=[self._key], args=words)

    def forget(self, key: InstanceKey) -> None:
        self._redis.hdel(self._key, str(key))


def _read(key: InstanceKey, text: bytes | None, earlier: Read | None) -> Read:
    if earlier is not None and earlier.text == text:
        return earlier
    return Read(text, status_of(key, text))


def status_of(key: InstanceKey, stored: bytes | None) -> InstanceStatus:
    """A status as it is stored; the empty one for one that can't be read."""
    return readable(stored, InstanceStatus.model_validate_json, "status", key) or blank(key)


def _packed(status: InstanceStatus) -> bytes:
    return pack(status.model_dump_json(by_alias=True, exclude_defaults=True).encode())


def blank(key: InstanceKey) -> InstanceStatus:
    """The status of an instance of which nothing is known."""
    return InstanceStatus(
        instance=str(key),
        project=key.project,
        application=key.application,
        cluster=key.cluster,
        message="not synced yet",
    )
