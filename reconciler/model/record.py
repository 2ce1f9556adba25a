"""What one sync leaves behind: the record for people, and the memory for the next sync.

`SyncRecord` is what the pipeline returns, always, also when it failed. `Memory` is kept by the caller between syncs of
an instance; losing it (an emptied Redis) costs a re-apply and forgets the fights, never truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler.errors import NEVER, Retry
from reconciler.model.brake import Brake
from reconciler.model.changeset import Drift
from reconciler.model.health import Health
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, HistoryEntry
from reconciler.model.manifest import ObjectKey
from reconciler.model.revision import Closure, Revision


class Sync(StrEnum):
    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


class Phase(StrEnum):
    """The first that is true, in this order."""

    PAUSED = "Paused"
    HELD = "Held"
    FAILED = "Failed"
    SYNCING = "Syncing"
    WAITING = "Waiting"
    QUEUED = "Queued"
    IDLE = "Idle"


@dataclass(frozen=True, slots=True)
class Heals:
    """The heals of one object: when each of the last ones was, and how many waits the present fight has cost."""

    at: tuple[datetime, ...] = ()
    waits: int = 0
    until: datetime | None = None
    """No further heal before this moment."""
    field: str = ""
    manager: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the next sync of an instance is given."""

    unflushed: Applied | None = None
    """Newer proof than the inventory's, not yet written there."""
    unflushed_entry: HistoryEntry | None = None
    heals: Mapping[ObjectKey, Heals] = field(default_factory=dict)
    waiting_since: datetime | None = None
    """Since when the applied objects have not all been healthy."""
    closure: Closure | None = None
    """What the last pass read, where all that it rendered stands as desired; None where that is not known. It may be
    younger than that of what was applied: a render that gives the same writes nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """Why and how a sync is to run."""

    reasons: tuple[str, ...]
    """`commit 3fa2c1b`, `drift`, `operator`, `periodic`, …: as recorded and shown."""
    commit: str | None = None
    """The target commit as the scheduler knew it; None: look the ref up."""
    full: bool = False
    """Re-render and re-apply everything, whatever is proven."""
    by_operator: bool = False
    """A person asked for this pass; `sync.mode: Manual` writes on nothing else."""
    approved_plan: str | None = None
    is_first: bool = False
    """Nothing is known of the instance yet: no inventory is expected in its cluster."""
    cluster_uid: str = ""
    """The cluster that the target's name was pinned to at first contact; empty: not pinned yet."""
    brake: Brake | None = None
    """A person's word that it is not to be written now: the pass looks only."""


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """One object of an instance, for `app get`."""

    key: ObjectKey
    sync: Sync
    health: Health
    result: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """One sync, told truthfully."""

    instance: InstanceKey
    fence: int
    reasons: tuple[str, ...]
    started_at: datetime
    finished_at: datetime
    sync: Sync
    phase: Phase
    health: Health
    reason: str
    """A stable code: `Synced`, `EmptyRender`, `TooManyDeletions`, …"""
    message: str
    """One line: what, which object, why, what next, when."""
    revision: Revision | None = None
    digest: str = ""
    plan_id: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Outcomes by `Result`, those with none left out."""
    objects: tuple[ObjectStatus, ...] = ()
    drift: tuple[Drift, ...] = ()
    warnings: tuple[str, ...] = ()
    durations_s: Mapping[str, float] = field(default_factory=dict)
    """By step: fetch, render, observe, plan, begin, apply, prune."""
    answers: Mapping[str, int] = field(default_factory=dict)
    """Requests to the API server by the status of the answer."""
    retry: Retry = NEVER
    """When to come due again before the periodic time: never, with back-off, or in so many seconds."""
    memory: Memory = field(default_factory=Memory)
    wrote: bool = False
    unanswered: bool = False
    """Whether the pass ended since the cluster did not answer at all."""

    @property
    def requests(self) -> int:
        return sum(self.answers.values())
