"""What `objects` claims about server-side apply, asked of a real API server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, OpenGuard
from reconciler.credentials import Credentials
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.model.manifest import Manifest, ObjectKey, Raw
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.objects import applyset, clean, managedfields
from reconciler.objects.keys import PART_OF
from reconciler.ports import ClusterApi

pytestmark = pytest.mark.cluster

KEY = InstanceKey("default", "objects", "bare")
CONFIGS = Resource("", "v1", "ConfigMap", "configmaps", True)
Send = Callable[..., Raw]


@pytest.fixture
def api(bare_cluster) -> Iterator[ClusterApi]:
    folder = bare_cluster.kubeconfig.parent
    access = ClusterAccess(kubeconfig=KubeconfigRef(file=bare_cluster.kubeconfig.name))
    clusters = Clusters(Credentials({}, folder), folder, SystemClock())
    yield clusters.api(ClusterTarget(name="bare", access=access), OpenGuard(), agent="tests of objects")
    clusters.close()


@pytest.fixture
def send(api: ClusterApi, fresh_namespace: str) -> Send:
    """Applies a body as a sync does, and returns the server's answer."""

    def apply(body: dict[str, Any], *, manager: str = KEY.manager, force: bool = False) -> Raw:
        key = ObjectKey.of({**body, "metadata": {"namespace": fresh_namespace, **body["metadata"]}})
        resource = api.discovery().find(key.group_kind)
        assert resource is not None
        sent = clean.to_send(Manifest(key, body, "test.yaml"), applyset.part_of(KEY))
        return api.apply(resource, sent, manager=manager, force=force)

    return apply


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def patched(api: ClusterApi, live: Raw, *operations: dict[str, Any]) -> Raw:
    meta = live["metadata"]
    return api.patch_json(CONFIGS, meta["namespace"], meta["name"], operations)


def proof(live: Raw) -> str:
    return managedfields.fingerprint(live, KEY.manager)


def test_an_apply_that_changes_nothing_keeps_the_fingerprint(send):
    first = send(config(a="1"))

    assert proof(send(config(a="1"))) == proof(first) != ""


def test_our_own_apply_owns_the_label(send):
    live = send(config(a="1"))

    assert managedfields.owns_label(live, KEY.manager, PART_OF)
    assert live["metadata"]["labels"][PART_OF] == applyset.part_of(KEY)


def test_what_others_add_keeps_the_fingerprint(api, send):
    live = send(config(a="1"))

    touched = patched(
        api,
        live,
        {"op": "add", "path": "/metadata/annotations", "value": {"theirs": "x"}},
        {"op": "add", "path": "/data/b", "value": "2"},
    )

    assert proof(touched) == proof(live)


def test_a_field_of_ours_that_another_changes_is_lost_to_it_by_name(api, send):
    live = send(config(a="1"))

    touched = patched(api, live, {"op": "replace", "path": "/data/a", "value": "2"})

    assert proof(touched) != proof(live)
    ((field, writer),) = managedfields.lost(touched, KEY.manager, config(a="1"))
    assert field == ".data.a"
    assert writer == managedfields.last_writer(touched, KEY.manager) != ""


def test_a_field_of_ours_that_is_removed_is_lost_though_an_apply_meets_no_conflict(api, send):
    live = send(config(a="1", b="2"))

    touched = patched(api, live, {"op": "remove", "path": "/data/a"})

    assert [field for field, _ in managedfields.lost(touched, KEY.manager, config(a="1", b="2"))] == [".data.a"]
    assert send(config(a="1", b="2"))["data"] == {"a": "1", "b": "2"}


def test_a_label_of_ours_that_is_removed_changes_the_fingerprint(api, send):
    live = send(config(a="1"))

    touched = patched(api, live, {"op": "remove", "path": "/metadata/labels"})

    assert proof(touched) != proof(live)
    assert not managedfields.owns_label(touched, KEY.manager, PART_OF)


def test_nothing_is_lost_of_a_deployment_that_was_just_applied(send):
    """Defaults, merge keys and atomic lists of a real kind: none of them may read as drift."""
    container = {
        "name": "web",
        "image": "web:1",
        "args": ["--port", "80"],
        "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "admin"}],
        "env": [{"name": "A", "value": "1"}],
        "resources": {"requests": {"cpu": "10m"}},
    }
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "creationTimestamp": None},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {},
            "template": {
                "metadata": {"labels": {"app": "web"}, "creationTimestamp": None},
                "spec": {"containers": [container], "nodeSelector": {"os": "linux"}, "tolerations": [{"key": "x"}]},
            },
        },
        "status": {},
    }

    live = send(body)

    assert managedfields.lost(live, KEY.manager, body) == ()
    assert [port["protocol"] for port in live["spec"]["template"]["spec"]["containers"][0]["ports"]] == ["TCP", "TCP"]


def test_a_key_of_string_data_that_left_git_leaves_the_secret(send):
    """Sent as stringData it would stay: kubernetes#108008."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
    send({**secret, "stringData": {"user": "a", "password": "b"}})

    live = send({**secret, "stringData": {"user": "ü"}})

    assert live["data"] == {"user": base64.b64encode("ü".encode()).decode()}


def test_fields_that_a_client_side_apply_owned_leave_with_git_once_they_are_ours(api, send, fresh_namespace):
    """kubectl's entries folded into ours: what the manifest does not declare goes at the next apply."""
    made = api.create(
        CONFIGS, {**config(a="1", old="x"), "metadata": {"name": "settings", "namespace": fresh_namespace}}
    )
    creator = frozenset({str(managedfields.entries(made)[0]["manager"])})
    folded = managedfields.absorb(made, creator, KEY.manager)
    patched(
        api,
        made,
        {"op": "replace", "path": "/metadata/managedFields", "value": folded},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    )

    assert send(config(a="1"))["data"] == {"a": "1"}


def test_a_service_and_a_webhook_of_odd_but_common_shapes_are_taken(send):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": None},
        "spec": {
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "name": "tcp", "nodePort": None}],
            "selector": None,
        },
        "status": {"loadBalancer": {}},
    }
    for port, name in zip(service["spec"]["ports"], ("udp", "tcp"), strict=True):
        port["name"] = name

    live = send(service)

    assert {(port["port"], port["protocol"]) for port in live["spec"]["ports"]} == {(53, "UDP"), (53, "TCP")}
