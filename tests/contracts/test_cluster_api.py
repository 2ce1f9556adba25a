"""What every `ClusterApi` promises, asked of the real API server and of the one in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, OpenGuard
from reconciler.credentials import Credentials
from reconciler.errors import FieldConflict, ImmutableField, NamespaceMissing, PreconditionFailed
from reconciler.model.live import Resource
from reconciler.model.manifest import Raw
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.objects import managedfields
from reconciler.objects.keys import PART_OF
from reconciler.ports import ClusterApi
from reconciler.testing.cluster import FakeCluster
from reconciler.testing.cluster_api import FakeApi

CONFIGS = Resource("", "v1", "ConfigMap", "configmaps", True)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False)
US, THEM = "undrift:default/shop", "undrift:default/cart"
ONLY_CREATE = "1"


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.cluster)])
def api(request: pytest.FixtureRequest) -> Iterator[ClusterApi]:
    if request.param == "memory":
        yield FakeApi(FakeCluster(), OpenGuard())
        return
    kubeconfig = request.getfixturevalue("bare_cluster").kubeconfig
    access = ClusterAccess(kubeconfig=KubeconfigRef(file=kubeconfig.name))
    clusters = Clusters(Credentials({}, kubeconfig.parent), None, SystemClock())
    yield clusters.api(ClusterTarget(name="bare", access=access), OpenGuard(), agent="contract")
    clusters.close()


@pytest.fixture
def namespace(api: ClusterApi) -> str:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def config(namespace: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    meta = {"name": "one", "namespace": namespace} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def only_create(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": ONLY_CREATE}}


def apply(api: ClusterApi, body: Raw, *, manager: str = US, force: bool = False) -> Raw:
    return api.apply(CONFIGS, body, manager=manager, force=force)


def test_an_apply_that_names_version_1_creates_what_is_absent(api: ClusterApi, namespace: str) -> None:
    live = apply(api, only_create(config(namespace, a="1")))

    assert live["data"] == {"a": "1"}
    assert live["metadata"]["resourceVersion"] != ONLY_CREATE


def test_an_apply_that_names_version_1_leaves_what_is_there(api: ClusterApi, namespace: str) -> None:
    before = api.create(CONFIGS, config(namespace, a="1"))

    with pytest.raises(PreconditionFailed):
        apply(api, only_create(config(namespace, a="1", b="2")))

    now = api.get(CONFIGS, namespace, "one")
    assert now is not None
    assert now["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_fields_are_compared_before_versions(api: ClusterApi, namespace: str) -> None:
    api.create(CONFIGS, config(namespace, a="1"))

    with pytest.raises(FieldConflict):
        apply(api, only_create(config(namespace, a="2")))


def test_an_apply_that_changes_nothing_is_not_written(api: ClusterApi, namespace: str) -> None:
    first = apply(api, config(namespace, a="1"))

    again = apply(api, config(namespace, a="1"))

    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert managedfields.fingerprint(again, US) == managedfields.fingerprint(first, US) != ""


def test_a_conflict_names_field_and_manager(api: ClusterApi, namespace: str) -> None:
    apply(api, config(namespace, {PART_OF: "theirs"}, a="1"), manager=THEM)

    with pytest.raises(FieldConflict) as refused:
        apply(api, config(namespace, {PART_OF: "ours"}, a="2"))

    assert sorted(refused.value.causes) == [(".data.a", THEM), (f".metadata.labels.{PART_OF}", THEM)]


def test_the_same_value_is_shared_and_no_conflict(api: ClusterApi, namespace: str) -> None:
    apply(api, config(namespace, a="1"), manager=THEM)

    live = apply(api, config(namespace, a="1"))

    assert managedfields.apply_entry(live, US) is not None
    assert managedfields.apply_entry(live, THEM) is not None


def test_force_takes_the_field_from_its_owner(api: ClusterApi, namespace: str) -> None:
    apply(api, config(namespace, a="1"), manager=THEM)

    live = apply(api, config(namespace, a="2"), force=True)

    assert live["data"] == {"a": "2"}
    assert managedfields.apply_entry(live, THEM) is None


def test_a_field_that_is_no_longer_applied_goes_unless_another_owns_it(api: ClusterApi, namespace: str) -> None:
    apply(api, config(namespace, a="1", b="1", c="1"))
    apply(api, config(namespace, b="1"), manager=THEM)

    live = apply(api, config(namespace, c="1"))

    assert live["data"] == {"b": "1", "c": "1"}


def test_a_field_that_can_not_be_changed_is_told_apart(api: ClusterApi, namespace: str) -> None:
    apply(api, {**config(namespace, a="1"), "immutable": True})

    with pytest.raises(ImmutableField):
        apply(api, {**config(namespace, a="2"), "immutable": True})


def test_our_apply_entry_owns_the_label_it_sent(api: ClusterApi, namespace: str) -> None:
    live = apply(api, config(namespace, {PART_OF: "ours"}, a="1"))

    assert managedfields.owns_label(live, US, PART_OF)
    assert not managedfields.owns_label(live, THEM, PART_OF)


def test_an_apply_into_a_missing_namespace_names_it(api: ClusterApi) -> None:
    with pytest.raises(NamespaceMissing):
        apply(api, config("no-such-namespace", a="1"))


def test_a_missing_object_is_none(api: ClusterApi, namespace: str) -> None:
    assert api.get(CONFIGS, namespace, "none") is None
    assert api.get(NAMESPACES, "", "no-such-namespace") is None
    assert api.delete(CONFIGS, namespace, "none", uid="x") is None


def test_creating_what_exists_fails(api: ClusterApi, namespace: str) -> None:
    api.create(CONFIGS, config(namespace, a="1"))

    with pytest.raises(PreconditionFailed):
        api.create(CONFIGS, config(namespace, a="1"))


def test_a_replace_needs_the_version_that_was_read(api: ClusterApi, namespace: str) -> None:
    live = api.create(CONFIGS, config(namespace, a="1"))
    body = config(namespace, a="2")
    body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    replaced = api.replace(CONFIGS, body)

    with pytest.raises(PreconditionFailed):
        api.replace(CONFIGS, body)

    assert replaced["data"] == {"a": "2"}
    assert replaced["metadata"]["uid"] == live["metadata"]["uid"]


def test_a_replace_of_what_is_gone_fails(api: ClusterApi, namespace: str) -> None:
    body = config(namespace, a="2")
    body["metadata"]["resourceVersion"] = "12"

    with pytest.raises(PreconditionFailed):
        api.replace(CONFIGS, body)


def test_a_json_patch_of_an_older_version_fails(api: ClusterApi, namespace: str) -> None:
    live = api.create(CONFIGS, config(namespace, a="1"))
    patch = [
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]
    assert api.patch_json(CONFIGS, namespace, "one", patch)["data"] == {"a": "2"}

    with pytest.raises(PreconditionFailed):
        api.patch_json(CONFIGS, namespace, "one", patch)


def test_a_dry_run_answers_what_would_be_and_changes_nothing(api: ClusterApi, namespace: str) -> None:
    new = api.apply(CONFIGS, config(namespace, a="1"), manager="us", force=False, dry_run=True)
    assert (new["data"], api.get(CONFIGS, namespace, "one")) == ({"a": "1"}, None)

    live = api.create(CONFIGS, config(namespace, a="1", b="1"))
    applied = api.apply(CONFIGS, config(namespace, a="2"), manager="us", force=True, dry_run=True)
    removed = api.patch_json(CONFIGS, namespace, "one", [{"op": "remove", "path": "/data/b"}], dry_run=True)
    with pytest.raises(FieldConflict):
        api.apply(CONFIGS, config(namespace, a="2"), manager="us", force=False, dry_run=True)

    assert (applied["data"], removed["data"]) == ({"a": "2", "b": "1"}, {"a": "1"})
    assert api.get(CONFIGS, namespace, "one") == live


def test_a_delete_needs_the_uid_and_version_that_were_read(api: ClusterApi, namespace: str) -> None:
    live = api.create(CONFIGS, config(namespace, a="1"))
    uid, version = live["metadata"]["uid"], live["metadata"]["resourceVersion"]
    apply(api, config(namespace, b="1"))

    with pytest.raises(PreconditionFailed):
        api.delete(CONFIGS, namespace, "one", uid="another")
    with pytest.raises(PreconditionFailed):
        api.delete(CONFIGS, namespace, "one", uid=uid, resource_version=version)
    api.delete(CONFIGS, namespace, "one", uid=uid)

    assert api.get(CONFIGS, namespace, "one") is None


def test_an_object_with_a_finalizer_stays_until_it_is_taken_off(api: ClusterApi, namespace: str) -> None:
    body = config(namespace, a="1")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    live = apply(api, body)

    api.delete(CONFIGS, namespace, "one", uid=live["metadata"]["uid"])

    left = api.get(CONFIGS, namespace, "one", metadata_only=True)
    assert left is not None
    assert left["metadata"]["deletionTimestamp"]
    api.patch_json(CONFIGS, namespace, "one", [{"op": "remove", "path": "/metadata/finalizers"}])


def test_a_list_is_chosen_by_label_and_namespace(api: ClusterApi, namespace: str) -> None:
    apply(api, config(namespace, {PART_OF: namespace}, a="1"))

    assert len(api.list(CONFIGS, selector=f"{PART_OF}={namespace}").items) == 1
    assert len(api.list(CONFIGS, namespace=namespace, selector=PART_OF).items) == 1
    assert api.list(CONFIGS, namespace="default", selector=f"{PART_OF}={namespace}").items == ()
    assert api.list(CONFIGS, namespace=namespace, selector=f"{PART_OF}=other").resource_version


def test_metadata_alone_carries_managed_fields_and_no_data(api: ClusterApi, namespace: str) -> None:
    live = apply(api, config(namespace, {PART_OF: namespace}, a="1"))

    (listed,) = api.list(CONFIGS, selector=f"{PART_OF}={namespace}", metadata_only=True).items
    got = api.get(CONFIGS, namespace, "one", metadata_only=True)

    for found in (listed, got):
        assert found is not None
        assert "data" not in found
        assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
        assert managedfields.fingerprint(found, US) == managedfields.fingerprint(live, US)


def test_each_call_is_one_request(api: ClusterApi, namespace: str) -> None:
    before = api.requests

    apply(api, config(namespace, a="1"))
    api.get(CONFIGS, namespace, "one")
    api.list(CONFIGS, namespace=namespace)

    assert api.requests == before + 3


def test_the_servers_clock_is_known_after_an_answer(api: ClusterApi, namespace: str) -> None:
    at = api.server_time()

    assert at is not None
    assert at.utcoffset() == timedelta(0)
