"""Which members are no longer desired, and which of those are left alone.

Only a member can be stale: no list of a cluster, no label and no name ever puts an object into the set of deletions.
"""

from __future__ import annotations

from reconciler.model.inventory import Inventory
from reconciler.model.live import Observation
from reconciler.model.manifest import ManifestSet, ObjectKey, Raw
from reconciler.model.plan import Action, Cause, Change
from reconciler.model.spec import InstanceSpec
from reconciler.objects import keys, order

LeftAlone = tuple[tuple[ObjectKey, str], ...]


def stale_members(
    desired: ManifestSet, inventory: Inventory, seen: Observation, spec: InstanceSpec
) -> tuple[tuple[Change, ...], LeftAlone]:
    """The deletions, dependants before what they depend on, and the stale members that stay, each with why."""
    wanted = {manifest.key for manifest in desired}
    stale = [key for key in inventory.members if key not in wanted]
    reasons = {key: _why_it_stays(key, inventory, seen, spec) for key in stale}
    doomed = order.deletion_order(key for key in stale if not reasons[key])
    changes = tuple(Change(key, Action.DELETE, Cause.STALE, uid=_uid(seen.live.get(key))) for key in doomed)
    return changes, tuple((key, reasons[key]) for key in sorted(stale) if reasons[key])


def _why_it_stays(key: ObjectKey, inventory: Inventory, seen: Observation, spec: InstanceSpec) -> str:
    """A reason not to delete a stale member; empty when there is none."""
    if not spec.sync.prune:
        return "sync.prune is false"
    if inventory.rebuilt:
        return "the inventory was lost and has just been rebuilt; the next pass may prune"
    if inventory.members[key].adopted:
        return "it existed before Undrift and is never pruned"
    if key.group_kind in seen.unseen:
        return "its kind could not be looked at in this pass"
    annotations = _annotations(seen.live.get(key))
    if annotations.get(keys.PRUNE) == "disabled":
        return f"annotated {keys.PRUNE}: disabled"
    return ""


def _annotations(live: Raw | None) -> dict[str, str]:
    return ((live or {}).get("metadata") or {}).get("annotations") or {}


def _uid(live: Raw | None) -> str:
    return str(live["metadata"].get("uid", "")) if live else ""
