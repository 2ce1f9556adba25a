"""Holds the deletions of one plan that a person should see first (invariant 6).

What is gone already counts neither as a deletion nor as a member: the share is one of what still exists. A hold is
derived anew from each plan and never stored; it ends when the plan changes or when exactly this plan, by its id, was
approved.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.plan import Hold, Plan
from reconciler.plan.wording import named

MOST_PERCENT = 30
MOST_PERCENT_FROM = 3
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


def holds(plan: Plan, inventory: Inventory, seen: Observation) -> tuple[Hold, ...]:
    """The reasons to ask a person before this plan's deletions; empty when none applies."""
    doomed = [change.key for change in plan.prune if change.uid]
    if not doomed:
        return ()
    existing = sum(_may_exist(key, seen) for key in inventory.members)
    found: list[Hold] = []
    protected = [key for key in doomed if key.group_kind in PROTECTED]
    if protected:
        found.append(
            _hold(plan, "ProtectedKind", f"deletes {named(protected)}, of a kind that is protected", protected)
        )
    if len(doomed) == existing:
        found.append(_hold(plan, "DeletesEverything", f"deletes all {existing} objects ({named(doomed)})", doomed))
    elif len(doomed) >= MOST_PERCENT_FROM and 100 * len(doomed) > MOST_PERCENT * existing:
        what = f"deletes {len(doomed)} of {existing} objects, more than {MOST_PERCENT} % ({named(doomed)})"
        found.append(_hold(plan, "TooManyDeletions", what, doomed))
    elif len(doomed) > MOST_OBJECTS:
        what = f"deletes {len(doomed)} objects, more than {MOST_OBJECTS} ({named(doomed)})"
        found.append(_hold(plan, "TooManyDeletions", what, doomed))
    return tuple(found)


def _may_exist(key: ObjectKey, seen: Observation) -> bool:
    return key in seen.live or key.group_kind in seen.unseen


def _hold(plan: Plan, reason: str, what: str, subjects: Sequence[ObjectKey]) -> Hold:
    short = plan.instance.short
    return Hold(
        reason,
        f"plan {plan.id} {what}: held, nothing was deleted. `undrift app plan {short}` shows the list, "
        f"`undrift app approve {short} --plan {plan.id}` lets exactly it through",
        tuple(subjects),
    )
