"""Compares what is desired with what is owned and seen, and returns the plan.

For each desired object the first of these that is true decides:

    not ours as far as is proven                   Create   (may only create: an existing object is first contact)
    there is no proof                              Apply, cause Unproven
    its manifest changed since it was applied      Apply, cause Changed
    it differs by a sync of ours that was lost     Apply, cause Unproven
    it was applied and is not there                Apply, cause Gone      ┐ drift: healed, reported or ignored,
    its fingerprint differs                        Apply, cause Drift     │ and it may be contested
    it holds what is to be removed of others       Apply, cause Foreign   ┘
    everything was asked for                       Apply, cause Full
    its kind could not be looked at                Apply, cause Unproven
    otherwise                                      kept, without a request

Drift keeps its cause in a full pass too, so that it is named and counted; a full pass that a person asked for heals it
whatever the policy says and whoever fights. Members that are no longer desired are stale (`plan.stale`); brakes may hold
their deletion (`plan.brakes`). Objects of a kind that could not be looked at are applied, and never deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.errors import EmptyRender
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory, Proof
from reconciler.model.live import Observation
from reconciler.model.manifest import Manifest, ManifestSet, ObjectKey, Raw
from reconciler.model.plan import DRIFTED, Action, Cause, Change, Hold, Plan
from reconciler.model.record import Heals, Order
from reconciler.model.rules import Guards
from reconciler.model.spec import InstanceSpec
from reconciler.objects import foreign, ignored, keys, managedfields
from reconciler.objects.order import waves
from reconciler.plan import brakes, contest, project, stale
from reconciler.plan.wording import NAMED, named


@dataclass(frozen=True, slots=True)
class _Look:
    """All that the decision about an object may look at."""

    inventory: Inventory
    seen: Observation
    spec: InstanceSpec
    order: Order
    heals: Mapping[ObjectKey, Heals]
    now: datetime

    def proof(self, key: ObjectKey) -> Proof | None:
        applied = self.inventory.applied
        return applied.proofs.get(key) if applied else None

    @property
    def heals_all(self) -> bool:
        return self.order.full and self.order.by_operator


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

    Whether it may be carried out at all (`sync.mode`) is for the caller to say: a plan is made in every mode.

    Raises EmptyRender when nothing is desired but objects are owned, NotAllowed when the project forbids an object.
    """
    _require_something(desired, inventory, spec.key)
    project.require_allowed(desired, spec)
    decision = _decide(desired, _Look(inventory, seen, spec, order, heals, now))
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
    if order.approved_plan == plan.id:
        return plan
    return replace(plan, holds=brakes.holds(plan, inventory, seen, spec.guards))


def with_found(
    plan: Plan,
    contact: Mapping[ObjectKey, str],
    replaced: Collection[ObjectKey],
    inventory: Inventory,
    seen: Observation,
    *,
    guards: Guards,
    approved: str | None,
    briefs: Mapping[ObjectKey, str] | None = None,
) -> Plan:
    """The plan when applying has found objects that exist and were never ours (`contact`, with their uids), or that must be
    deleted and made anew as their manifests ask for (`replaced`). Its id names them too, so that nobody approves another
    object of the same name that was made since. `briefs` is what taking over each would change, for the hold's message.

    Replacing counts as deleting. Approved by that id, or with nothing to ask about: `waves` holds the adoptions and the
    replacements and nothing else, and no holds are left. Else: `waves` is empty, and the holds ask for the id that the plan
    has now, since a person can let the whole of it through or none.
    """
    grown = replace(plan, first_contact=dict(sorted(contact.items())), replaced=tuple(sorted(replaced)))
    if approved != grown.id:
        held = brakes.holds(grown, inventory, seen, guards)
        if contact:
            held = (*held, _contact_hold(grown, briefs or {}))
        if held:
            return replace(grown, waves=(), holds=held)
    found = [
        change
        for wave in plan.waves
        for change in wave.changes
        if change.key in grown.first_contact or change.key in grown.replaced
    ]
    changes = [
        replace(change, action=Action.ADOPT, uid=grown.first_contact[change.key])
        if change.key in grown.first_contact
        else replace(change, action=Action.REPLACE, cause=Cause.IMMUTABLE)
        for change in found
    ]
    return replace(grown, waves=waves(changes), holds=())


def _require_something(desired: ManifestSet, inventory: Inventory, key: InstanceKey) -> None:
    if not desired and inventory.members:
        raise EmptyRender(
            f"{key.short}: the render is empty, while {len(inventory.members)} objects are owned; nothing was pruned. "
            "Put manifests back, or remove the Application from the fleet and run "
            f"`undrift app delete {key.short} --yes`",
            subject=key,
        )


def _contact_hold(plan: Plan, briefs: Mapping[ObjectKey, str]) -> Hold:
    told = "; ".join(f"{key}: {briefs[key]}" for key in list(plan.first_contact)[:NAMED] if briefs.get(key))
    done = f"What an approval does: {told}. " if told else ""
    return Hold(
        "FirstContact",
        f"plan {plan.id}: {named(tuple(plan.first_contact))} exist already and were never this application's; nothing was "
        f"written to them. {done}`undrift app plan {plan.instance.short}` shows them, "
        f"`undrift app approve {plan.instance.short} --plan {plan.id}` takes them over",
        tuple(plan.first_contact),
    )


def _decide(desired: ManifestSet, look: _Look) -> _Decision:
    changes: list[Change] = []
    kept: list[ObjectKey] = []
    contested: list[ObjectKey] = []
    reported: list[Change] = []
    for manifest in desired:
        change = _change(manifest, look)
        if change is None:
            kept.append(manifest.key)
        elif change.cause not in DRIFTED or look.heals_all:
            changes.append(change)
        elif look.spec.drift.action != "Heal":
            reported.append(change)
        elif contest.is_waiting(look.heals, manifest.key, look.now):
            contested.append(manifest.key)
        else:
            changes.append(change)
    return _Decision(tuple(changes), tuple(kept), tuple(contested), tuple(reported))


def _change(manifest: Manifest, look: _Look) -> Change | None:
    live = look.seen.live.get(manifest.key)
    if not _is_ours(manifest.key, live, look):
        return Change(manifest.key, Action.CREATE, Cause.NEW, manifest)
    cause = _cause(manifest, live, look)
    uid = str(live["metadata"].get("uid", "")) if live else ""
    return None if cause is None else Change(manifest.key, Action.APPLY, cause, manifest, uid)


def _is_ours(key: ObjectKey, live: Raw | None, look: _Look) -> bool:
    """Whether the object may be applied to as one of ours.

    The inventory names an object before its first write, so membership alone proves nothing: an object held at first
    contact would be forced in the next pass. Nor does the label, which controllers copy: our own apply must have put it.
    """
    if key not in look.inventory.members:
        return False
    if look.proof(key) is not None:
        return True
    return live is not None and managedfields.owns_label(live, look.spec.key.manager, keys.PART_OF)


def _is_left_to_others(manifest: Manifest, live: Raw, look: _Look) -> bool:
    """Whether a policy that only tells of drift would tell of nothing but ignored fields. One that heals looks closer."""
    rules = ignored.rules_for(manifest.key, look.spec.ignore_differences)
    if not rules or look.spec.drift.action == "Heal" or look.heals_all:
        return False
    lost = managedfields.lost(live, look.spec.key.manager, manifest.body)
    return bool(lost) and all(ignored.is_ignored(field, rules, manager) for field, manager in lost)


def _cause(manifest: Manifest, live: Raw | None, look: _Look) -> Cause | None:
    proof = look.proof(manifest.key)
    if proof is None:
        return Cause.UNPROVEN
    if proof.manifest_digest != manifest.digest:
        return Cause.CHANGED
    unseen = live is None and manifest.key.group_kind in look.seen.unseen
    if live is None and not unseen:
        return Cause.UNPROVEN if look.inventory.is_unfinished else Cause.GONE
    if live is not None and managedfields.fingerprint(live, look.spec.key.manager) != proof.fingerprint:
        if look.inventory.is_unfinished and managedfields.wrote_last(live, look.spec.key.manager):
            return Cause.UNPROVEN
        return None if _is_left_to_others(manifest, live, look) else Cause.DRIFT
    if live is not None and _is_to_be_stripped(live, look):
        return Cause.FOREIGN
    if look.order.full:
        return Cause.FULL
    return Cause.UNPROVEN if unseen else None


def _is_to_be_stripped(live: Raw, look: _Look) -> bool:
    """Whether it holds fields of others that the policy says to remove."""
    rules = look.spec.drift.foreign_fields
    if not any(one.action == "Remove" for one in rules):
        return False
    return bool(foreign.removals(live, look.spec.key.manager, rules))
