from __future__ import annotations

import base64
import copy

import pytest

from reconciler.errors import InvalidManifest
from reconciler.model.manifest import Manifest, ObjectKey
from reconciler.objects import clean
from reconciler.objects.keys import PART_OF

US = "applyset-x-v1"


def sent(body, namespace="shop"):
    key = ObjectKey.of({**body, "metadata": {"name": "a", **body.get("metadata", {})}})
    whole = {**body, "metadata": {"name": "a", **body.get("metadata", {})}}
    manifest = Manifest(ObjectKey(key.group, key.kind, namespace, key.name), whole, "app/a.yaml#1")
    before = copy.deepcopy(whole)
    try:
        return clean.to_send(manifest, US)
    finally:
        assert whole == before, "the manifest was changed in place"


def config(**more):
    return {"apiVersion": "v1", "kind": "ConfigMap", **more}


def secret(**more):
    return {"apiVersion": "v1", "kind": "Secret", **more}


def test_a_body_carries_the_part_of_label_beside_its_own():
    assert sent(config(metadata={"labels": {"team": "web"}}))["metadata"]["labels"] == {"team": "web", PART_OF: US}


def test_the_label_is_on_the_object_and_never_on_its_pod_template():
    """A label in the template would restart every Pod at adoption."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}

    body = sent({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template}})

    assert body["spec"]["template"] == template


def test_a_namespaced_object_is_sent_with_the_namespace_of_its_key():
    assert sent(config())["metadata"]["namespace"] == "shop"


def test_a_cluster_scoped_object_loses_the_namespace_that_was_written():
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"namespace": "wrong"}}

    assert "namespace" not in sent(body, namespace="")["metadata"]


def test_what_only_the_server_sets_is_left_out():
    meta = dict.fromkeys(clean.SERVER_METADATA, "x") | {"annotations": {"a": "b"}}

    body = sent(config(metadata=meta, status={"phase": "x"}))

    assert body == config(
        metadata={"name": "a", "namespace": "shop", "annotations": {"a": "b"}, "labels": {PART_OF: US}}
    )


def test_owners_that_are_written_are_kept():
    owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "u"}]

    assert sent(config(metadata={"ownerReferences": owners}))["metadata"]["ownerReferences"] == owners


def test_nulls_in_maps_are_dropped_at_any_depth_and_those_in_lists_stay():
    body = sent(config(metadata={"labels": None, "annotations": None}, data={"a": None, "b": [{"c": None}, None]}))

    assert body["data"] == {"b": [{}, None]}
    assert body["metadata"] == {"name": "a", "namespace": "shop", "labels": {PART_OF: US}}


def test_string_data_becomes_data_and_wins():
    body = sent(secret(data={"a": "b2xk", "b": "Yg=="}, stringData={"a": "neu: ü"}))

    assert "stringData" not in body
    assert body["data"] == {"a": base64.b64encode("neu: ü".encode()).decode(), "b": "Yg=="}


def test_an_empty_string_data_leaves_nothing_behind():
    assert set(sent(secret(stringData={}))) == {"apiVersion", "kind", "metadata"}


def test_string_data_of_another_kind_is_left_alone():
    body = {"apiVersion": "example.com/v1", "kind": "Secret", "stringData": {"a": "b"}}

    assert sent(body)["stringData"] == {"a": "b"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (secret(stringData={"pin": 1234}), r"app/a.yaml#1: Secret shop/a: stringData.pin must be a string"),
        (secret(stringData="hunter2"), "must be maps of strings"),
        (secret(stringData={"a": "b"}, data=["c"]), "must be maps of strings"),
        (config(metadata={"labels": ["a"]}), "metadata.labels must be a map"),
        (config(metadata={"annotations": "a"}), "metadata.annotations must be a map"),
    ],
)
def test_shapes_that_no_server_takes_are_refused_by_name(body, why):
    with pytest.raises(InvalidManifest, match=why) as caught:
        sent(body)

    assert "hunter2" not in str(caught.value)
    assert "1234" not in str(caught.value)


def test_ports_of_a_service_get_their_protocol():
    ports = [{"port": 80}, {"port": 53, "protocol": "UDP"}]

    body = sent({"apiVersion": "v1", "kind": "Service", "spec": {"ports": ports}})

    assert body["spec"]["ports"] == [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [
        ("v1", "Pod", ("spec",)),
        ("apps/v1", "Deployment", ("spec", "template", "spec")),
        ("apps/v1", "StatefulSet", ("spec", "template", "spec")),
        ("batch/v1", "CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
    ],
)
@pytest.mark.parametrize("containers", ["containers", "initContainers"])
def test_ports_of_containers_get_their_protocol(version, kind, path, containers):
    pod = {containers: [{"name": "web", "ports": [{"containerPort": 80}]}, {"name": "no-ports"}]}
    body = {"apiVersion": version, "kind": kind}
    inner = pod
    for name in reversed(path):
        inner = {name: inner}

    found = sent({**body, **inner})

    for name in path:
        found = found[name]
    assert found[containers][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize("spec", [None, "x", {"template": None}, {"template": {"spec": {"containers": "x"}}}])
def test_a_pod_template_of_a_wrong_shape_is_left_to_the_server_to_name(spec):
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}

    assert sent(body).get("spec") == clean.without_nulls({"spec": spec}).get("spec")


def test_ports_of_a_custom_resource_are_left_as_they_are():
    body = {"apiVersion": "example.com/v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}}

    assert sent(body)["spec"] == {"ports": [{"port": 80}]}


@pytest.mark.parametrize("bundle", ["", "Cg=="])
def test_a_placeholder_for_a_ca_bundle_is_left_to_its_injector(bundle):
    client = {"clientConfig": {"caBundle": bundle, "url": "https://x"}}
    conversion = {"conversion": {"webhook": client}}

    crd = sent({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": conversion}, "")
    hook = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": {"caBundle": bundle, "group": "x"}}

    assert crd["spec"]["conversion"]["webhook"]["clientConfig"] == {"url": "https://x"}
    assert sent({**hook, "webhooks": [client]}, "")["webhooks"] == [{"clientConfig": {"url": "https://x"}}]
    assert sent(api, "")["spec"] == {"group": "x"}


def test_a_real_ca_bundle_is_sent():
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": {"caBundle": "UEVN"}}

    assert sent(api, "")["spec"] == {"caBundle": "UEVN"}


def test_a_definition_without_a_spec_is_left_to_the_server_to_name():
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": "x"}

    assert sent(crd, "")["spec"] == "x"
