"""The health of one object: the first rule that says something wins.

Order and tests follow kstatus (sigs.k8s.io/cli-utils, pkg/kstatus/status): being deleted; generation not observed yet;
the conditions Reconciling and Stalled; the rule of its kind; the condition Ready; else healthy. Where Argo CD's users
expect more than kstatus gives (a suspended CronJob, a load balancer without an address), the kind's rule says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from reconciler.health import batch, conditions, core, workloads
from reconciler.health.conditions import Rule
from reconciler.model.health import Health, HealthReport, ObjectHealth
from reconciler.model.manifest import GroupKind, ObjectKey, Raw

RULES: Mapping[GroupKind, Rule] = {
    GroupKind("apps", "Deployment"): workloads.deployment,
    GroupKind("apps", "StatefulSet"): workloads.stateful_set,
    GroupKind("apps", "DaemonSet"): workloads.daemon_set,
    GroupKind("apps", "ReplicaSet"): workloads.replica_set,
    GroupKind("", "Pod"): core.pod,
    GroupKind("", "Service"): core.service,
    GroupKind("", "PersistentVolumeClaim"): core.claim,
    GroupKind("", "Namespace"): core.namespace,
    GroupKind("batch", "Job"): batch.job,
    GroupKind("batch", "CronJob"): batch.cron_job,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): core.definition,
    GroupKind("apiregistration.k8s.io", "APIService"): core.api_service,
}


def assess(body: Raw | None, now: datetime) -> ObjectHealth:
    """The health of an object as the API server gave it; None is Missing."""
    if body is None:
        return ObjectHealth(Health.MISSING, "NotFound", "it does not exist")
    if early := _before_the_kind(body):
        return early
    rule = RULES.get(ObjectKey.of(body).group_kind)
    if rule is not None:
        return rule(body, now)
    return conditions.ready(body)


def report(objects: Mapping[ObjectKey, Raw | None], now: datetime) -> HealthReport:
    """The health of many objects."""
    return HealthReport({key: assess(body, now) for key, body in objects.items()})


def _before_the_kind(body: Raw) -> ObjectHealth | None:
    meta, status = body["metadata"], body.get("status") or {}
    if meta.get("deletionTimestamp"):
        waits = ", ".join(meta.get("finalizers") or ())
        message = f"being deleted, waits for finalizers {waits}" if waits else "being deleted"
        return ObjectHealth(Health.PROGRESSING, "Terminating", message)
    generation, observed = meta.get("generation"), status.get("observedGeneration")
    if generation is not None and observed is not None and generation != observed:
        return ObjectHealth(Health.PROGRESSING, "LatestGenerationNotObserved", "its controller has not seen the change")
    return conditions.abnormal(body)
