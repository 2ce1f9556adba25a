"""What applying a wave did: the one currency of apply. Partial failure is part of it, not an exception."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.errors import UndriftError
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.model.plan import Change


class Result(StrEnum):
    CREATED = "Created"
    CONFIGURED = "Configured"
    UNCHANGED = "Unchanged"
    HEALED = "Healed"
    ADOPTED = "Adopted"
    MOVED = "Moved"
    REPLACED = "Replaced"
    DELETED = "Deleted"
    DELETING = "Deleting"
    GONE = "Gone"
    LEFT = "Left"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Drift:
    """One field of ours that another writer changed; `manager` is empty when the object was deleted or recreated."""

    key: ObjectKey
    field: str
    manager: str
    ours: str = ""
    """What Git says, as JSON that may be shown; empty where it is not known."""
    theirs: str = ""
    """What the other writer had made of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change. `live` is the API server's answer, `fingerprint` its proof, `error` why it failed."""

    change: Change
    result: Result
    live: Raw | None = None
    fingerprint: str = ""
    drift: tuple[Drift, ...] = ()
    error: UndriftError | None = None
    note: str = ""
    admission: tuple[str, ...] = ()
    """What admission changed of what was sent: the field, what was sent and what stands, as people may see it."""

    @property
    def key(self) -> ObjectKey:
        return self.change.key


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The outcomes of a wave, in the wave's order."""

    outcomes: tuple[Outcome, ...] = ()

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __add__(self, other: ChangeSet) -> ChangeSet:
        return ChangeSet(self.outcomes + other.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.error is not None)
