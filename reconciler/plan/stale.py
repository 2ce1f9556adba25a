"""Which members are no longer desired, and which of those are left alone.

Only a member can be stale: no list of a cluster, no label and no name ever puts an object into the set of deletions.
A Namespace or a CRD stays as long as something that is not deleted lives in it or is of its kind, since the API server
would delete that too; what others keep in it only a look by `apply.contents` tells, just before it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.model.inventory import NEVER_PRUNED, Inventory, Member
from reconciler.model.live import Observation
from reconciler.model.manifest import ManifestSet, ObjectKey, Raw
from reconciler.model.plan import Action, Cause, Change
from reconciler.model.spec import InstanceSpec
from reconciler.objects import order
from reconciler.objects.keys import SYSTEM_NAMESPACE
from reconciler.objects.kinds import DEFINITION, NAMESPACE, defined_by, told_to_stay

LeftAlone = tuple[tuple[ObjectKey, str], ...]


def stale_members(
    desired: ManifestSet, inventory: Inventory, seen: Observation, spec: InstanceSpec
) -> tuple[tuple[Change, ...], LeftAlone]:
    """The deletions, dependants before what they depend on, and the stale members that stay, each with why.

    A stale object that a complete list does not hold is in the deletions too, without a uid: only a look by its name
    tells whether it is gone or lost its label, and prune takes that look.
    """
    wanted = {manifest.key for manifest in desired}
    stale = sorted(key for key in inventory.members if key not in wanted)
    same = _by_uid(wanted, seen)
    reasons = {key: _why_it_stays(key, inventory, seen, spec, same) for key in stale}
    staying = wanted | {key for key in stale if reasons[key]}
    for key in stale:
        reasons[key] = reasons[key] or _why_it_is_needed(key, seen.live.get(key), staying)
    doomed = order.deletion_order(key for key in stale if not reasons[key])
    changes = tuple(Change(key, Action.DELETE, Cause.STALE, uid=_uid(seen.live.get(key))) for key in doomed)
    return changes, tuple((key, reasons[key]) for key in stale if reasons[key])


def _why_it_stays(
    key: ObjectKey, inventory: Inventory, seen: Observation, spec: InstanceSpec, same: Mapping[str, ObjectKey]
) -> str:
    """A reason not to delete a stale member; empty when there is none."""
    live = seen.live.get(key)
    if not spec.sync.prune:
        return "sync.prune is false"
    if inventory.rebuilt:
        return NEVER_PRUNED
    if SYSTEM_NAMESPACE in (key.namespace, key.name if key.group_kind == NAMESPACE else ""):
        return f"{SYSTEM_NAMESPACE} holds the inventories of all applications; remove it by hand where it is none"
    if _existed_before(inventory.members[key], live):
        return NEVER_PRUNED
    if key.group_kind in seen.unseen:
        return "its kind could not be looked at in this pass"
    if why := told_to_stay(live):
        return why
    if twin := same.get(_uid(live)):
        return f"it is the same object as {twin}, which is desired"
    return ""


def _why_it_is_needed(key: ObjectKey, live: Raw | None, staying: Iterable[ObjectKey]) -> str:
    """Names something that stays and would be deleted together with a Namespace or a CRD; empty when nothing would."""
    if key.group_kind == NAMESPACE:
        inside = sorted(other for other in staying if other.namespace == key.name)
        return f"{inside[0]} stays and lives in it" if inside else ""
    if key.group_kind == DEFINITION and live is not None:
        defined = defined_by(live)
        inside = sorted(other for other in staying if other.group_kind == defined)
        return f"{inside[0]} stays and is of the kind that it defines" if inside else ""
    return ""


def _existed_before(member: Member, live: Raw | None) -> bool:
    """Prune looks again at the object itself; knowing it here keeps the plan and its brakes true."""
    created = (live or {}).get("metadata", {}).get("creationTimestamp")
    return member.adopted or (created is not None and datetime.fromisoformat(str(created)) < member.since)


def _by_uid(wanted: Iterable[ObjectKey], seen: Observation) -> Mapping[str, ObjectKey]:
    """The desired live objects by uid: one object may be served under two groups, such as Ingress in old clusters."""
    return {_uid(seen.live[key]): key for key in sorted(wanted) if _uid(seen.live.get(key))}


def _uid(live: Raw | None) -> str:
    return str(live["metadata"].get("uid", "")) if live else ""
