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
from functools import partial
from typing import Any

from reconciler.apply import adopt
from reconciler.apply.job import Job
from reconciler.errors import FieldConflict, FirstContact, InvalidObject, PreconditionFailed
from reconciler.model.drift import IgnoredDifference
from reconciler.model.live import Resource
from reconciler.model.manifest import Raw
from reconciler.model.plan import Action
from reconciler.objects import diff, foreign, ignored, managedfields
from reconciler.objects.diff import Difference
from reconciler.objects.keys import LAST_APPLIED
from reconciler.objects.pointer import escaped
from reconciler.ports import ClusterApi

KUBECTL_MANAGERS = frozenset({"kubectl-client-side-apply", "kubectl-create"})
TRIES = 3
"""Times to begin anew when somebody writes between our look and our write: controllers do, to a status."""
_COUNTED = frozenset({".metadata.annotations.deprecated.daemonset.template.generation"})
"""What the API server counts up itself with each change."""
_ITS_OWN = IgnoredDifference(kind="*", json_pointers=(f"/metadata/annotations/{escaped(LAST_APPLIED)}",))
"""What kubectl alone writes and reads. Taken away it would count as a change of a Deployment (its generation)."""


def judge(job: Job, live: Raw) -> tuple[Difference, ...]:
    """What the API server would add to the object; nothing is written.

    Judged by what would stand, not by how it is written: `1024Mi` for `1Gi` changes nothing, another order of containers
    does. Raises OwnedByAnother, OwnedByAutoscaler, and FirstContact for what waits for a person: a claim, another value or
    order than Git's, fields that would be lost. Where the policy is `Always` the last three are no question.
    """
    subject, beside = job.change.key, job.beside(live)
    adopt.require_allowed(live, job.key, subject, job.adopt)
    adopt.require_scale_kept(live, beside.body, subject)
    owners: Mapping[str, str] = {}
    try:
        would_be = beside.send(force=job.adopt == "Always", dry_run=True)
    except FieldConflict as conflict:
        owners = {field.replace('"', ""): manager for field, manager in conflict.causes}
        would_be = beside.send(force=True, dry_run=True)
    changed = diff.differences(live, would_be)
    if job.adopt == "Always":
        return changed
    other = [one for one in changed if None not in (one.before, one.after) and one.path not in _COUNTED]
    if other:
        raise adopt.contested_contact([_worded(one, owners) for one in other], subject)
    if going := lost(job, live, would_be):
        raise FirstContact(
            f"{subject} exists, and taking it over would take away what Git does not declare: {_named(going)}; nothing "
            "was written to it. Declare it in Git, list it in `ignoreDifferences`, or let the plan through",
            subject=subject,
        )
    return changed


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
    changed = diff.differences(live, would_be)
    if job.change.action is not Action.ADOPT:
        return changed
    known = {one.path for one in changed}
    return (*changed, *(one for one in lost(job, live, would_be) if one.path not in known))


def lost(job: Job, live: Raw, would_be: Raw) -> tuple[Difference, ...]:
    """What the object has by kubectl, Git does not declare, and the taking over takes away. The API server is asked what
    is left: where its default is what stands, nothing is lost."""
    manager, subject = job.key.manager, job.change.key
    ours_after = managedfields.apply_entry(would_be, manager) or {}
    entries = _folded(job, live) or managedfields.entries(live)
    ours = next((one for one in entries if managedfields.is_apply_of(one, manager)), {})
    kept = [ours_after, *(one for one in entries if one is not ours)]
    kept_paths = frozenset().union(*(managedfields.paths(one.get("fieldsV1") or {}) for one in kept))
    patch = foreign.removal_patch(ours.get("fieldsV1") or {}, live, kept_paths)
    if not patch:
        return ()
    try:
        left = job.api.patch_json(job.resource, subject.namespace, subject.name, patch, dry_run=True)
    except InvalidObject:  # what is left is no whole object: then each of them counts
        return tuple(Difference(one["path"].replace("/", "."), "a value", None) for one in patch)
    return tuple(one for one in diff.differences(live, left) if one.before or one.after)


def hand_over(job: Job, live: Raw, former_manager: str) -> None:
    """Put our name in place of that of an instance we were before. Raises PreconditionFailed when somebody wrote in
    between."""
    if managedfields.apply_entry(live, former_manager) is not None:
        entries = managedfields.handed_over(live, former_manager, job.key.manager)
        _write_managed_fields(job.api, job.resource, live, entries)


def _fold(job: Job, live: Raw) -> None:
    entries = _folded(job, live)
    if entries is not None:
        _write_managed_fields(job.api, job.resource, live, entries)


def _folded(job: Job, live: Raw) -> list[dict[str, Any]] | None:
    """The managedFields with kubectl's entries in ours, save for what is ignored. None when there is nothing to fold."""
    named = {name for rule in job.ignored for name in rule.managed_fields_managers}
    left = partial(ignored.left_of, body=job.body, rules=(*job.ignored, _ITS_OWN))
    return managedfields.absorb(live, KUBECTL_MANAGERS - named, job.key.manager, left)


def _write_managed_fields(api: ClusterApi, resource: Resource, live: Raw, entries: Sequence[Mapping[str, Any]]) -> None:
    meta = live["metadata"]
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": list(entries)},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
    ]
    api.patch_json(resource, str(meta.get("namespace") or ""), str(meta["name"]), patch)


def _worded(one: Difference, owners: Mapping[str, str]) -> str:
    """A difference with both values, and whose the field is where that is known."""
    path = one.path.replace('"', "")
    owner = next(
        (who for field, who in owners.items() if path == field or path.startswith((f"{field}.", f"{field}["))), ""
    )
    return f"{one.path} ({_short(one.after)} where {_short(one.before)} stands{f', by {owner}' if owner else ''})"


def _named(going: Sequence[Difference]) -> str:
    shown = [
        f"{one.path} ({_short(one.before)}{'' if one.after is None else f' would be {_short(one.after)}'})"
        for one in going[: adopt.MOST_NAMED]
    ]
    more = f" and {len(going) - adopt.MOST_NAMED} more" if len(going) > adopt.MOST_NAMED else ""
    return ", ".join(shown) + more


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
