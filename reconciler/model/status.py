"""An instance's status as people and programs get it: the JSON of `app list` and `app get`.

Composed at reading time, so that age and unreachability can't be hidden by an old record (invariant 15).
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

API_VERSION = "undrift.dev/v1alpha1"


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class RevisionStatus(_Shown):
    source: str
    ref: str
    revision: str


class ObjectEntry(_Shown):
    """One object of an instance."""

    key: str
    sync: str
    health: str
    result: str = ""
    message: str = ""


class DriftEntry(_Shown):
    """One field that somebody else had changed."""

    key: str
    field: str
    manager: str
    ours: str = ""
    theirs: str = ""
    at: datetime | None = None
    """When it was seen or put back."""
    healed: bool = False


class InstanceStatus(_Shown):
    """One item of `app list -o json`; `objects`, `drift`, `foreign` and `warnings` are in `app get` only."""

    instance: str
    project: str
    application: str
    cluster: str
    sync: str = "Unknown"
    phase: str = "Queued"
    health: str = "Unknown"
    reason: str = "NeverSynced"
    message: str = ""
    revisions: tuple[RevisionStatus, ...] = ()
    applied_revision: str = ""
    plan_id: str = ""
    last_sync: datetime | None = None
    next_try: datetime | None = None
    observed_at: datetime | None = None
    in_sync_at: datetime | None = None
    """When a sync or scan last found it as Git says."""
    behind_since: datetime | None = None
    """The first try of those that never did."""
    stale: bool = False
    objects: tuple[ObjectEntry, ...] = ()
    drift: tuple[DriftEntry, ...] = ()
    foreign: tuple[DriftEntry, ...] = ()
    """Fields that others have added to its objects, and Git does not declare."""
    warnings: tuple[str, ...] = ()
    failures: int = 0
    """Syncs failed in a row, for the back-off."""
    lags: bool = False
    """Whether the last sync found that something else is wanted than what was applied, or could not tell what is: then no
    look at the cluster makes it Synced."""
    fence: int = 0
    digest: str = ""
    """Of the manifests that were applied last."""
    counts: dict[str, int] = {}
    requests: int = 0
