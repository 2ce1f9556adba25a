from __future__ import annotations

from reconciler.model.manifest import GroupKind
from reconciler.model.plan import Action, Cause, Change
from reconciler.objects import order
from tests.worlds import key

WRITTEN_IN_THIS_ORDER = [
    "Namespace",
    "CustomResourceDefinition.apiextensions.k8s.io",
    "PriorityClass.scheduling.k8s.io",
    "StorageClass.storage.k8s.io",
    "ResourceQuota",
    "NetworkPolicy.networking.k8s.io",
    "ServiceAccount",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole.rbac.authorization.k8s.io",
    "ClusterRoleBinding.rbac.authorization.k8s.io",
    "Role.rbac.authorization.k8s.io",
    "RoleBinding.rbac.authorization.k8s.io",
    "Service",
    "DaemonSet.apps",
    "Deployment.apps",
    "HorizontalPodAutoscaler.autoscaling",
    "CronJob.batch",
    "Ingress.networking.k8s.io",
    "Widget.example.com",
    "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
    "MutatingWebhookConfiguration.admissionregistration.k8s.io",
]


def change(kind, name="a"):
    return Change(key(name, kind), Action.APPLY, Cause.NEW)


def test_kinds_are_written_one_after_the_other():
    waves = order.waves(change(kind) for kind in reversed(WRITTEN_IN_THIS_ORDER))

    assert [str(only.key.group_kind) for wave in waves for only in wave.changes] == WRITTEN_IN_THIS_ORDER
    assert len(waves) == len(WRITTEN_IN_THIS_ORDER)


def test_kinds_of_one_rank_are_one_wave():
    (wave,) = order.waves([change("Secret", "b"), change("ConfigMap", "c"), change("Secret", "a")])

    assert [str(one.key) for one in wave.changes] == ["ConfigMap shop/c", "Secret shop/a", "Secret shop/b"]


def test_a_namesake_in_another_group_is_a_custom_resource():
    assert order.rank(GroupKind("example.com", "Namespace")) == order.rank(GroupKind("example.com", "Widget"))


def test_nothing_makes_no_wave():
    assert order.waves([]) == ()


def test_deletion_begins_with_what_was_written_last():
    keys = [key("a", kind) for kind in WRITTEN_IN_THIS_ORDER]

    assert [str(one.group_kind) for one in order.deletion_order(keys)] == WRITTEN_IN_THIS_ORDER[::-1]
