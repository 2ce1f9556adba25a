"""What others made of an object: told field by field, with who and both values; and taken away where that is wanted."""

from __future__ import annotations

from reconciler.apply.job import Job
from reconciler.errors import FieldConflict
from reconciler.model.changeset import Drift, Outcome
from reconciler.model.manifest import Raw
from reconciler.objects import admitted, fieldpath, foreign, managedfields
from reconciler.objects.keys import PART_OF


def from_conflict(job: Job, conflict: FieldConflict) -> tuple[Drift, ...]:
    """Each field with both values: one more request, for drift only, since the conflict names fields and writers alone."""
    live = job.look() or {}
    return tuple(
        Drift(job.change.key, field, manager, fieldpath.shown(job.body, field), fieldpath.shown(live, field))
        for field, manager in conflict.causes
    )


def how_gone(job: Job, outcome: Outcome) -> tuple[Drift, ...]:
    """An object that a look by label did not find was deleted, unless it is older than our apply: then only its label
    was taken off."""
    entry = managedfields.apply_entry(outcome.live or {}, job.key.manager) or {}
    created = ((outcome.live or {}).get("metadata") or {}).get("creationTimestamp")
    if created == entry.get("time"):
        return (Drift(job.change.key, "(deleted)", ""),)
    writer = managedfields.last_writer(outcome.live or {}, job.key.manager)
    return (Drift(job.change.key, f".metadata.labels.{PART_OF}", writer),)


def strip(job: Job) -> tuple[Drift, ...]:
    """Take away what others have added and the policy says to remove; what it was. Nothing when it is gone by now.

    Raises PreconditionFailed when somebody wrote in between: the next pass looks again.
    """
    subject, manager = job.change.key, job.key.manager
    live = job.look() or {}
    operations = foreign.removals(live, manager, job.foreign)
    if not operations:
        return ()
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
    job.api.patch_json(job.resource, subject.namespace, subject.name, [*operations, version])
    return foreign.to_remove(subject, live, manager, job.foreign)


def admission(job: Job, live: Raw) -> tuple[str, ...]:
    """What a webhook or policy made of it."""
    return tuple(
        f"{field} from {fieldpath.shown(job.body, field)} to {fieldpath.shown(live, field) or 'nothing'}"
        for field in admitted.changed(job.body, live)
    )
