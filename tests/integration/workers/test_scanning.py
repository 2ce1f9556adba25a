"""The tasks `sync` and `scan` on one real cluster, granted by a real queue: what a look makes due, and what it leaves be."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.cluster import OpenGuard, discovery
from reconciler.devcluster import Running
from reconciler.fleet import expand
from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.objects.kinds import SECRETS
from reconciler.ports import ClusterApi
from reconciler.testing.git import Repo
from tests.fixtures.installation import eventually
from tests.fleets import application, cluster, documents, fleet
from tests.integration.workers.conftest import forget
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.store import Store
from workers.tasks import judging, refreshing, scanning, syncing

pytestmark = pytest.mark.cluster

CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata:\n"
    "  has: '{{ .Capabilities.APIVersions.Has \"%s/v1\" }}'\n",
}


@dataclass
class Site:
    """One application of a name of its own on one cluster; tasks are run here, as a worker would."""

    store: Store
    repo: Repo
    name: str

    @property
    def key(self) -> InstanceKey:
        return InstanceKey("default", self.name, "bare")

    @property
    def api(self) -> ClusterApi:
        target = self.store.specs.cluster("bare")
        assert target is not None
        return wiring.rooms().clusters.api(target, OpenGuard(), agent="somebody")

    def write(self, files: dict[str, str]) -> None:
        self.repo.commit({f"{self.name}/{path}": text for path, text in files.items()})

    def run(self, work: Work) -> None:
        """Grant and do one piece of work now, whatever else is due."""
        self.store.due.mark([Mark(work, Lane.OPERATOR, "test")])
        mine = next(one for one in self.store.due.grant(50, 30.0) if one.work == work)
        tasks: dict[str, Any] = {"sync": syncing.run, "scan": scanning.run, "refresh": refreshing.run}
        tasks[work.kind](work.subject, mine.fence)

    def synced(self) -> None:
        self.store.unjudged.add(self.repo.url, {self.key: "new"})
        self.run(Work("refresh", self.repo.url))
        for one in self.due():
            syncing.run(one.work.subject, one.fence)
        assert self.store.status.get(self.key).sync == "Synced", self.store.status.get(self.key).message

    def scan(self) -> None:
        self.run(Work("scan", "bare"))

    def due(self) -> list[Grant]:
        return [one for one in self.store.due.grant(50, 30.0) if one.work.kind == "sync"]

    def live(self) -> dict[str, Any]:
        return dict(self.api.get(CONFIG_MAP, self.name, "one") or {})


@pytest.fixture
def site(
    bare_cluster: Running, valkey: str, git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    yield from make_site(bare_cluster, valkey, git_repo, tmp_path, monkeypatch)


def make_site(
    running: Running, valkey: str, git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A site on a cluster, which it calls `bare`."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "bare.yaml").write_text(Path(running.kubeconfig).read_text())
    for name, value in (("HOME", tmp_path / "home"), ("CREDENTIALS", tmp_path / "credentials"), ("REDIS_URL", valkey)):
        monkeypatch.setenv(f"UNDRIFT_{name}", str(value))
    monkeypatch.setattr(discovery, "FRESH_FOR_S", 0.0)
    forget()
    store = wiring.store()
    store.due.seen_before(quarantine_s=0.0)
    made = Site(store, git_repo, f"scan-{uuid.uuid4().hex[:8]}")
    made.write({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '1'}\n"})
    source = {"repo": git_repo.url, "path": made.name}
    app = application(made.name, source=source, namespace=made.name, sync={"createNamespace": True})
    expansion = expand(fleet(documents(app, cluster("bare"))), previous={})
    store.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())
    yield made
    wiring.rooms().close()
    store.redis.close()
    forget()


def test_what_is_as_it_was_applied_is_proven_and_nothing_is_due(site: Site) -> None:
    site.synced()

    site.scan()

    status = site.store.status.get(site.key)
    assert site.due() == []
    assert (status.sync, status.in_sync_at) == ("Synced", status.observed_at)
    assert status.last_sync is not None
    assert status.observed_at is not None
    assert status.observed_at > status.last_sync


def test_what_was_changed_by_hand_is_due_and_healed(site: Site) -> None:
    site.synced()
    patch = [{"op": "replace", "path": "/data/a", "value": "by hand"}]
    site.api.patch_json(CONFIG_MAP, site.name, "one", patch)

    site.scan()
    (due,) = site.due()
    told = site.store.status.get(site.key)
    syncing.run(due.work.subject, due.fence)

    assert "drift" in due.reasons
    assert (told.sync, told.drift[0].key) == ("OutOfSync", f"|ConfigMap|{site.name}|one")
    assert site.live()["data"] == {"a": "1"}
    assert site.store.status.get(site.key).reason == "Healed"


def test_what_waits_behind_a_freeze_is_not_told_as_synced(site: Site) -> None:
    site.synced()
    site.scan()
    site.store.brakes.put(Brake("all", "hold on", "ann", site.store.clock.now()))
    site.write({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '2'}\n"})
    site.run(Work("refresh", site.repo.url))
    (due,) = site.due()
    syncing.run(due.work.subject, due.fence)
    before = site.store.status.get(site.key)
    assert (before.sync, before.phase) == ("OutOfSync", "Paused")

    site.scan()

    after = site.store.status.get(site.key)
    assert (after.sync, after.applied_revision) == ("OutOfSync", before.applied_revision)
    assert after.in_sync_at == before.in_sync_at
    assert site.live()["data"] == {"a": "1"}


def test_a_sync_that_ended_during_the_scan_is_not_overwritten(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.synced()
    site.api.patch_json(CONFIG_MAP, site.name, "one", [{"op": "replace", "path": "/data/a", "value": "by hand"}])
    judge = scanning.judge

    def judged(*given: Any, **options: Any) -> Any:
        report = judge(*given, **options)
        site.run(Work("sync", str(site.key)))
        return report

    monkeypatch.setattr(scanning, "judge", judged)

    site.scan()

    assert site.due() == []
    assert (site.store.status.get(site.key).sync, site.store.status.get(site.key).reason) == ("Synced", "Healed")


def test_an_inventory_that_was_deleted_is_made_anew(site: Site) -> None:
    site.synced()
    site.scan()
    parent = site.api.get(SECRETS, "undrift-system", site.key.inventory_name) or {}
    site.api.delete(SECRETS, "undrift-system", site.key.inventory_name, uid=str(parent["metadata"]["uid"]))

    site.scan()
    (due,) = site.due()
    syncing.run(due.work.subject, due.fence)

    assert "its inventory is gone" in due.reasons
    assert site.api.get(SECRETS, "undrift-system", site.key.inventory_name) is not None
    site.scan()
    assert (site.due(), site.store.status.get(site.key).sync) == ([], "Synced")


def test_after_a_loss_of_redis_the_inventory_proves_it_and_a_look_knows_what_it_read(site: Site) -> None:
    site.synced()
    site.scan()  # flushes the proof into the inventory
    for name in ("memory", "status", "judged"):
        site.store.redis.delete(f"{site.store.prefix}{name}")
    for pattern in ("readers:*", "open:*", "whole:*"):
        for name in site.store.redis.keys(f"{site.store.prefix}{pattern}"):
            site.store.redis.delete(name)

    site.scan()
    site.run(Work("refresh", site.repo.url))

    assert site.due() == []
    assert site.store.status.get(site.key).reason == "Proven"
    assert site.store.closures.open(site.repo.url) == {}
    site.write({"b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n"})
    site.run(Work("refresh", site.repo.url))
    assert [one.work.subject for one in site.due()] == [str(site.key)]


def test_a_commit_that_changes_no_object_moves_on_and_later_ones_do_not_concern_it(site: Site) -> None:
    site.synced()
    site.write({"a.yaml": "# words\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '1'}\n"})
    site.run(Work("refresh", site.repo.url))
    (due,) = site.due()
    syncing.run(due.work.subject, due.fence)
    assert "nothing to do" in site.store.status.get(site.key).message

    site.repo.commit({"README.md": "words"})
    site.run(Work("refresh", site.repo.url))

    assert site.due() == []
    assert site.store.closures.open(site.repo.url) == {}


def test_a_chart_that_asked_for_a_kind_is_due_when_the_cluster_serves_it(site: Site) -> None:
    group = f"{site.name}.example.com"
    site.write({"a.yaml": "", **{name: text.replace("%s", group) for name, text in CHART.items()}})
    site.repo.commit({f"{site.name}/a.yaml": None})
    site.synced()
    assert site.live()["data"] == {"has": "false"}
    site.scan()
    work = Work("sync", str(site.key))
    before = site.store.queued.states()[work]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Widget", "plural": "widgets"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    made = site.api.create(DEFINITIONS, definition)
    eventually(
        lambda: group in {kind.group for kind in site.api.discovery(refresh=True).resources},
        "the new kind is served",
        within_s=10,
    )

    site.scan()

    assert site.store.queued.states()[work][1] < before[1]
    assert site.store.queued.states()[work][1] <= site.store.due.now_ms() + judging.SPREAD_S * 1000
    site.run(work)
    assert site.live()["data"] == {"has": "true"}
    site.api.delete(DEFINITIONS, "", f"widgets.{group}", uid=str(made["metadata"]["uid"]))


@pytest.mark.parametrize("patch", ["damaged", "another's"])
def test_an_inventory_that_can_t_be_read_is_not_taken_for_gone(site: Site, patch: str) -> None:
    """Its sync says what is wrong once; a scan that made it due each time would go round in a circle."""
    site.synced()
    place, value = {
        "damaged": ("/data/inventory", base64.b64encode(b"rubbish").decode()),
        "another's": ("/metadata/annotations/undrift.dev~1installation", "another"),
    }[patch]
    change = [{"op": "replace", "path": place, "value": value}]
    site.api.patch_json(SECRETS, "undrift-system", site.key.inventory_name, change)

    site.scan()
    (due,) = site.due()
    syncing.run(due.work.subject, due.fence)
    said = site.store.status.get(site.key)
    site.scan()

    assert "its inventory can't be read" in due.reasons
    assert said.reason == "InventoryError"
    assert site.due() == []
    assert site.store.status.get(site.key).reason == "InventoryError"
