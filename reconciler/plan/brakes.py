"""Holds the deletions of one plan that a person should see first (invariant 6).

What is gone already counts neither as a deletion nor as a member: the share is one of what still exists. A hold is
derived anew from each plan and never stored; it ends when the plan changes or when exactly this plan, by its id, was
approved. How much is too much is for the project to say (`guards`), within what holds for all.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.plan import Hold, Plan
from reconciler.model.rules import Guards
from reconciler.objects import keys, managedfields
from reconciler.objects.kinds import PRECIOUS, controller
from reconciler.plan.wording import named

PERCENT_FROM = 3
"""A share of the members counts only from this many deletions on: one of two objects is no catastrophe."""


def holds(plan: Plan, inventory: Inventory, seen: Observation, guards: Guards) -> tuple[Hold, ...]:
    """The reasons to ask a person before this plan's deletions, replacements included; empty when none applies."""
    doomed = [*(change.key for change in plan.prune if change.uid), *plan.replaced]
    if not doomed:
        return ()
    existing = sum(_may_be_ours(key, seen, plan.instance) for key in inventory.members)
    found: list[Hold] = []
    if protected := [key for key in doomed if is_protected(key.group_kind, guards)]:
        what = f"deletes {named(protected)}, of a kind that is protected"
        found.append(_hold(plan, guards, "ProtectedKind", what, protected))
    comes_back = len(doomed) == len(plan.replaced) < PERCENT_FROM
    if len(doomed) >= existing and not comes_back:
        what = f"deletes all {len(doomed)} objects ({named(doomed)})"
        found.append(_hold(plan, guards, "DeletesEverything", what, doomed))
    elif len(doomed) >= PERCENT_FROM and 100 * len(doomed) > guards.max_deletion_percent * existing:
        share = f"more than {guards.max_deletion_percent} %"
        what = f"deletes {len(doomed)} of {existing} objects, {share} ({named(doomed)})"
        found.append(_hold(plan, guards, "TooManyDeletions", what, doomed))
    elif len(doomed) > guards.max_deletions:
        what = f"deletes {len(doomed)} objects, more than {guards.max_deletions} ({named(doomed)})"
        found.append(_hold(plan, guards, "TooManyDeletions", what, doomed))
    return tuple(found)


def is_protected(kind: GroupKind, guards: Guards) -> bool:
    """Whether even one deletion of the kind waits for a person."""
    return kind in PRECIOUS or any(rule.covers(kind) for rule in guards.protected_kinds)


def _may_be_ours(key: ObjectKey, seen: Observation, instance: InstanceKey) -> bool:
    """What others have taken since is none of ours that would be left."""
    live = seen.live.get(key)
    if live is None:
        return key.group_kind in seen.unseen
    return managedfields.owns_label(live, instance.manager, keys.PART_OF) and not controller(live)


def _hold(plan: Plan, guards: Guards, reason: str, what: str, subjects: Sequence[ObjectKey]) -> Hold:
    short = plan.instance.short
    is_late = bool(plan.first_contact or plan.replaced)  # found by applying the rest
    only_kept = guards.hold == "Deletions" or is_late
    so = "nothing was deleted" if only_kept else "nothing was written, since guards.hold is Plan"
    return Hold(
        reason,
        f"plan {plan.id} {what}: held, {so}. `undrift app plan {short}` shows the list, "
        f"`undrift app approve {short} --plan {plan.id}` lets exactly it through",
        tuple(subjects),
    )
