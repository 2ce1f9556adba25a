"""Pod, Service, PersistentVolumeClaim, Namespace, CustomResourceDefinition, APIService."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, degraded, progressing
from reconciler.model.health import Health, ObjectHealth
from reconciler.model.manifest import Raw

BAD_WAITS = frozenset({"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName"})
UNSCHEDULABLE_GRACE_S = 15.0


def pod(body: Raw, now: datetime) -> ObjectHealth:
    """A Pod that can't pull its image or crashes again and again is degraded; one that ended well is healthy."""
    status = body.get("status") or {}
    phase = status.get("phase", "")
    for name, reason, message in _waits(body):
        if reason in BAD_WAITS:
            return degraded(reason, f"container {name}: {reason}" + (f": {message}" if message else ""))
    if phase == "Succeeded" or (phase == "Running" and conditions.is_true(body, "Ready")):
        return HEALTHY
    if phase == "Failed":
        return degraded("PodFailed", str(status.get("message") or status.get("reason") or "the Pod failed"))
    scheduled = conditions.find(body, "PodScheduled") or {}
    if scheduled.get("reason") == "Unschedulable" and _age_s(body, now) > UNSCHEDULABLE_GRACE_S:
        return degraded("Unschedulable", conditions.text(scheduled))
    return progressing("PodNotReady", f"the Pod is {phase or 'not observed yet'}")


def _waits(body: Raw) -> Iterator[tuple[str, str, str]]:
    status = body.get("status") or {}
    for state in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (state.get("state") or {}).get("waiting")
        if waiting:
            yield str(state.get("name")), str(waiting.get("reason")), str(waiting.get("message") or "")


def _age_s(body: Raw, now: datetime) -> float:
    created = body["metadata"].get("creationTimestamp")
    return (now - datetime.fromisoformat(str(created))).total_seconds() if created else 0.0


def service(body: Raw, now: datetime) -> ObjectHealth:
    """As kstatus: a load balancer waits for its cluster address, not for one from the cloud."""
    spec = body.get("spec") or {}
    if spec.get("type") == "LoadBalancer" and not spec.get("clusterIP"):
        return progressing("NoIPAssigned", "no cluster address is assigned yet")
    return HEALTHY


def claim(body: Raw, now: datetime) -> ObjectHealth:
    """A claim is healthy when bound; a lost volume is degraded."""
    phase = (body.get("status") or {}).get("phase", "Pending")
    if phase == "Lost":
        return degraded("Lost", "its volume is lost")
    return HEALTHY if phase == "Bound" else progressing("NotBound", f"the claim is {phase}")


def namespace(body: Raw, now: datetime) -> ObjectHealth:
    """Terminating is told apart before the kind's rule, so any namespace that gets here is active."""
    return HEALTHY


def definition(body: Raw, now: datetime) -> ObjectHealth:
    """A CRD is healthy when established; names that clash are degraded."""
    names = conditions.find(body, "NamesAccepted") or {}
    if names.get("status") == "False":
        return degraded(str(names.get("reason")), conditions.text(names))
    established = conditions.find(body, "Established") or {}
    if established.get("status") == "True":
        return HEALTHY
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return degraded(str(established.get("reason")), conditions.text(established))
    return progressing("Installing", "the definition is not established yet")


def api_service(body: Raw, now: datetime) -> ObjectHealth:
    """An aggregated API is healthy when it answers."""
    condition = conditions.find(body, "Available")
    if condition is None:
        return ObjectHealth(Health.PROGRESSING, "NotObserved", "its availability is not known yet")
    if condition.get("status") == "True":
        return HEALTHY
    return progressing(str(condition.get("reason") or "Unavailable"), conditions.text(condition))
