"""What an instance owns in its cluster, and what was proven of it.

Kept in that cluster as an ApplySet parent (KEP-3659). Only `applied` is proof; `intent` tells what a sync that may have
died was about to do; `members` is the union of everything that may exist because of us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.model.manifest import ObjectKey
from reconciler.model.revision import Closure

NEVER_PRUNED = (
    "it existed before Undrift, or before its inventory was lost and made anew, and is never pruned: delete it by hand"
)


@dataclass(frozen=True, slots=True)
class Member:
    """An object that may exist because of us. `since` is the API server's time at which we first meant to write it;
    an object created before it is not ours to delete. `adopted` marks one that we found: it was taken over, or stood when
    the inventory was made anew."""

    since: datetime
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of one applied object: its manifest's digest and the fingerprint of the API server's answer."""

    manifest_digest: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What a sync was about to do when it wrote the inventory."""

    fence: int
    revision: str
    digest: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """What a sync did: the proof by which later passes do nothing. `removed` are members found or made gone."""

    fence: int
    revision: str
    digest: str
    at: datetime
    proofs: Mapping[ObjectKey, Proof] = field(default_factory=dict)
    removed: frozenset[ObjectKey] = frozenset()
    adopted: frozenset[ObjectKey] = frozenset()
    """Members that turned out to have existed before us: never pruned."""
    closure: Closure = field(default_factory=Closure)
    spec_digest: str = ""
    """The digest of the spec that was synced: another one means that the fleet has changed since."""
    complete: bool = True
    """False when some object failed or was held: the digest then proves nothing as a whole, each proof still does."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One past sync that wrote, for `app history`."""

    at: datetime
    revision: str
    reason: str
    result: str
    message: str
    fence: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """An instance's inventory as read, or as it would be written. `resource_version` is empty when there is none."""

    installation: str
    members: Mapping[ObjectKey, Member] = field(default_factory=dict)
    intent: Intent | None = None
    applied: Applied | None = None
    history: tuple[HistoryEntry, ...] = ()
    resource_version: str = ""
    rebuilt: bool = False
    """Made anew from live objects since the parent was lost: the pass that did so prunes nothing."""
    is_presumed: bool = False
    """Not read but taken to be empty. Only creating the parent proves that it was."""

    @property
    def exists(self) -> bool:
        return bool(self.resource_version)

    @property
    def fence(self) -> int:
        return self.intent.fence if self.intent else 0

    @property
    def is_unfinished(self) -> bool:
        """Whether a sync began that has left no proof: what it may have written then differs from what is proven."""
        return self.fence > (self.applied.fence if self.applied else 0)

    def flushed(self, applied: Applied | None, entry: HistoryEntry | None, *, keep: int = 20) -> Inventory:
        """This inventory with the results of the sync before, if they are newer than what it holds."""
        held = self.applied.fence if self.applied else 0
        if applied is None or applied.fence <= held:
            return self
        members = {
            key: replace(member, adopted=True) if key in applied.adopted else member
            for key, member in self.members.items()
            if key not in applied.removed
        }
        history = ((entry, *self.history) if entry else self.history)[:keep]
        return replace(self, members=members, applied=applied, history=history)
