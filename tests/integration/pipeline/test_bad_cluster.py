"""Clusters that refuse, stall or are on their way out; and copies of our label that controllers make."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reconciler.cluster import transport
from reconciler.devcluster import Running
from reconciler.model.live import Resource
from reconciler.model.manifest import Raw
from reconciler.model.record import Phase, Sync
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.objects.keys import PART_OF
from tests.fixtures.installation import eventually
from tests.integration.pipeline.conftest import World, config_map
from tests.integration.pipeline.test_bad_input import kubeconfig, reach

NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)
QUOTA = Resource("", "v1", "ResourceQuota", "resourcequotas", True)
SLICE = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True)


@pytest.fixture
def full_world(world: World, full_cluster: Running, tmp_path: Path) -> World:
    """The world on a cluster with controllers."""
    (tmp_path / "full.yaml").write_text(Path(full_cluster.kubeconfig).read_text())
    access = ClusterAccess(kubeconfig=KubeconfigRef(file="full.yaml"))
    world.target = ClusterTarget(name="full", access=access)
    world.options["sync"] = {"create_namespace": True}
    return world


def test_a_terminating_namespace_is_named_and_tried_again(world: World) -> None:
    """Nothing finishes the deletion of a namespace on a bare cluster, so it stays on its way out."""
    world.write({"a.yaml": config_map("one")})
    world.sync()
    live = world.api.get(NAMESPACE, "", world.name) or {}
    world.api.delete(NAMESPACE, "", world.name, uid=live["metadata"]["uid"])
    world.write({"b.yaml": config_map("two")})

    record = world.sync()

    assert (record.phase, record.reason, record.retry) == (Phase.FAILED, "NamespaceTerminating", 15.0)
    assert world.config_map("one") is not None


def test_a_quota_is_told_in_its_own_words(full_world: World) -> None:
    full_world.write({"a.yaml": config_map("one")})
    full_world.sync()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": full_world.name},
        "spec": {"hard": {"configmaps": "2"}},
    }
    full_world.api.create(QUOTA, quota)
    eventually(lambda: _is_counted(full_world), "the quota is counted", 180)
    full_world.write({"b.yaml": config_map("two")})

    record = full_world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "QuotaExceeded")
    assert "exceeded quota: few" in record.message


def _is_counted(world: World) -> bool:
    live = world.api.get(QUOTA, world.name, "few") or {}
    return ((live.get("status") or {}).get("used") or {}).get("configmaps") == "2"


def test_a_cluster_that_never_answers_is_given_up_in_time(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that listens and never answers; the time limit is shortened, since nothing else would differ."""
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 1.0)
    world.write({"a.yaml": config_map()})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        reach(world, kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}", "x"), tmp_path)

        record = world.sync()

    assert (record.phase, record.reason, record.sync) == (Phase.FAILED, "Unreachable", Sync.UNKNOWN)
    assert "in time" in record.message


def test_endpoint_slices_that_copied_our_label_are_never_touched(full_world: World) -> None:
    """kube-controller-manager copies a Service's labels, ours too, to what it makes for it."""
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n"
    )
    maps = {f"{n}.yaml": config_map(f"c{n}") for n in range(5)}
    full_world.write({"service.yaml": service} | maps)
    assert full_world.sync().sync is Sync.SYNCED
    eventually(lambda: _copies(full_world), "a slice carries a copy of our label")
    before = _copies(full_world)
    full_world.write({"0.yaml": None})

    record = full_world.sync(full=True)

    assert record.counts["Deleted"] == 1
    assert [one["metadata"]["resourceVersion"] for one in _copies(full_world)] == [
        one["metadata"]["resourceVersion"] for one in before
    ]


def _copies(world: World) -> list[Raw]:
    return list(world.api.list(SLICE, namespace=world.name, selector=PART_OF).items)
