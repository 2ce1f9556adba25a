"""The decided work of one sync."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import Manifest, ObjectKey


class Action(StrEnum):
    """What happens to one object. `Create` may only create: it was never ours, so one that exists is first contact."""

    CREATE = "Create"
    APPLY = "Apply"
    ADOPT = "Adopt"
    REPLACE = "Replace"
    DELETE = "Delete"


class Cause(StrEnum):
    """Why an object is in the plan."""

    NEW = "New"
    CHANGED = "Changed"
    DRIFT = "Drift"
    GONE = "Gone"
    FOREIGN = "Foreign"
    FULL = "Full"
    UNPROVEN = "Unproven"
    STALE = "Stale"
    IMMUTABLE = "Immutable"


DRIFTED = frozenset({Cause.DRIFT, Cause.GONE, Cause.FOREIGN})
"""What others did to an object of ours: healed, reported or ignored, and maybe contested."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object of a plan. `uid` is the live object's when one was seen. `manifest` is None for a deletion."""

    key: ObjectKey
    action: Action
    cause: Cause
    manifest: Manifest | None = None
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Wave:
    """Changes that may run side by side; the next wave begins when all of this one were answered."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a part of a plan waits for a person. `reason` is a stable code (`TooManyDeletions`, `ProtectedKind`, …)."""

    reason: str
    message: str
    subjects: tuple[ObjectKey, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one sync would do. `kept` needs no request. `holds` stop the deletions unless this very plan was approved.

    `prune` is in deletion order: dependants before what they depend on.
    """

    instance: InstanceKey
    digest: str
    waves: tuple[Wave, ...] = ()
    prune: tuple[Change, ...] = ()
    kept: tuple[ObjectKey, ...] = ()
    holds: tuple[Hold, ...] = ()
    left_alone: tuple[tuple[ObjectKey, str], ...] = ()
    """Stale members that are not deleted, each with why (`undrift.dev/prune: disabled`, not ours any more, …)."""
    contested: tuple[ObjectKey, ...] = ()
    """Objects whose heal waits since another writer keeps changing them."""
    reported: tuple[Change, ...] = ()
    """Drift that is told and not healed, since `drift.action` is Report or Ignore."""
    first_contact: Mapping[ObjectKey, str] = field(default_factory=dict)
    """Objects that exist and were never ours, as far as a look has found them, in order, with their uids."""
    replaced: tuple[ObjectKey, ...] = ()
    """Objects that have to be deleted and made anew, as their manifests ask for, as far as applying has found them."""

    @property
    def changes(self) -> Iterator[Change]:
        """Everything that would be written, in order."""
        for wave in self.waves:
            yield from wave.changes
        yield from self.prune

    @property
    def is_noop(self) -> bool:
        return not self.prune and not any(wave.changes for wave in self.waves)

    @property
    def id(self) -> str:
        """Names exactly what a person is asked to let through: the desire, each deletion and adoption with its uid."""
        lines = [str(self.instance), self.digest]
        lines += sorted(f"delete {change.key.to_text()} {change.uid}" for change in self.prune)
        lines += sorted(f"adopt {key.to_text()} {uid}" for key, uid in self.first_contact.items())
        lines += sorted(f"replace {key.to_text()}" for key in self.replaced)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
