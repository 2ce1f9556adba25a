"""The order in which kinds are written, and deleted.

What others need comes first: namespaces and CRDs, then policy and identity, then configuration, then what runs, then
what routes to it; custom resources after every built-in kind, admission webhooks and APIServices at the very end, since
a webhook whose Pods do not run yet would refuse everything after it. The table is Helm's install order (`releaseutil`),
with webhooks and APIServices last as kubectl users learn to do by hand. Deletion is the reverse.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.plan import Change, Wave

_ORDER: tuple[tuple[str, ...], ...] = (
    ("Namespace",),
    ("CustomResourceDefinition.apiextensions.k8s.io",),
    ("PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "IngressClass.networking.k8s.io"),
    ("StorageClass.storage.k8s.io", "CSIDriver.storage.k8s.io", "VolumeAttributesClass.storage.k8s.io"),
    ("ResourceQuota", "LimitRange"),
    ("NetworkPolicy.networking.k8s.io", "PodDisruptionBudget.policy"),
    ("ServiceAccount",),
    ("Secret", "ConfigMap"),
    ("PersistentVolume",),
    ("PersistentVolumeClaim",),
    ("ClusterRole.rbac.authorization.k8s.io",),
    ("ClusterRoleBinding.rbac.authorization.k8s.io",),
    ("Role.rbac.authorization.k8s.io",),
    ("RoleBinding.rbac.authorization.k8s.io",),
    ("Service",),
    ("DaemonSet.apps",),
    ("Pod", "ReplicationController", "ReplicaSet.apps", "Deployment.apps", "StatefulSet.apps"),
    ("HorizontalPodAutoscaler.autoscaling",),
    ("Job.batch", "CronJob.batch"),
    ("Ingress.networking.k8s.io",),
)
_RANKS = {GroupKind.parse(text): rank for rank, row in enumerate(_ORDER) for text in row}
_CUSTOM = len(_ORDER)
_LAST = {
    GroupKind("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _CUSTOM + 1,
    GroupKind("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _CUSTOM + 2,
    GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _CUSTOM + 2,
    GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _CUSTOM + 2,
    GroupKind("apiregistration.k8s.io", "APIService"): _CUSTOM + 2,
}


def rank(group_kind: GroupKind) -> int:
    """Kinds of equal rank may be written side by side; a lower rank goes first. Unknown kinds are custom resources."""
    return _RANKS.get(group_kind, _LAST.get(group_kind, _CUSTOM))


def waves(changes: Iterable[Change]) -> tuple[Wave, ...]:
    """The changes in waves of equal rank; inside a wave in the order of their keys."""
    ordered = sorted(changes, key=lambda change: (rank(change.key.group_kind), change.key))
    grouped = groupby(ordered, key=lambda change: rank(change.key.group_kind))
    return tuple(Wave(tuple(members)) for _, members in grouped)


def deletion_order(keys: Iterable[ObjectKey]) -> tuple[ObjectKey, ...]:
    """Dependants before what they depend on."""
    return tuple(sorted(keys, key=lambda key: (rank(key.group_kind), key), reverse=True))
