"""Deployment, StatefulSet, DaemonSet, ReplicaSet: counts against counts, in kstatus's order."""

from __future__ import annotations

from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, degraded, progressing
from reconciler.model.health import ObjectHealth
from reconciler.model.manifest import Raw

NO_DEADLINE = 2147483647


def deployment(body: Raw, now: datetime) -> ObjectHealth:
    """Degraded past its progress deadline; healthy when all replicas are updated, available and ready."""
    spec, status = body["spec"], body.get("status") or {}
    condition = conditions.find(body, "Progressing") or {}
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return degraded("ProgressDeadlineExceeded", conditions.text(condition))
    wanted, total = spec.get("replicas", 1), status.get("replicas", 0)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if wanted > total or wanted > updated:
        return progressing("LessUpdated", f"{updated} of {wanted} replicas are updated")
    if total > wanted:
        return progressing("ExtraPods", f"{total - wanted} old replicas are still there")
    if updated > available:
        return progressing("LessAvailable", f"{available} of {wanted} replicas are available")
    if wanted > status.get("readyReplicas", 0):
        return progressing("LessReady", f"{status.get('readyReplicas', 0)} of {wanted} replicas are ready")
    return _rolled_out(body)


def _rolled_out(body: Raw) -> ObjectHealth:
    condition = conditions.find(body, "Progressing") or {}
    finished = condition.get("status") == "True" and condition.get("reason") == "NewReplicaSetAvailable"
    if not finished and body["spec"].get("progressDeadlineSeconds") not in (None, NO_DEADLINE):
        return progressing("ReplicaSetNotAvailable", "the new ReplicaSet is not available yet")
    if not conditions.is_true(body, "Available"):
        return progressing("DeploymentNotAvailable", "the Deployment is not available yet")
    return HEALTHY


def stateful_set(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when replicas are ready and, with a rolling update, updated down to its partition."""
    spec, status = body["spec"], body.get("status") or {}
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return HEALTHY
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if wanted > status.get("replicas", 0) or wanted > ready:
        return progressing("LessReady", f"{ready} of {wanted} replicas are ready")
    if status.get("replicas", 0) > wanted:
        return progressing("ExtraPods", f"{status['replicas'] - wanted} replicas too many are still there")
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    updated = status.get("updatedReplicas", 0)
    if updated < wanted - partition:
        return progressing("PartitionRollout", f"{updated} of {wanted - partition} replicas are updated")
    return HEALTHY


def daemon_set(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when every node that should run a Pod has an updated, available and ready one."""
    status = body.get("status") or {}
    wanted = status.get("desiredNumberScheduled")
    if wanted is None or status.get("observedGeneration") is None:
        return progressing("NoDesiredNumber", "its controller has not counted its nodes yet")
    for field, reason in (
        ("currentNumberScheduled", "LessCurrent"),
        ("updatedNumberScheduled", "LessUpdated"),
        ("numberAvailable", "LessAvailable"),
        ("numberReady", "LessReady"),
    ):
        if wanted > status.get(field, 0):
            return progressing(reason, f"{status.get(field, 0)} of {wanted} nodes ({field})")
    return HEALTHY


def replica_set(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when all replicas are labelled, available and ready."""
    spec, status = body["spec"], body.get("status") or {}
    if conditions.is_true(body, "ReplicaFailure"):
        return progressing("ReplicaFailure", conditions.text(conditions.find(body, "ReplicaFailure") or {}))
    wanted = spec.get("replicas", 1)
    for field, reason in (("fullyLabeledReplicas", "LessLabelled"), ("availableReplicas", "LessAvailable")):
        if wanted > status.get(field, 0):
            return progressing(reason, f"{status.get(field, 0)} of {wanted} replicas ({field})")
    if status.get("replicas", 0) > wanted:
        return progressing("ExtraPods", f"{status['replicas'] - wanted} replicas too many are still there")
    return HEALTHY
