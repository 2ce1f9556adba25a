"""Turns the notes of a pass into what people read: sync, phase, a stable reason, one line, and when to look again.

Truthful before kind: a pass that failed before it had a desired set says Unknown, one that wants a person says Held, and
an object that did not become what Git says is never called Synced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import (
    BACKOFF,
    NEVER,
    ClusterIdentityChanged,
    FirstContact,
    ImmutableField,
    InvalidObject,
    NeedsReplacing,
    OwnedByAnother,
    OwnedByAutoscaler,
    Retry,
    UndriftError,
)
from reconciler.model.changeset import Outcome, Result
from reconciler.model.health import Health, HealthReport
from reconciler.model.inventory import NEVER_PRUNED
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Cause
from reconciler.model.record import Heals, Phase, Sync
from reconciler.plan import contest

if TYPE_CHECKING:
    from reconciler.pipeline.notes import Notes

UNSETTLED = frozenset({Health.PROGRESSING, Health.MISSING})


@dataclass(frozen=True, slots=True)
class Told:
    """The verdict over one pass."""

    sync: Sync
    phase: Phase
    reason: str
    message: str
    retry: Retry = NEVER
    waiting_since: datetime | None = None


def tell(notes: Notes, report: HealthReport, now: datetime) -> Told:
    """The first of these that is true: the pass ended early, objects failed, it is held, it only looked, it did it."""
    if notes.error is not None:
        return _ended_early(notes, notes.error)
    if failed := [one for one in notes.failures if not isinstance(one.error, FirstContact | NeedsReplacing)]:
        return _failed(failed, notes)
    if notes.plan is not None and notes.plan.holds:
        return _held(notes)
    if notes.plan is not None and not notes.plan.is_noop and not notes.wrote:
        return _looked_only(notes)
    if fights := notes.fights(now):
        return _contested(notes, fights, now)
    if going := [one for one in notes.outcomes if one.result is Result.DELETING]:
        return _still_deleting(notes, going, now)
    if notes.plan is not None and notes.plan.reported and notes.spec.drift.action == "Report":
        return _reported(notes)
    return _done(notes, report, now)


def is_complete(notes: Notes) -> bool:
    """Whether everything that was desired stands as desired, and nothing stale is left that should have gone."""
    plan = notes.plan
    if plan is None or notes.error is not None:
        return False
    going = any(one.result is Result.DELETING for one in notes.outcomes)
    return not (notes.failures or plan.holds or plan.contested or plan.reported or going)


def is_not_ours(error: UndriftError | None) -> bool:
    """Whether an object that could not be applied exists and belongs to somebody else, or was refused outright: a field that
    can't be changed is one of an object that stood before."""
    return exists_anyway(error) or isinstance(error, InvalidObject)


def exists_anyway(error: UndriftError | None) -> bool:
    """Whether a refusal tells that the object is there, though it is not as Git says."""
    return isinstance(error, (FirstContact, OwnedByAnother, OwnedByAutoscaler, ImmutableField))


def _ended_early(notes: Notes, error: UndriftError) -> Told:
    phase = Phase.HELD if isinstance(error, ClusterIdentityChanged) else Phase.FAILED
    return Told(Sync.UNKNOWN, phase, error.reason, error.message, error.retry)


def _failed(failed: list[Outcome], notes: Notes) -> Told:
    first = failed[0].error
    assert first is not None  # only outcomes with an error come here
    more = f" (and {len(failed) - 1} more objects failed)" if len(failed) > 1 else ""
    return Told(
        Sync.OUT_OF_SYNC,
        Phase.FAILED,
        first.reason,
        first.message + more + _held_besides(notes),
        soonest([found.error.retry for found in failed if found.error is not None]),
    )


def _held_besides(notes: Notes) -> str:
    """What waits for a person is not hidden by what failed."""
    if notes.plan is None or not notes.plan.holds:
        return ""
    return f"; besides, plan {notes.plan.id} is held: {notes.plan.holds[0].message}"


def soonest(retries: list[Retry]) -> Retry:
    """The retry that comes first: back-off before seconds, seconds before never."""
    if BACKOFF in retries:
        return BACKOFF
    seconds = [retry for retry in retries if isinstance(retry, float)]
    return min(seconds) if seconds else NEVER


def _held(notes: Notes) -> Told:
    plan = notes.plan
    assert plan is not None
    hold = plan.holds[0]
    more = f" (and {len(plan.holds) - 1} more reasons)" if len(plan.holds) > 1 else ""
    return Told(Sync.OUT_OF_SYNC, Phase.HELD, hold.reason, hold.message + more)


def _looked_only(notes: Notes) -> Told:
    plan = notes.plan
    assert plan is not None
    count = sum(1 for _ in plan.changes)
    taken = len(notes.exists)
    of = f" ({taken} of them to objects that exist and are not ours yet)" if taken else ""
    if (brake := notes.order.brake) is not None:
        return Told(Sync.OUT_OF_SYNC, Phase.PAUSED, brake.kind, f"{count} changes wait: {brake.sentence}")
    if notes.spec.sync.mode == "Manual":
        way = f"sync.mode is Manual: `undrift app sync {notes.spec.key.short}` applies them"
        return Told(Sync.OUT_OF_SYNC, Phase.IDLE, "ManualSync", f"{count} changes wait; {way}")
    return Told(
        Sync.OUT_OF_SYNC, Phase.IDLE, "Observed", f"{count} changes would be made{of}; mode Observe writes nothing"
    )


def _contested(notes: Notes, fights: Mapping[ObjectKey, Heals], now: datetime) -> Told:
    """Out of sync also when it was just put back: it will not stay so, and half an hour of quiet ends it, not success."""
    key, fight = next(iter(fights.items()))
    wait_s = max(0.0, (fight.until - now).total_seconds()) if fight.until else 0.0
    who = fight.manager or "another writer"
    both = next((one for one in notes.drift if one.key == key and one.theirs), None)
    values = f" from {both.ours} to {both.theirs}" if both else ""
    more = f" (and {len(fights) - 1} more objects)" if len(fights) > 1 else ""
    message = (
        f"{key}: {fight.field or 'a field'} is changed again and again{values} by {who}; the next heal waits "
        f"{wait_s:.0f} s{more}. Stop that writer, stop declaring the field in Git, or list it in ignoreDifferences"
    )
    waits = notes.plan is not None and bool(notes.plan.contested)
    look_again_s = wait_s if waits else (contest.quiet_at(fight) - now).total_seconds()
    return Told(Sync.OUT_OF_SYNC, Phase.WAITING, "Contested", message, max(look_again_s, 1.0))


def _still_deleting(notes: Notes, going: Sequence[Outcome], now: datetime) -> Told:
    """What is stale and not gone yet: named with what it waits for, and looked at again until it is gone."""
    more = f" (and {len(going) - 1} more)" if len(going) > 1 else ""
    message = f"{_what_was_done(notes)}; {going[0].key}: {going[0].note or 'being deleted'}{more}"
    return Told(Sync.OUT_OF_SYNC, Phase.WAITING, "Deleting", message, BACKOFF, notes.memory.waiting_since or now)


def _reported(notes: Notes) -> Told:
    first = notes.drift[0]
    what = _drift_words(first.field, first.manager)
    more = f" (and {len(notes.drift) - 1} more)" if len(notes.drift) > 1 else ""
    message = (
        f"{first.key}: {what}{more}; drift.action is Report, so it stays. "
        f"`undrift app sync {notes.spec.key.short} --full` puts it back"
    )
    return Told(Sync.OUT_OF_SYNC, Phase.IDLE, "Drifted", message)


def _drift_words(field: str, manager: str) -> str:
    if field == "(deleted)":
        return "was deleted"
    return f"{field or 'a field'} changed by {manager or 'somebody'}"


def _done(notes: Notes, report: HealthReport, now: datetime) -> Told:
    waits = notes.seen is not None and report.worst in UNSETTLED
    since = now if _is_another(notes) else notes.memory.waiting_since or now
    if waits and now - since < notes.spec.sync.health_timeout:
        message = f"{_what_was_done(notes)}; waiting for {_worst(report)}"
        return Told(Sync.SYNCED, Phase.WAITING, "WaitingForHealth", message, BACKOFF, since)
    if waits:
        message = f"{_worst(report)} did not become healthy within the health timeout"
        return Told(Sync.SYNCED, Phase.IDLE, "HealthTimeout", message, waiting_since=since)
    if report.worst is Health.DEGRADED:
        return Told(Sync.SYNCED, Phase.IDLE, "Degraded", f"{_what_was_done(notes)}; degraded: {_worst(report)}")
    healed = sum(outcome.result is Result.HEALED for outcome in notes.outcomes)
    return Told(Sync.SYNCED, Phase.IDLE, "Healed" if healed else "Synced", _what_was_done(notes))


def _is_another(notes: Notes) -> bool:
    """Whether this pass applied something else than the one before: it is waited for anew, whatever that one waited."""
    if not notes.wrote or notes.desired is None or notes.inventory is None:
        return False
    return notes.inventory.applied is None or notes.inventory.applied.digest != notes.desired.digest


def _worst(report: HealthReport) -> str:
    key, state = next((key, state) for key, state in report.objects.items() if state.health is report.worst)
    return f"{key}" + (f": {state.message}" if state.message else "")


def _what_was_done(notes: Notes) -> str:
    at = f" at {notes.revision.ref} {notes.revision.short}" if notes.revision else ""
    parts = [_counted(notes, result) for result in Result]
    done = ", ".join(part for part in parts if part) or "nothing to do"
    if healed := [drift for drift in notes.drift if drift.manager or drift.field]:
        first = healed[0]
        done += f"; {first.key}: {_drift_words(first.field, first.manager)}, put back"
    return f"{done}{at}{_left_alone(notes)}"


def _left_alone(notes: Notes) -> str:
    """What is for ever so is among the warnings, and not told anew by each pass."""
    alone = [*notes.plan.left_alone] if notes.plan else []
    alone += [(one.key, one.note) for one in notes.outcomes if one.result is Result.LEFT]
    alone = [(key, why) for key, why in alone if why != NEVER_PRUNED]
    return f"; left alone: {alone[0][0]} ({alone[0][1]})" if alone else ""


def _counted(notes: Notes, result: Result) -> str:
    count = sum(outcome.result is result for outcome in notes.outcomes)
    if not count or (result is Result.UNCHANGED and any(o.change.cause is Cause.FULL for o in notes.outcomes)):
        return ""
    return f"{count} {str(result).lower()}"
