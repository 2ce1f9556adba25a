"""Service, PersistentVolumeClaim, PodDisruptionBudget, CustomResourceDefinition, APIService.

Namespace, Ingress, ConfigMap and Secret need no rule: they are healthy when they exist and are not being deleted. An
Ingress is not asked for an address, nor a load balancer for one from the cloud: many clusters never report one.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, degraded, part, progressing
from reconciler.model.health import ObjectHealth
from reconciler.model.manifest import Raw


def service(body: Raw, now: datetime) -> ObjectHealth:
    """As kstatus: a load balancer waits for its cluster address, not for one from the cloud."""
    spec = part(body, "spec")
    if spec.get("type") == "LoadBalancer" and not spec.get("clusterIP"):
        return progressing("NoIPAssigned", "no cluster address is assigned yet")
    return HEALTHY


def claim(body: Raw, now: datetime) -> ObjectHealth:
    """A claim is healthy when bound; a lost volume is degraded."""
    phase = str(part(body, "status").get("phase") or "Pending")
    if phase == "Lost":
        return degraded("Lost", "its volume is lost")
    return HEALTHY if phase == "Bound" else progressing("NotBound", f"the claim is {phase}")


def disruption_budget(body: Raw, now: datetime) -> ObjectHealth:
    """Too few Pods is what a budget is for; one that can't count them is degraded."""
    condition = conditions.find(body, "DisruptionAllowed")
    if condition.get("status") == "False" and condition.get("reason") == "SyncFailed":
        return degraded("SyncFailed", conditions.text(condition))
    return HEALTHY


def definition(body: Raw, now: datetime) -> ObjectHealth:
    """A CRD is healthy when established; names that clash are degraded."""
    if conditions.is_false(body, "NamesAccepted"):
        condition = conditions.find(body, "NamesAccepted")
        return degraded(conditions.reason(condition, "NamesNotAccepted"), conditions.text(condition))
    established = conditions.find(body, "Established")
    if established.get("status") == "True":
        return HEALTHY
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return degraded(conditions.reason(established, "NotEstablished"), conditions.text(established))
    return progressing("Installing", "the definition is not established yet")


def api_service(body: Raw, now: datetime) -> ObjectHealth:
    """An aggregated API is healthy when it answers."""
    condition = conditions.find(body, "Available")
    if not condition:
        return progressing("NotObserved", "its availability is not known yet")
    if condition.get("status") == "True":
        return HEALTHY
    return progressing(conditions.reason(condition, "Unavailable"), conditions.text(condition))
