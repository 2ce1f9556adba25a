"""Takes over an object that exists and was never ours: first what would become of it, by a dry run, then the taking.

What `kubectl apply` or `kubectl create` wrote (client-side) becomes ours, as kubectl itself does when it moves to
server-side apply (csaupgrade in client-go); else a field removed from Git later would stay, still owned by kubectl. The
apply that follows takes away what Git does not declare of it. So that is judged before anything is written: an object
that would lose something waits for a person; fields that are ignored stay kubectl's, and so does its own annotation.

    judge      dry runs: no value or order is changed, nothing is lost           one to three requests
    fold       kubectl's entry in managedFields becomes ours, no value changes  one request, where there is one
    apply      by the caller: ours is from here on what Git says

Stopped before the apply, the object has our entry without our label: the next pass meets it as it was met before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.apply import adopt, outlook
from reconciler.apply.job import Job
from reconciler.errors import FirstContact, LeaseError, PreconditionFailed, UndriftError, Unreachable
from reconciler.model.live import Resource
from reconciler.model.manifest import Raw
from reconciler.model.plan import Action
from reconciler.objects import diff, managedfields
from reconciler.objects.diff import Difference
from reconciler.ports import ClusterApi

TRIES = 3
"""Times to begin anew when somebody writes between our look and our write: controllers do, to a status."""


def judge(job: Job, live: Raw) -> tuple[Difference, ...]:
    """What taking the object over would change of it; nothing is written.

    Judged by what would stand, not by how it is written: `1024Mi` for `1Gi` changes nothing, another order of containers
    does. Raises OwnedByAnother, OwnedByAutoscaler, and FirstContact for what waits for a person: a claim, another value or
    order than Git's, fields that would be lost; it names all that their word would change. Where the policy is `Always`
    these are no question; else what is returned is what Git adds.
    """
    subject = job.change.key
    try:
        adopt.require_allowed(live, job.key, subject, job.adopt)
    except FirstContact as claim:
        raise _with_changes(claim, job, live) from None
    adopt.require_scale_kept(live, job.beside(live).body, subject)
    found = outlook.look_ahead(job, live)
    if found.is_question and job.adopt != "Always":
        raise adopt.contested_contact(found.words, found.brief, subject, is_losing=bool(found.going))
    return found.changes


def prepare(job: Job, live: Raw, *, is_approved: bool) -> Job:
    """The job that takes the object over by its next apply; what kubectl wrote is ours by then.

    With a person's word (`is_approved`) only what nobody can mean is refused. Raises what `judge` does, and
    PreconditionFailed when somebody keeps writing in between.
    """
    for _ in range(TRIES):
        if is_approved or job.adopt == "Always":
            adopt.require_allowed(live, job.key, job.change.key, "Always")
            adopt.require_scale_kept(live, job.beside(live).body, job.change.key)
            job.beside(live).send(force=True, dry_run=True)  # what is refused is not folded: it stays whose it was
        else:
            judge(job, live)
        try:
            _fold(job, live)
        except PreconditionFailed:
            live = job.look() or {}
            if live:
                continue
            raise
        return job.beside(live)
    raise PreconditionFailed(f"{job.change.key}: somebody writes to it again and again", subject=job.change.key)


def differences(job: Job, live: Raw | None) -> tuple[Difference, ...]:
    """What an apply with full right would change, and for an object that is not ours also what it takes away."""
    if live is None:
        return diff.differences(None, job.send(force=True, dry_run=True))
    would_be = job.beside(live).send(force=True, dry_run=True)
    if job.change.action is not Action.ADOPT:
        return diff.differences(live, would_be)
    return diff.differences(live, outlook.end_of(job, live, would_be))


def hand_over(job: Job, live: Raw, former_manager: str) -> None:
    """Put our name in place of that of an instance we were before. Raises PreconditionFailed when somebody wrote in
    between."""
    if managedfields.apply_entry(live, former_manager) is not None:
        entries = managedfields.handed_over(live, former_manager, job.key.manager)
        _write_managed_fields(job.api, job.resource, live, entries)


def _fold(job: Job, live: Raw) -> None:
    entries = outlook.folded(job, live)
    if entries is not None:
        _write_managed_fields(job.api, job.resource, live, entries)


def _with_changes(claim: FirstContact, job: Job, live: Raw) -> FirstContact:
    """A claim, with what letting it through would change. It is held as well where that can't be told."""
    try:
        found = outlook.look_ahead(job, live)
    except (LeaseError, Unreachable):
        raise
    except UndriftError:
        return claim
    words = f". Letting the plan through: {found.words}" if found.words else ""
    return FirstContact(claim.message + words, subject=claim.subject, brief=found.brief)


def _write_managed_fields(api: ClusterApi, resource: Resource, live: Raw, entries: Sequence[Mapping[str, Any]]) -> None:
    meta = live["metadata"]
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": list(entries)},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
    ]
    api.patch_json(resource, str(meta.get("namespace") or ""), str(meta["name"]), patch)
