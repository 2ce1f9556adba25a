"""Pod: what its containers wait for tells more than its phase.

As Argo CD does, a Pod whose container can't be started is degraded at once, whatever the phase; as kstatus does, one that
no node takes is degraded after 15 seconds, since a scheduler needs a moment. A Deployment of such Pods stays progressing
until its own deadline has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, degraded, items, part, progressing
from reconciler.model.health import Health, ObjectHealth
from reconciler.model.manifest import Raw

UNSCHEDULABLE_GRACE_S = 15.0


def pod(body: Raw, now: datetime) -> ObjectHealth:
    """A Pod that can't pull its image or crashes again and again is degraded; one that ended well is healthy."""
    status = part(body, "status")
    phase = str(status.get("phase") or "")
    if phase == "Succeeded":
        return HEALTHY
    if phase == "Failed":
        return degraded("PodFailed", str(status.get("message") or status.get("reason") or "the Pod failed"))
    for name, reason, message in _waits(status):
        if _is_bad(reason):
            return degraded(reason, f"container {name}: {reason}" + (f": {message}" if message else ""))
    if phase == "Running":
        return _running(body)
    if phase == "Unknown":
        return ObjectHealth(Health.UNKNOWN, "PodUnknown", "its node does not answer")
    scheduled = conditions.find(body, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable" and _age_s(body, now) > UNSCHEDULABLE_GRACE_S:
        return degraded("Unschedulable", conditions.text(scheduled))
    return progressing("PodPending", "the Pod is pending" if phase else "the Pod is not observed yet")


def _running(body: Raw) -> ObjectHealth:
    if conditions.is_true(body, "Ready"):
        return HEALTHY
    return progressing(
        "PodNotReady", conditions.text({"type": "the Pod is not ready", **conditions.find(body, "Ready")})
    )


def _waits(status: Raw) -> Iterator[tuple[str, str, str]]:
    """The containers that wait to be started: name, reason, message."""
    for state in (*items(status, "initContainerStatuses"), *items(status, "containerStatuses")):
        waiting = part(part(state, "state"), "waiting")
        if waiting:
            yield str(state.get("name")), str(waiting.get("reason") or ""), str(waiting.get("message") or "")


def _is_bad(reason: str) -> bool:
    """ErrImagePull, CreateContainerConfigError, CrashLoopBackOff, … : all the kubelet's words for trouble."""
    return reason.startswith(("Err", "Invalid")) or reason.endswith(("Error", "BackOff"))


def _age_s(body: Raw, now: datetime) -> float:
    created = part(body, "metadata").get("creationTimestamp")
    return (now - datetime.fromisoformat(str(created))).total_seconds() if created else 0.0
