"""Deployment, StatefulSet, DaemonSet, ReplicaSet: counts against counts, in kstatus's order.

Where kstatus and Argo CD differ, the truer of the two is taken: a paused Deployment is suspended (Argo CD); one with the
strategy OnDelete must be ready but need not be updated (Argo CD; kstatus would call it healthy while nothing runs, or
never).
"""

from __future__ import annotations

from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, count, degraded, part, progressing, suspended
from reconciler.model.health import ObjectHealth
from reconciler.model.manifest import Raw

NO_DEADLINE = 2147483647


def deployment(body: Raw, now: datetime) -> ObjectHealth:
    """Degraded past its progress deadline; healthy when all replicas are updated, available and ready."""
    spec, status = part(body, "spec"), part(body, "status")
    if spec.get("paused") is True:
        return suspended("DeploymentPaused", "the Deployment is paused: no change of it rolls out")
    condition = conditions.find(body, "Progressing")
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return degraded("ProgressDeadlineExceeded", conditions.text(condition))
    wanted, total = count(spec, "replicas", 1), count(status, "replicas")
    updated, available, ready = (count(status, f"{word}Replicas") for word in ("updated", "available", "ready"))
    if wanted > total:
        return progressing("LessReplicas", f"{total} of {wanted} replicas exist")
    if wanted > updated:
        return progressing("LessUpdated", f"{updated} of {wanted} replicas are updated")
    if total > wanted:
        return progressing("ExtraPods", f"{total - wanted} old replicas are still there")
    if updated > available:
        return progressing("LessAvailable", f"{available} of {wanted} replicas are available")
    if wanted > ready:
        return progressing("LessReady", f"{ready} of {wanted} replicas are ready")
    return _rolled_out(body)


def _rolled_out(body: Raw) -> ObjectHealth:
    condition = conditions.find(body, "Progressing")
    finished = condition.get("status") == "True" and condition.get("reason") == "NewReplicaSetAvailable"
    if not finished and count(part(body, "spec"), "progressDeadlineSeconds", NO_DEADLINE) != NO_DEADLINE:
        return progressing("ReplicaSetNotAvailable", "the new ReplicaSet is not available yet")
    if not conditions.is_true(body, "Available"):
        return progressing("DeploymentNotAvailable", "the Deployment is not available yet")
    return HEALTHY


def stateful_set(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when replicas are ready and, with a rolling update, updated down to its partition."""
    spec, status = part(body, "spec"), part(body, "status")
    strategy = part(spec, "updateStrategy")
    wanted, total, ready = count(spec, "replicas", 1), count(status, "replicas"), count(status, "readyReplicas")
    if wanted > total:
        return progressing("LessReplicas", f"{total} of {wanted} replicas exist")
    if wanted > ready:
        return progressing("LessReady", f"{ready} of {wanted} replicas are ready")
    if total > wanted:
        return progressing("ExtraPods", f"{total - wanted} replicas too many are still there")
    if strategy.get("type") == "OnDelete":
        return HEALTHY
    due = wanted - count(part(strategy, "rollingUpdate"), "partition")
    updated = count(status, "updatedReplicas")
    if updated < due:
        return progressing("PartitionRollout", f"{updated} of {due} replicas are updated")
    return HEALTHY


def daemon_set(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when every node that should run a Pod has an updated, available and ready one."""
    status = part(body, "status")
    if status.get("observedGeneration") is None:
        return progressing("NoObservedGeneration", "its controller has not seen it yet")
    if status.get("desiredNumberScheduled") is None:
        return progressing("NoDesiredNumber", "its controller has not counted its nodes yet")
    wanted = count(status, "desiredNumberScheduled")
    on_delete = part(part(body, "spec"), "updateStrategy").get("type") == "OnDelete"
    for field, reason, words in (
        ("currentNumberScheduled", "LessCurrent", "run its Pod"),
        ("updatedNumberScheduled", "LessUpdated", "run the updated Pod"),
        ("numberAvailable", "LessAvailable", "have an available Pod"),
        ("numberReady", "LessReady", "have a ready Pod"),
    ):
        if wanted > count(status, field) and not (on_delete and reason == "LessUpdated"):
            return progressing(reason, f"{count(status, field)} of {wanted} nodes {words}")
    return HEALTHY


def replica_set(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when all replicas are labelled, available and ready. A failure to make Pods may pass (a quota)."""
    spec, status = part(body, "spec"), part(body, "status")
    if conditions.is_true(body, "ReplicaFailure"):
        return progressing("ReplicaFailure", conditions.text(conditions.find(body, "ReplicaFailure")))
    wanted, total = count(spec, "replicas", 1), count(status, "replicas")
    for field, reason, words in (
        ("fullyLabeledReplicas", "LessLabelled", "carry its labels"),
        ("availableReplicas", "LessAvailable", "are available"),
        ("readyReplicas", "LessReady", "are ready"),
    ):
        if wanted > count(status, field):
            return progressing(reason, f"{count(status, field)} of {wanted} replicas {words}")
    if total > wanted:
        return progressing("ExtraPods", f"{total - wanted} replicas too many are still there")
    return HEALTHY
