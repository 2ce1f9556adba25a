"""What is pruned can be put back, in order, as it was live, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler import apply
from reconciler.apply import trash
from reconciler.clock import SystemClock
from reconciler.devcluster import Running
from reconciler.model.changeset import Result
from reconciler.model.live import Resource
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.objects.keys import PART_OF
from reconciler.objects.order import deletion_order
from tests.fixtures.clusters import make_namespace
from tests.fixtures.installation import eventually
from tests.integration.apply.conftest import World, api_of

VOLUME = Resource("", "v1", "PersistentVolume", "persistentvolumes", False)
CLAIM = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True)
SERVICE = Resource("", "v1", "Service", "services", True)
STATEFUL_SET = Resource("apps", "v1", "StatefulSet", "statefulsets", True)
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
POD: dict[str, Any] = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}


def bodies(namespace: str) -> list[dict[str, Any]]:
    """A database: its settings, its address, its claim of a volume, and what runs it."""

    def of(kind: str, version: str, **rest: Any) -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": "db", "namespace": namespace}, **rest}

    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [
        of("ConfigMap", "v1", data={"a": "1"}),
        of("PersistentVolumeClaim", "v1", spec={**storage, "volumeName": f"db-{namespace}", "storageClassName": ""}),
        of("Service", "v1", spec={"selector": {"app": "db"}, "ports": [{"port": 5432, "protocol": "TCP"}]}),
        of(
            "StatefulSet",
            "apps/v1",
            spec={"serviceName": "db", "replicas": 3, "selector": {"matchLabels": {"app": "db"}}, "template": POD},
        ),
    ]


@pytest.fixture
def database(world: World) -> list[ObjectKey]:
    """All of it applied, its volume bound."""
    made = bodies(world.namespace)
    keys = [ObjectKey.of(body) for body in made]
    world.begin(*keys)
    for body in made:
        assert [one.error for one in world.send(body)] == [None]
    claim = world.api.get(CLAIM, world.namespace, "db")
    assert claim is not None
    uid = claim["metadata"]["uid"]
    reference = {"kind": "PersistentVolumeClaim", "namespace": world.namespace, "name": "db", "uid": uid}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"db-{world.namespace}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": "/tmp/db"},
            "claimRef": reference,
        },
    }
    world.api.create(VOLUME, volume)
    return keys


def prune(world: World, keys: list[ObjectKey]) -> set[str]:
    changes = [Change(key, Action.DELETE, Cause.STALE) for key in deletion_order(keys)]
    found = apply.prune(world.api, changes, key=world.key, inventory=world.inventory)
    assert [one.error for one in found] == [None] * len(keys)
    # Nothing takes the finalizer off a claim on a cluster without controllers.
    claim = world.api.get(CLAIM, world.namespace, "db")
    if claim is not None and claim["metadata"].get("finalizers"):
        world.api.patch_json(CLAIM, world.namespace, "db", [{"op": "remove", "path": "/metadata/finalizers"}])
    return {str(one.result) for one in found}


def test_a_pruned_database_comes_back_with_its_volume(world: World, database: list[ObjectKey]) -> None:
    address = (world.api.get(SERVICE, world.namespace, "db") or {})["spec"]["clusterIP"]
    assert prune(world, database) <= {str(Result.DELETED), str(Result.DELETING)}
    assert world.api.get(STATEFUL_SET, world.namespace, "db") is None
    volume = world.api.get(VOLUME, "", f"db-{world.namespace}") or {}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"

    found = trash.kept(world.api, world.key)
    assert {one.key for one in found} == set(database)
    results = trash.restore(world.api, found)

    assert [(one.key.kind, one.error) for one in results] == [
        ("ConfigMap", None),
        ("PersistentVolumeClaim", None),
        ("Service", None),
        ("StatefulSet", None),
    ]
    back = world.api.get(STATEFUL_SET, world.namespace, "db") or {}
    assert back["spec"]["replicas"] == 3
    assert PART_OF not in back["metadata"].get("labels", {})
    assert (world.api.get(SERVICE, world.namespace, "db") or {})["spec"]["clusterIP"] == address
    volume = world.api.get(VOLUME, "", f"db-{world.namespace}") or {}
    assert "uid" not in volume["spec"]["claimRef"]
    assert trash.kept(world.api, world.key) == ()


@pytest.fixture
def on_full(full_cluster: Running, tmp_path: Path) -> Iterator[World]:
    """A world on a cluster with controllers, which bind claims."""
    name = make_namespace(full_cluster)
    for api in api_of(full_cluster, tmp_path):
        yield World(api, name, apply.Inventories("tests", SystemClock()))


def test_a_restored_claim_is_bound_to_its_volume_again(on_full: World) -> None:
    """It was restored as one that is bound, to a volume that had forgotten it, and was Lost."""
    on_full.begin()  # the trash lies beside the inventory
    api, place = on_full.api, on_full.namespace
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/db"}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"db-{place}"}, "spec": spec}
    api.create(
        VOLUME, {**volume, "spec": {**spec, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": place}}
    )
    wants = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"], "storageClassName": place}
    meta = {"name": "db", "namespace": place}
    api.create(CLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": wants})

    def phase() -> str:
        return str((api.get(CLAIM, place, "db") or {}).get("status", {}).get("phase", ""))

    eventually(lambda: phase() == "Bound", "the claim is bound")
    live = api.get(CLAIM, place, "db") or {}
    trash.keep(api, live, on_full.key)
    api.delete(CLAIM, place, "db", uid=str(live["metadata"]["uid"]))
    eventually(lambda: phase() == "", "the claim is gone")

    (result,) = trash.restore(api, trash.kept(api, on_full.key))

    assert result.error is None
    eventually(lambda: phase() == "Bound", "the restored claim is bound")


def test_what_exists_again_is_left_alone_and_stays_in_the_trash(world: World, database: list[ObjectKey]) -> None:
    prune(world, database[:1])
    made = bodies(world.namespace)[0] | {"data": {"a": "of another"}}
    world.api.create(CONFIG_MAP, made)

    (result,) = trash.restore(world.api, trash.kept(world.api, world.key))

    assert result.error is not None
    assert "exists again" in result.error.message
    assert (world.api.get(CONFIG_MAP, world.namespace, "db") or {})["data"] == {"a": "of another"}
    assert len(trash.kept(world.api, world.key)) == 1


def test_what_changed_since_a_delete_was_refused_is_kept_as_it_is_now(world: World, database: list[ObjectKey]) -> None:
    live = world.api.get(CONFIG_MAP, world.namespace, "db") or {}
    trash.keep(world.api, live, world.key)
    patch = [{"op": "add", "path": "/data/a", "value": "newer"}]
    world.api.patch_json(CONFIG_MAP, world.namespace, "db", patch)

    prune(world, database[:1])

    (kept,) = trash.kept(world.api, world.key)
    assert kept.body["data"]["a"] == "newer"


def test_the_trash_is_emptied_of_what_is_older_than_a_week(world: World, database: list[ObjectKey]) -> None:
    prune(world, database[:1])

    trash.sweep(world.api, datetime.now(UTC) + timedelta(days=6))
    assert len(trash.kept(world.api, world.key)) == 1
    trash.sweep(world.api, datetime.now(UTC) + timedelta(days=8))
    assert trash.kept(world.api, world.key) == ()


def test_another_application_sees_nothing_of_it(world: World, database: list[ObjectKey]) -> None:
    prune(world, database[:1])

    assert trash.kept(world.api, replace(world.key, application="another")) == ()
