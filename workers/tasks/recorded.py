"""The status of an instance after a sync: what the pass tells, and what was known before where it tells nothing."""

from __future__ import annotations

from reconciler.model.changeset import Result
from reconciler.model.record import SyncRecord
from reconciler.model.status import DriftEntry, InstanceStatus, ObjectEntry, RevisionStatus
from workers.store.status import blank

MOST_DRIFT = 20
"""How much drift an instance's status remembers."""
PUT_BACK = frozenset({Result.HEALED, Result.CREATED, Result.REPLACED})


def from_record(record: SyncRecord, before: InstanceStatus) -> InstanceStatus:
    """The status after a sync."""
    failed = record.phase == "Failed"
    revision = record.revision
    applied = record.memory.unflushed
    done = record.sync == "Synced" and revision is not None
    return blank(record.instance).model_copy(
        update={
            "sync": str(record.sync),
            "phase": str(record.phase),
            "health": str(record.health) if record.objects or not failed else before.health,
            "reason": record.reason,
            "message": record.message,
            "revisions": (RevisionStatus(source=revision.source, ref=revision.ref, revision=revision.commit),)
            if revision
            else before.revisions,
            "applied_revision": revision.commit if done and revision else before.applied_revision,
            "plan_id": record.plan_id,
            "last_sync": record.finished_at,
            "in_sync_at": record.finished_at if record.sync == "Synced" else before.in_sync_at,
            "behind_since": before.behind_since or record.started_at,
            "observed_at": record.finished_at if record.objects else before.observed_at,
            "objects": tuple(
                ObjectEntry(
                    key=one.key.to_text(),
                    sync=str(one.sync),
                    health=str(one.health),
                    result=one.result,
                    message=one.message,
                )
                for one in record.objects
            )
            or before.objects,
            "drift": _drift(record, before),
            "foreign": before.foreign,
            "warnings": record.warnings,
            "failures": before.failures + 1 if failed else 0,
            "lags": _lags(record, before),
            "fence": record.fence,
            "digest": applied.digest if applied else before.digest,
            "counts": dict(record.counts),
            "requests": record.requests,
        }
    )


def _drift(record: SyncRecord, before: InstanceStatus) -> tuple[DriftEntry, ...]:
    """What this pass met, and then what was met earlier, each field once, the newest first."""
    put_back = {one.key for one in record.objects if one.result in PUT_BACK}
    fresh = [
        DriftEntry(
            key=one.key.to_text(),
            field=one.field,
            manager=one.manager,
            ours=one.ours,
            theirs=one.theirs,
            at=record.finished_at,
            healed=one.key in put_back,
        )
        for one in record.drift
    ]
    told = {(one.key, one.field) for one in fresh}
    # What a scan saw without knowing its field is what this pass met or found to be as it should.
    earlier = [one for one in before.drift if (one.key, one.field) not in told and (one.field or not record.objects)]
    return (*fresh, *earlier)[:MOST_DRIFT]


def _lags(record: SyncRecord, before: InstanceStatus) -> bool:
    """As it was where the pass ended before it could learn what is wanted, as when its cluster does not answer."""
    applied = record.memory.unflushed
    if not record.digest and "fetch" not in record.durations_s:
        return before.lags
    return applied is None or record.digest != applied.digest
