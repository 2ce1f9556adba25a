"""How the objects of an instance do, as a scan saw it, in the instance's status. Pure.

A sync says how its objects do once, and the next one may be hours away; Pods die in between, and Redis may be lost. What a
look could not tell stays as it was.
"""

from __future__ import annotations

from reconciler.model.health import Health, ObjectHealth
from reconciler.model.status import InstanceStatus, ObjectEntry
from reconciler.pipeline.scan import Finding

SETTLED = frozenset({"Synced", "Healed", "Proven"})
UNWELL = frozenset({"Degraded", "HealthTimeout"})
_RANK = {str(one): rank for rank, one in enumerate(Health)}


def with_health(status: InstanceStatus, finding: Finding) -> InstanceStatus:
    """The status with the health that was seen. Where nothing else is told of it, its reason says when it is degraded, and
    when it is well again."""
    if not finding.health:
        return status
    found = {key.to_text(): one for key, one in finding.health.items()}
    objects = tuple(_with(one, found.get(one.key)) for one in status.objects or _listed(finding))
    worst = max((one.health for one in objects), key=_RANK.__getitem__, default=str(Health.UNKNOWN))
    status = status.model_copy(update={"objects": objects, "health": worst})
    if status.phase != "Idle":
        return status
    if worst == Health.DEGRADED and status.reason in SETTLED:
        first = next(one for one in objects if one.health == worst)
        return status.model_copy(update={"reason": "Degraded", "message": f"degraded: {_name(first)}"})
    if worst in (Health.HEALTHY, Health.SUSPENDED) and status.reason in UNWELL:
        return status.model_copy(update={"reason": "Synced", "message": "healthy again"})
    return status


def _listed(finding: Finding) -> tuple[ObjectEntry, ...]:
    """The objects of an instance of which its inventory alone tells."""
    drifted = {one.key for one in finding.drift}
    members = finding.applied.proofs if finding.applied else ()
    return tuple(
        ObjectEntry(key=key.to_text(), sync="OutOfSync" if key in drifted else "Synced", health=str(Health.UNKNOWN))
        for key in members
    )


def _with(entry: ObjectEntry, seen: ObjectHealth | None) -> ObjectEntry:
    """Why an object could not be applied is told rather than how it does."""
    if seen is None:
        return entry
    message = entry.message if entry.sync == "OutOfSync" and entry.message else seen.message
    return entry.model_copy(update={"health": str(seen.health), "message": message})


def _name(entry: ObjectEntry) -> str:
    _, kind, namespace, name = entry.key.split("|")
    where = f"{namespace}/{name}" if namespace else name
    return f"{kind} {where}" + (f": {entry.message}" if entry.message else "")
