from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.errors import DuplicateObject, InvalidManifest, UnknownKind
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind, Manifest
from reconciler.objects import scope
from reconciler.objects.kinds import DEFINITION
from tests.worlds import desired, key, manifest

CONFIG, ROLE = GroupKind("", "ConfigMap"), GroupKind("rbac.authorization.k8s.io", "ClusterRole")
DISCOVERY = Discovery(
    {
        CONFIG: (Resource("", "v1", "ConfigMap", "configmaps", True),),
        ROLE: (Resource(ROLE.group, "v1", "ClusterRole", "clusterroles", False),),
    },
    stale_groups=frozenset({"metrics.k8s.io"}),
)
WIDGET = key("w", "Widget.example.com", "")


def definition(placed_as):
    of = key("widgets.example.com", "CustomResourceDefinition.apiextensions.k8s.io", "")
    spec = {"group": "example.com", "names": {"kind": "Widget"}, "scope": placed_as}
    return Manifest(of, {**manifest(of).body, "spec": spec}, "crd.yaml")


CRD_DISCOVERY = replace(
    DISCOVERY,
    resources={
        **DISCOVERY.resources,
        DEFINITION: (Resource(DEFINITION.group, "v1", DEFINITION.kind, "customresourcedefinitions", False),),
    },
)


def placed(*manifests, namespace="shop", discovery=DISCOVERY):
    return [one.key for one in scope.place(desired(*manifests), discovery, namespace)]


def test_an_object_keeps_the_namespace_that_it_names():
    assert placed(manifest(key("a", namespace="own"))) == [key("a", namespace="own")]


def test_an_object_that_names_none_gets_the_applications():
    assert placed(manifest(key("a", namespace=""))) == [key("a")]


def test_a_cluster_scoped_object_loses_its_namespace():
    role = key("r", str(ROLE))

    assert placed(manifest(role)) == [replace(role, namespace="")]


@pytest.mark.parametrize(("written", "expected"), [("Namespaced", "shop"), ("Cluster", "")])
def test_a_kind_that_the_same_render_defines_takes_its_scope_from_there(written, expected):
    found = placed(definition(written), manifest(WIDGET), discovery=CRD_DISCOVERY)

    assert found[1] == replace(WIDGET, namespace=expected)


def test_what_the_cluster_serves_wins_over_a_definition_that_is_not_applied_yet():
    served = {GroupKind("example.com", "Widget"): (Resource("example.com", "v1", "Widget", "widgets", True),)}
    discovery = replace(CRD_DISCOVERY, resources={**CRD_DISCOVERY.resources, **served})

    assert placed(definition("Cluster"), manifest(WIDGET), discovery=discovery)[1].namespace == "shop"


def test_an_object_that_can_have_no_namespace_named_is_refused():
    with pytest.raises(InvalidManifest, match=r"a\.yaml: ConfigMap a names no namespace"):
        placed(manifest(key("a", namespace="")), namespace=None)


def test_an_unknown_kind_is_refused_with_what_to_do():
    with pytest.raises(UnknownKind, match=r"w\.yaml: example\.com/v1 Widget: .*install its CRD first"):
        placed(manifest(WIDGET))


def test_a_kind_of_a_group_that_does_not_answer_is_unknown_and_not_absent():
    with pytest.raises(UnknownKind, match=r"metrics\.k8s\.io does not answer"):
        placed(manifest(key("n", "NodeMetrics.metrics.k8s.io", "")))


def test_two_objects_of_one_identity_name_both_places():
    twin = replace(manifest(key("a", namespace="")), origin="other.yaml#2")

    with pytest.raises(DuplicateObject, match=r"ConfigMap shop/a is defined twice: in a\.yaml and in other\.yaml#2"):
        placed(manifest(key("a")), twin)


def test_two_versions_of_one_name_are_one_identity():
    twin = replace(manifest(key("a")), body={**manifest(key("a")).body, "apiVersion": "v1beta1"})

    with pytest.raises(DuplicateObject):
        placed(manifest(key("a")), twin)


def test_what_was_said_about_a_render_is_kept():
    warned = replace(desired(manifest(key("a"))), warnings=("hooks skipped",))

    assert scope.place(warned, DISCOVERY, None).warnings == ("hooks skipped",)
