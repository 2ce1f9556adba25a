"""Thirty applications on three clusters: what a commit, an edit, a scale, a delete, a revert and an emptied folder do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

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
    def change(resource: Resource, name_: str, path: str, value_: object) -> None:
        api.patch_json(resource, name, name_, [{"op": "add", "path": path, "value": value_}])

    change(CONFIG_MAP, "two", "/metadata/annotations", {"team": "web"})
    change(DEPLOYMENT, "web", "/spec/template/spec/containers/-", {"name": "sidecar", "image": "sidecar:1"})
    change(CONFIG_MAP, "one", "/data/value", "by hand")
    eventually(lambda: value(api, name, "one") == "2", "the edit is healed")
    eventually(lambda: drift(fleet, first) == (".data.value", "undrift"), "field and writer are named")
    change(DEPLOYMENT, "web", "/spec/replicas", 5)
    eventually(lambda: (api.get(DEPLOYMENT, name, "web") or {})["spec"]["replicas"] == 2, "the scale is healed")
    live = api.get(CONFIG_MAP, name, "three") or {}
    api.delete(CONFIG_MAP, name, "three", uid=live["metadata"]["uid"])
    eventually(lambda: api.get(CONFIG_MAP, name, "three") is not None, "the deleted object is put back")
    kept = api.get(CONFIG_MAP, name, "two") or {}
    assert kept["metadata"]["annotations"] == {"team": "web"}
    containers = (api.get(DEPLOYMENT, name, "web") or {})["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in containers] == ["web", "sidecar"]

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


def drift(installation: Installation, key: InstanceKey) -> tuple[str, str] | None:
    found = [one for one in installation.statuses()[key].drift if one.field == ".data.value"]
    return (found[0].field, found[0].manager) if found else None
