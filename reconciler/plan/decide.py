"""Compares what is desired with what is owned and seen, and returns the plan.

For each desired object the first of these that is true decides:

    not a member, or never proven and not seen     Create   (may only create: an existing object is first contact)
    everything was asked for                       Apply, cause Full
    its manifest changed since it was applied      Apply, cause Changed
    it was applied and is not there                Apply, cause Gone      ┐ drift: healed, reported or ignored,
    its fingerprint differs                        Apply, cause Drift     ┘ and it may be contested
    there is no proof                              Apply, cause Unproven
    otherwise                                      kept, without a request

Members that are no longer desired are stale (`plan.stale`); brakes may hold their deletion (`plan.brakes`). Objects of a
kind that could not be looked at are applied when there is reason to, and never deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.errors import EmptyRender
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory, Proof
from reconciler.model.live import Observation
from reconciler.model.manifest import Manifest, ManifestSet, ObjectKey
from reconciler.model.plan import Action, Cause, Change, Hold, Plan
from reconciler.model.record import Heals, Order
from reconciler.model.spec import InstanceSpec
from reconciler.objects import managedfields
from reconciler.objects.order import waves
from reconciler.plan import brakes, contest, project, stale


@dataclass(frozen=True, slots=True)
class _Decision:
    """The sorted desired objects: what to write, what stands as it should, what waits, what drifted but is only told."""

    changes: tuple[Change, ...]
    kept: tuple[ObjectKey, ...]
    contested: tuple[ObjectKey, ...]
    reported: tuple[Change, ...]


def make_plan(
    desired: ManifestSet,
    inventory: Inventory,
    seen: Observation,
    *,
    spec: InstanceSpec,
    order: Order,
    heals: Mapping[ObjectKey, Heals],
    now: datetime,
) -> Plan:
    """What a sync with this order would do. Linear in the number of objects.

    Raises EmptyRender when nothing is desired but objects are owned, NotAllowed when the project forbids an object.
    """
    _require_something(desired, inventory, spec.key)
    project.require_allowed(desired, spec)
    decision = _decide(desired, inventory, seen, spec, order, heals, now)
    doomed, left_alone = stale.stale_members(desired, inventory, seen, spec)
    plan = Plan(
        instance=spec.key,
        digest=desired.digest,
        waves=waves(decision.changes),
        prune=doomed,
        kept=decision.kept,
        left_alone=left_alone,
        contested=decision.contested,
        reported=decision.reported,
    )
    return _held(plan, brakes.holds(plan, inventory), order.approved_plan)


def with_first_contact(plan: Plan, found: Collection[ObjectKey], *, approved: str | None) -> Plan:
    """The plan when applying has found objects that exist and were never ours.

    Approved by its id: `waves` holds their adoption and nothing else, and no holds are left. Else: `waves` is empty and
    a hold lists them.
    """
    plan = replace(plan, first_contact=tuple(sorted(found)))
    if approved == plan.id:
        changes = [
            replace(change, action=Action.ADOPT)
            for wave in plan.waves
            for change in wave.changes
            if change.key in plan.first_contact
        ]
        return replace(plan, waves=waves(changes), holds=())
    return replace(plan, waves=(), holds=(*plan.holds, _contact_hold(plan)))


def _require_something(desired: ManifestSet, inventory: Inventory, key: InstanceKey) -> None:
    if not desired and inventory.members:
        raise EmptyRender(
            f"{key.short}: the render is empty, while {len(inventory.members)} objects are owned; nothing was pruned. "
            "Put manifests back, or remove the Application from the fleet and run "
            f"`undrift app delete {key.short} --yes`",
            subject=key,
        )


def _held(plan: Plan, found: tuple[Hold, ...], approved: str | None) -> Plan:
    return plan if approved == plan.id else replace(plan, holds=found)


def _contact_hold(plan: Plan) -> Hold:
    names = ", ".join(str(key) for key in plan.first_contact[:3])
    more = f" and {len(plan.first_contact) - 3} more" if len(plan.first_contact) > 3 else ""
    return Hold(
        "FirstContact",
        f"{names}{more} exist already and were never this application's; nothing was written to them. "
        f"`undrift app plan {plan.instance.short}` shows them, "
        f"`undrift app approve {plan.instance.short} --plan {plan.id}` takes them over",
        plan.first_contact,
    )


def _decide(
    desired: ManifestSet,
    inventory: Inventory,
    seen: Observation,
    spec: InstanceSpec,
    order: Order,
    heals: Mapping[ObjectKey, Heals],
    now: datetime,
) -> _Decision:
    proofs = inventory.applied.proofs if inventory.applied else {}
    changes: list[Change] = []
    kept: list[ObjectKey] = []
    contested: list[ObjectKey] = []
    reported: list[Change] = []
    for manifest in desired:
        change = _change(manifest, manifest.key in inventory.members, proofs.get(manifest.key), seen, spec.key, order)
        if change is None:
            kept.append(manifest.key)
        elif change.cause in (Cause.DRIFT, Cause.GONE) and spec.drift.action != "Heal":
            reported.append(change)
        elif change.cause in (Cause.DRIFT, Cause.GONE) and contest.is_waiting(heals, manifest.key, now):
            contested.append(manifest.key)
        else:
            changes.append(change)
    return _Decision(tuple(changes), tuple(kept), tuple(contested), tuple(reported))


def _change(
    manifest: Manifest, is_member: bool, proof: Proof | None, seen: Observation, key: InstanceKey, order: Order
) -> Change | None:
    live = seen.live.get(manifest.key)
    uid = str(live["metadata"].get("uid", "")) if live else ""
    # begin() names an object as a member before its first write, so membership alone does not make it ours: an object
    # that was held at first contact would be forced in the next pass.
    if not is_member or (proof is None and live is None):
        return Change(manifest.key, Action.CREATE, Cause.NEW, manifest)
    cause = _cause(manifest, proof, live, seen, key, order)
    return None if cause is None else Change(manifest.key, Action.APPLY, cause, manifest, uid)


def _cause(
    manifest: Manifest, proof: Proof | None, live: object, seen: Observation, key: InstanceKey, order: Order
) -> Cause | None:
    if order.full:
        return Cause.FULL
    if proof is None:
        return Cause.UNPROVEN
    if proof.manifest_digest != manifest.digest:
        return Cause.CHANGED
    if live is None:
        return Cause.UNPROVEN if manifest.key.group_kind in seen.unseen else Cause.GONE
    if managedfields.fingerprint(seen.live[manifest.key], key.manager) != proof.fingerprint:
        return Cause.DRIFT
    return None
