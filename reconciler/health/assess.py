"""The health of one object: the first rule that says something wins.

Order and tests follow kstatus (sigs.k8s.io/cli-utils, pkg/kstatus/status): being deleted; generation not observed yet;
the conditions Reconciling and Stalled; the rule of its kind; the condition Ready; else healthy. Where Argo CD's users
expect more than kstatus gives (a suspended CronJob, a Pod that can't pull), the kind's rule says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from reconciler.health import batch, conditions, core, pods, workloads
from reconciler.health.conditions import Rule, part, progressing
from reconciler.model.health import Health, HealthReport, ObjectHealth
from reconciler.model.manifest import GroupKind, ObjectKey, Raw
from reconciler.objects.kinds import DEFINITION

RULES: Mapping[GroupKind, Rule] = {
    GroupKind("apps", "Deployment"): workloads.deployment,
    GroupKind("apps", "StatefulSet"): workloads.stateful_set,
    GroupKind("apps", "DaemonSet"): workloads.daemon_set,
    GroupKind("apps", "ReplicaSet"): workloads.replica_set,
    GroupKind("", "Pod"): pods.pod,
    GroupKind("", "Service"): core.service,
    GroupKind("", "PersistentVolumeClaim"): core.claim,
    GroupKind("batch", "Job"): batch.job,
    GroupKind("batch", "CronJob"): batch.cron_job,
    GroupKind("policy", "PodDisruptionBudget"): core.disruption_budget,
    DEFINITION: core.definition,
    GroupKind("apiregistration.k8s.io", "APIService"): core.api_service,
}

_BUILT_IN = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    }
)


def is_told_by_metadata(kind: GroupKind) -> bool:
    """Whether an object of the kind is well when it is there and not being deleted, as with most of Kubernetes' own kinds. A
    CRD, which may be a megabyte, is well when discovery serves its kind."""
    if kind in RULES:
        return kind == DEFINITION
    return "." not in kind.group or kind.group in _BUILT_IN


def assess(body: Raw | None, now: datetime) -> ObjectHealth:
    """The health of an object as the API server gave it; None is Missing. Never raises, whatever a status looks like."""
    if body is None:
        return ObjectHealth(Health.MISSING, "NotFound", "it does not exist")
    if early := _before_the_kind(body):
        return early
    rule = RULES.get(ObjectKey.of(body).group_kind)
    return rule(body, now) if rule is not None else conditions.ready(body)


def report(objects: Mapping[ObjectKey, Raw | None], now: datetime) -> HealthReport:
    """The health of many objects."""
    return HealthReport({key: assess(body, now) for key, body in objects.items()})


def _before_the_kind(body: Raw) -> ObjectHealth | None:
    meta, status = part(body, "metadata"), part(body, "status")
    if meta.get("deletionTimestamp"):
        return progressing("Terminating", _what_it_waits_for(body))
    generation, observed = meta.get("generation"), status.get("observedGeneration")
    if isinstance(generation, int) and isinstance(observed, int) and generation != observed:
        return progressing("LatestGenerationNotObserved", "its controller has not seen the change")
    return conditions.abnormal(body)


def _what_it_waits_for(body: Raw) -> str:
    """A Namespace that goes says in conditions of its own what still holds it; anything else has finalizers."""
    remains = [one for one in conditions.listed(body) if one.get("status") == "True" and _is_of_namespace(one)]
    if remains:
        return "being deleted: " + "; ".join(conditions.text(one) for one in remains)
    finalizers = ", ".join(str(name) for name in part(body, "metadata").get("finalizers") or ())
    return f"being deleted, waits for finalizers {finalizers}" if finalizers else "being deleted"


def _is_of_namespace(condition: conditions.Condition) -> bool:
    return str(condition.get("type")).startswith("Namespace")
