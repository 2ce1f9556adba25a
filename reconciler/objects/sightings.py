"""What was last seen of each object of ours, and what a new sight of it means.

Only our own Apply entry counts, so that a status, or a field of others, means nothing. The API server renews the entry's
time when we apply, and leaves it when somebody takes a field from us: so our own writes are told from those of others
without asking anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects import managedfields

MANAGER = "undrift:"


class Sight(StrEnum):
    """What a change of an object was."""

    SAME = "Same"
    """Nothing of ours."""
    OURS = "Ours"
    """An apply under our name."""
    THEIRS = "Theirs"
    """Somebody took a field from us, or made the object anew."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last sight: whose it is, and our entry."""

    manager: str
    fingerprint: str
    uid: str
    time: str
    version: int


class Sightings:
    """The objects of one cluster, by key. Not for several threads at once."""

    def __init__(self) -> None:
        self._last: dict[ObjectKey, Last] = {}

    def __len__(self) -> int:
        return len(self._last)

    def get(self, key: ObjectKey) -> Last | None:
        return self._last.get(key)

    def see(self, live: Raw) -> tuple[Sight, Last]:
        """Note an object as it is now; what that means, and whose object it is. An older version than the last one, as a
        resumed watch may tell again, means nothing."""
        key, before = ObjectKey.of(live), self._last.get(ObjectKey.of(live))
        now = _last(live, before)
        if before is not None and now.version < before.version and now.uid == before.uid:
            return Sight.SAME, before
        self._last[key] = now
        if before is None:
            return Sight.OURS, now
        if now.fingerprint == before.fingerprint:
            return Sight.SAME, now
        renewed = now.fingerprint and now.time > before.time
        return (Sight.OURS if renewed else Sight.THEIRS), now

    def lose(self, key: ObjectKey) -> Last | None:
        """An object is gone; what it was."""
        return self._last.pop(key, None)

    def missing(self, kind: GroupKind, items: Iterable[Raw]) -> Iterator[ObjectKey]:
        """The known objects of a kind that a whole list of it does not hold."""
        there = {ObjectKey.of(one) for one in items}
        yield from [key for key in self._last if key.group_kind == kind and key not in there]


def _last(live: Raw, before: Last | None) -> Last:
    entry = _own_entry(live)
    manager = str(entry.get("manager")) if entry else before.manager if before else ""
    meta: Mapping[str, object] = live["metadata"]
    version = str(meta.get("resourceVersion", ""))
    return Last(
        manager=manager,
        fingerprint=managedfields.fingerprint(live, manager) if entry else "",
        uid=str(meta.get("uid", "")),
        time=str(entry.get("time", "")) if entry else "",
        version=int(version) if version.isdecimal() else 0,
    )


def _own_entry(live: Raw) -> managedfields.Entry | None:
    for entry in managedfields.entries(live):
        manager = str(entry.get("manager"))
        if manager.startswith(MANAGER) and managedfields.is_apply_of(entry, manager):
            return entry
    return None
