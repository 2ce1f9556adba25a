"""Applies one wave, several objects in flight.

    Create   an apply that can only create (it names a resourceVersion that no object has, so the API server answers 409
             for one that exists): what exists is read and judged as first contact
    Apply    without force; a conflict with another of our applications is refused, any other is drift and is forced
    Replace  delete and make anew, where a manifest asks for that and the brakes have let it through
    Adopt    take over an object that a person let us take

One request per object; a second one only after a conflict, a few more for one that exists and was never ours. A failure
belongs to its object; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cache, partial

from reconciler.apply import adopt, drifted, recreate, settle, takeover
from reconciler.apply.job import Job, make_job
from reconciler.errors import (
    FieldConflict,
    FirstContact,
    ImmutableField,
    LeaseError,
    NamespaceMissing,
    NeedsReplacing,
    OwnedByAnother,
    PreconditionFailed,
    UndriftError,
)
from reconciler.model.changeset import ChangeSet, Outcome, Result
from reconciler.model.drift import ForeignRule, IgnoredDifference
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.manifest import Manifest, Raw
from reconciler.model.plan import Action, Cause, Change, Wave
from reconciler.objects import clean, managedfields
from reconciler.ports import ClusterApi

IN_FLIGHT = 8


def apply_wave(
    api: ClusterApi,
    wave: Wave,
    *,
    key: InstanceKey,
    inventory: Inventory,
    adopt: str,
    ignored: Sequence[IgnoredDifference] = (),
    foreign: Sequence[ForeignRule] = (),
    formers: Sequence[InstanceKey] = (),
    create_namespace: str | None = None,
) -> ChangeSet:
    """Apply the changes of a wave; the outcomes in the wave's order. `adopt` is the policy's word for first contact,
    `ignored` the fields that are sent on creation only, `foreign` what becomes of fields that others have added, `formers`
    the instances that this one was before.

    Raises LeaseError when the lease ended on the way; every other error is in the outcome of its object.
    """
    if create_namespace:
        settle.require_namespace(api, create_namespace)
    first, *rest = wave.changes
    # The first is applied here meanwhile: a thread less to wake, and none at all for a single object.
    make = partial(
        make_job, api, key=key, inventory=inventory, adopt=adopt, ignored=ignored, foreign=foreign, formers=formers
    )
    apply_one = partial(_apply_one, api, make=make)
    started = [_workers().submit(apply_one, change) for change in rest]
    try:
        outcomes = [apply_one(first), *(one.result() for one in started)]
    finally:
        for one in started:
            one.cancel()
        # One that runs already is not cancelled: nothing of ours may be on its way when the lease is let go.
        wait(started)
    settle.await_definitions(api, outcomes)
    return ChangeSet(tuple(outcomes))


@cache
def _workers() -> ThreadPoolExecutor:
    """The threads of this process, started once: a wave of three objects must not pay for eight threads."""
    return ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="apply")


def _apply_one(api: ClusterApi, change: Change, *, make: Callable[[Change], Job]) -> Outcome:
    manifest = change.manifest
    assert manifest is not None  # deletions never come in a wave
    try:
        return _carry_out(make(change))
    except LeaseError:
        raise
    except NamespaceMissing as error:
        api.known_namespaces.discard(change.key.namespace)  # so that the next pass may make it anew
        return Outcome(change, Result.FAILED, error=_named(error, manifest))
    except UndriftError as error:
        return Outcome(change, Result.FAILED, error=_named(error, manifest))


def _named(error: UndriftError, manifest: Manifest) -> UndriftError:
    """The same error, with the place in Git that the object was written at."""
    if manifest.origin and manifest.origin not in error.message:
        error.message = f"{error.message} ({manifest.origin})"
        error.args = (error.message,)
    error.subject = manifest.key
    return error


def _carry_out(job: Job) -> Outcome:
    try:
        if job.change.action is Action.CREATE:
            return _create(job)
        if job.change.action is Action.REPLACE:
            anew = recreate.recreate(job.api, job.resource, job.body, job.key, job.inventory)
            return _outcome(job, anew, Result.REPLACED)
        stripped = drifted.strip(job) if job.change.cause is Cause.FOREIGN else ()
        live = job.look() if job.ignored or job.change.action is Action.ADOPT else None
        if job.change.action is Action.ADOPT:
            return _create(job) if live is None else _adopt(job, live)
        outcome = _apply(job, None) if live is None else _leave_to_others(job.beside(live), live)
        return replace(outcome, result=Result.HEALED, drift=stripped) if stripped else outcome
    except ImmutableField as error:
        if job.change.action is Action.REPLACE or not recreate.is_asked_for(job.body):
            raise
        raise NeedsReplacing(error.message, subject=job.change.key) from error


def _create(job: Job) -> Outcome:
    try:
        return _outcome(job, job.send(force=False, create_only=True), Result.CREATED)
    except (PreconditionFailed, FieldConflict):  # the server compares fields before versions
        live = job.look()
    if live is None:  # gone again between the two requests
        return _outcome(job, job.send(force=False, create_only=True), Result.CREATED)
    holder = adopt.holder_of(live, job.key, job.formers)
    if holder is not None and holder != job.key:
        return _move(job, live, holder)
    if holder is not None:
        return _apply(job, None) if not job.ignored else _leave_to_others(job.beside(live), live)
    try:
        return _take_over(job, live, is_approved=False)
    except FirstContact as error:
        error.uid = str(live["metadata"]["uid"])
        raise


def _adopt(job: Job, live: Raw) -> Outcome:
    """Take over what a person let us take, and not another object that has its name by now."""
    uid = str(live["metadata"]["uid"])
    if job.change.uid and uid != job.change.uid:
        raise PreconditionFailed(f"{job.change.key} was made anew since it was looked at", subject=job.change.key)
    return _take_over(job, live, is_approved=True)


def _take_over(job: Job, live: Raw, *, is_approved: bool) -> Outcome:
    """Take over an object that was never ours. Fields of others are forced only by a person's word or policy `Always`."""
    job = takeover.prepare(job, live, is_approved=is_approved)
    try:
        return _outcome(job, job.send(force=False), Result.ADOPTED)
    except FieldConflict as conflict:
        _require_not_another(conflict, job)
        if not is_approved and job.adopt != "Always":
            return _take_as_it_is(job)
    return _outcome(job, job.send(force=True), Result.ADOPTED)


def _take_as_it_is(job: Job) -> Outcome:
    """Take fields of others at the values that they have: Git writes them otherwise and means the same. Only if the object
    is as it was judged. Raises what `takeover.judge` does, since somebody may have written meanwhile."""
    live = job.look() or {}
    takeover.judge(job, live)
    version = str(live["metadata"]["resourceVersion"])
    return _outcome(job, job.send(force=True, version=version), Result.ADOPTED)


def _move(job: Job, live: Raw, former: InstanceKey) -> Outcome:
    """Take over an object of ours from the name that the instance had before: first its ownership, then its label."""
    takeover.hand_over(job, live, former.manager)
    outcome = _leave_to_others(job.beside(live), live) if job.ignored else _apply(job, Result.MOVED)
    return replace(outcome, result=Result.MOVED)


def _leave_to_others(job: Job, live: Raw) -> Outcome:
    """Apply with the ignored fields left to their owners. Drift in those alone is none."""
    outcome = _apply(job, None)
    is_same = outcome.live is not None and clean.meant(outcome.live) == clean.meant(live)
    if is_same and not outcome.drift and outcome.result in (Result.HEALED, Result.CONFIGURED):
        return replace(outcome, result=Result.UNCHANGED)
    return outcome


def _apply(job: Job, result: Result | None) -> Outcome:
    """Apply to an object that is ours: unforced, then forced once the conflict is known to be drift."""
    try:
        outcome = _outcome(job, job.send(force=False), result or _result(job.change))
        return replace(outcome, drift=drifted.how_gone(job, outcome)) if job.change.cause is Cause.GONE else outcome
    except FieldConflict as conflict:
        _require_not_another(conflict, job)
        drift = drifted.from_conflict(job, conflict)
    live = job.send(force=True)
    outcome = _outcome(job, live, result or Result.HEALED)
    return replace(outcome, drift=drift)


def _result(change: Change) -> Result:
    if change.cause is Cause.GONE:
        return Result.HEALED
    return Result.HEALED if change.cause is Cause.DRIFT else Result.CONFIGURED


def _require_not_another(conflict: FieldConflict, job: Job) -> None:
    """Raises OwnedByAnother when one of our own applications holds the field: two may never declare one object."""
    for field, manager in conflict.causes:
        if manager.startswith(adopt.OURS) and manager != job.key.manager:
            owner = manager.removeprefix(adopt.OURS)
            ours = f"{job.key.project}/{job.key.application}"
            raise OwnedByAnother(
                f"{job.change.key}: applications {owner} and {ours} both declare this object, and {owner} holds {field}; "
                "let one of the two declare it",
                subject=job.change.key,
            )


def _outcome(job: Job, live: Raw, result: Result) -> Outcome:
    proof = managedfields.fingerprint(live, job.key.manager)
    if result is Result.CONFIGURED and proof and proof == job.proof:
        result = Result.UNCHANGED  # the API server wrote nothing: our entry in managedFields is the same
    return Outcome(job.change, result, live=live, fingerprint=proof, admission=drifted.admission(job, live))
