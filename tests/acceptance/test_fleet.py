"""Thirty applications on three clusters: what a commit, an edit, a scale, a delete, a revert and an emptied folder do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.ports import ClusterApi
from reconciler.testing.git import GitServer, SshGitServer
from tests.fixtures.installation import Install, Installation, eventually
from workers import settings, wiring

CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments", True)
APPLICATIONS = 10
"""On three clusters: thirty instances."""


def manifests(value: str = "1") -> dict[str, str]:
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n"
        "  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n"
        "    spec: {containers: [{name: web, image: 'web:1'}]}\n"
    )
    maps = {
        f"{name}.yaml": f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: '{value}'}}\n"
        for name in ("one", "two", "three")
    }
    return maps | {"web.yaml": deployment}


@pytest.fixture
def fleet(install: Install, three_clusters: list[Running]) -> Iterator[Installation]:
    """Half of the applications come over HTTP, the other half over SSH."""
    installation = install(three_clusters)
    with GitServer(installation.repo.path.parent) as http, SshGitServer(installation.repo.path.parent) as ssh:
        installation.write_ssh_repository(ssh)
        for number in range(APPLICATIONS):
            name = f"app-{os.getpid()}-{number}"
            installation.repo.commit({f"{name}/{path}": text for path, text in manifests().items()})
            installation.write_application(name, url=(http if number % 2 else ssh).url("apps.git"))
        installation.start_scheduler()
        for number in range(2):
            installation.start_worker(number)
        eventually(lambda: applied(installation) == 3 * APPLICATIONS, "all is applied", 120)
        yield installation
        installation.stop_children()


def applied(installation: Installation) -> int:
    """Instances in sync. Nothing runs Pods on bare clusters, so their Deployments never become healthy."""
    return sum(one.sync == "Synced" for one in installation.statuses().values())


def hands(installation: Installation, number: int = 0) -> ClusterApi:
    """A cluster, under the name of another writer than Undrift."""
    from reconciler.cluster import OpenGuard

    rooms = wiring.open_rooms(settings.from_env(installation.env))
    target = installation.store.specs.cluster(installation.clusters[number].name)
    assert target is not None
    return rooms.clusters.api(target, OpenGuard(), agent="somebody")


def syncs(installation: Installation, reason: str) -> set[str]:
    """The instances that the workers' logs say were synced for a reason."""
    lines = installation.log().splitlines()
    return {
        match[1]
        for line in lines
        if '"event": "synced"' in line and (match := re.search(r'"work": "sync ([^"]+)"', line)) and reason in line
    }


@pytest.mark.timeout(600)
def test_a_fleet_lives_through_a_day(fleet: Installation) -> None:
    name = f"app-{os.getpid()}-3"
    mine = {f"default/{name}@{cluster.name}" for cluster in fleet.clusters}
    api = hands(fleet)
    first = InstanceKey("default", name, fleet.clusters[0].name)

    # A commit to one application gives tasks to its instances only.
    eventually(lambda: all(one.phase != "Syncing" for one in fleet.statuses().values()), "it is quiet")
    fleet.repo.commit({f"{name}/one.yaml": manifests("2")["one.yaml"]})
    eventually(lambda: value(api, name, "one") == "2", "the commit has arrived")
    events = [one for one in fleet.store.events.last(500) if "1 configured" in one.message]
    assert {one.subject for one in events} <= mine

    # An edit, a scale and a delete are healed, with field and writer named; what is foreign stays.
    with somebody(fleet) as (core, apps):
        core.patch_namespaced_config_map("two", name, {"metadata": {"annotations": {"team": "web"}}})
        sidecar = {"containers": [{"name": "sidecar", "image": "sidecar:1"}]}
        apps.patch_namespaced_deployment("web", name, {"spec": {"template": {"spec": sidecar}}})
        core.patch_namespaced_config_map("one", name, {"data": {"value": "by hand"}}, field_manager="kubectl-edit")
        eventually(lambda: value(api, name, "one") == "2", "the edit is healed")
        eventually(lambda: (".data.value", "kubectl-edit") in drift(fleet, first), "field and writer are named")
        apps.patch_namespaced_deployment_scale("web", name, {"spec": {"replicas": 5}}, field_manager="kubectl")
        eventually(lambda: (api.get(DEPLOYMENT, name, "web") or {})["spec"]["replicas"] == 2, "the scale is healed")
        eventually(lambda: (".spec.replicas", "kubectl") in drift(fleet, first), "field and writer are named")
        core.delete_namespaced_config_map("three", name)
    eventually(lambda: api.get(CONFIG_MAP, name, "three") is not None, "the deleted object is put back")
    kept = api.get(CONFIG_MAP, name, "two") or {}
    assert kept["metadata"]["annotations"] == {"team": "web"}
    containers = (api.get(DEPLOYMENT, name, "web") or {})["spec"]["template"]["spec"]["containers"]
    assert {one["name"] for one in containers} == {"web", "sidecar"}

    # What carries a copy of our label, but was not applied by us, is never touched.
    labels = dict(kept["metadata"]["labels"])
    copy = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copy", "namespace": name, "labels": labels}}
    api.create(CONFIG_MAP, copy)
    fleet.repo.commit({f"{name}/three.yaml": None})
    eventually(lambda: api.get(CONFIG_MAP, name, "three") is None, "the removed file is pruned")
    assert api.get(CONFIG_MAP, name, "copy") is not None

    # A revert restores.
    fleet.repo.revert()
    eventually(lambda: api.get(CONFIG_MAP, name, "three") is not None, "the revert restores")

    # An emptied folder prunes nothing, and says why.
    fleet.repo.commit({f"{name}/{path}": None for path in manifests()} | {f"{name}/README": "empty"})
    eventually(lambda: fleet.statuses()[first].reason == "EmptyRender", "it says why")
    assert value(api, name, "one") == "2"


def value(api: ClusterApi, namespace: str, name: str) -> str:
    live = api.get(CONFIG_MAP, namespace, name) or {}
    return str((live.get("data") or {}).get("value", ""))


def drift(installation: Installation, key: InstanceKey) -> set[tuple[str, str]]:
    """The fields that others changed of late, with their writers."""
    return {(one.field, one.manager) for one in installation.statuses()[key].drift}


@contextlib.contextmanager
def somebody(installation: Installation) -> Iterator[tuple[client.CoreV1Api, client.AppsV1Api]]:
    """Another writer on the first cluster, by another client than ours."""
    made = config.new_client_from_config(str(installation.clusters[0].kubeconfig))
    with contextlib.closing(made):
        yield client.CoreV1Api(made), client.AppsV1Api(made)


@pytest.mark.timeout(300)
def test_two_applications_that_declare_one_object_never_both_have_it(install: Install, bare_cluster: Running) -> None:
    """Whatever the order: one after the other, the other way round, and both in one commit at the same moment."""
    installation = install([bare_cluster])
    place, names = f"twice-{os.getpid()}", ["early", "late", "left", "right"]
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {by: %s}\n"
    installation.repo.commit(
        {f"{place}-{name}/own.yaml": text % (f"own-{name}", name) for name in names}
        | {f"{place}-{name}/shared.yaml": text % ("in-turn", name) for name in ("early", "late")}
        | {f"{place}-{name}/shared.yaml": text % ("at-once", name) for name in ("left", "right")}
    )

    def add(*added: str) -> None:
        for name in added:
            installation.write_application(f"{place}-{name}", namespace=place, sync="{createNamespace: true}")

    def state(name: str) -> tuple[str, str]:
        status = installation.statuses().get(InstanceKey("default", f"{place}-{name}", bare_cluster.name))
        return (status.sync, status.reason) if status else ("", "")

    add("early")
    installation.start_scheduler()
    for number in range(2):
        installation.start_worker(number)
    eventually(lambda: state("early")[0] == "Synced", "the first has it")
    add("late", "left", "right")
    eventually(lambda: state("late")[1] == "OwnedByAnother", "the later one is refused")
    outcomes = [("Synced", "Synced"), ("OutOfSync", "OwnedByAnother")]
    eventually(lambda: sorted(map(state, ("left", "right"))) == sorted(outcomes), "one of two has it")

    found = installation.statuses()
    for name, other in (("late", "early"), ("left", "right"), ("right", "left")):
        status = found[InstanceKey("default", f"{place}-{name}", bare_cluster.name)]
        assert status.reason == "Synced" or f"default/{place}-{other}" in status.message
    with somebody(installation) as (core, _):
        assert core.read_namespaced_config_map("in-turn", place).data == {"by": "early"}
        winner = "left" if state("left")[0] == "Synced" else "right"
        assert core.read_namespaced_config_map("at-once", place).data == {"by": winner}
        assert core.read_namespaced_config_map("own-late", place).data == {"by": "late"}
