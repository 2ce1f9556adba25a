"""Holds the deletions of one plan that a person should see first (invariant 6).

A deletion of something that is gone already does not count. A hold is derived anew from each plan and never stored; it
ends when the plan changes or when exactly this plan, by its id, was approved.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.inventory import Inventory
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.plan import Hold, Plan

MOST_SHARE = 0.30
MOST_SHARE_FROM = 3
"""A share of the members counts only from this many deletions on: one of two objects is no catastrophe."""
MOST_OBJECTS = 50
PROTECTED = frozenset(
    {
        GroupKind("", "Namespace"),
        GroupKind("", "PersistentVolume"),
        GroupKind("", "PersistentVolumeClaim"),
        GroupKind("apps", "StatefulSet"),
        GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
    }
)


def holds(plan: Plan, inventory: Inventory) -> tuple[Hold, ...]:
    """The reasons to ask a person before this plan's deletions; empty when none applies."""
    doomed = [change.key for change in plan.prune if change.uid]
    if not doomed:
        return ()
    members = len(inventory.members)
    found: list[Hold] = []
    protected = [key for key in doomed if key.group_kind in PROTECTED]
    if protected:
        found.append(_hold(plan, "ProtectedKind", f"deletes {_named(protected)}", protected))
    if len(doomed) == members:
        found.append(_hold(plan, "DeletesEverything", f"deletes all {members} objects", doomed))
    elif len(doomed) >= MOST_SHARE_FROM and len(doomed) > MOST_SHARE * members:
        found.append(_hold(plan, "TooManyDeletions", f"deletes {len(doomed)} of {members} objects", doomed))
    elif len(doomed) > MOST_OBJECTS:
        found.append(_hold(plan, "TooManyDeletions", f"deletes {len(doomed)} objects", doomed))
    return tuple(found)


def _hold(plan: Plan, reason: str, what: str, subjects: Sequence[ObjectKey]) -> Hold:
    short = plan.instance.short
    return Hold(
        reason,
        f"plan {plan.id} {what}: held, nothing was deleted. `undrift app plan {short}` shows the list, "
        f"`undrift app approve {short} --plan {plan.id}` lets exactly it through",
        tuple(subjects),
    )


def _named(subjects: Sequence[ObjectKey]) -> str:
    names = ", ".join(str(key) for key in subjects[:3])
    return names + (f" and {len(subjects) - 3} more" if len(subjects) > 3 else "")
