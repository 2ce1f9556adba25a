"""How objects do is seen by each scan, not by syncs alone; and what a lost sync has left is no drift."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.devcluster import Running
from reconciler.model.live import Resource
from reconciler.model.record import Order
from reconciler.pipeline.sync import sync
from reconciler.testing.git import Repo
from tests.fixtures.installation import eventually
from tests.integration.workers.test_scanning import Site, make_site
from tests.integration.workers.test_scanning import site as site
from tests.worlds import Lease
from workers import wiring
from workers.cli import looking
from workers.messages import Work
from workers.tasks import syncing

pytestmark = pytest.mark.cluster

NODE = Resource("", "v1", "Node", "nodes", False)
POD = Resource("", "v1", "Pod", "pods", True)
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '%s'}\n"
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:1.0'}]}
"""


@pytest.fixture
def full_site(
    full_cluster: Running, valkey: str, git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """On a cluster with controllers, two Pods of a Deployment run and are known to."""
    made = make_site(full_cluster, valkey, git_repo, tmp_path, monkeypatch)
    site = next(made)
    site.write({"web.yaml": DEPLOYMENT})
    site.synced()
    eventually(lambda: health(site, sync=True) == ("Healthy", "Synced"), "its Pods run")
    yield site
    next(made, None)


def health(site: Site, *, sync: bool = False) -> tuple[str, str]:
    site.run(Work("sync", str(site.key)) if sync else Work("scan", "bare"))
    status = site.store.status.get(site.key)
    return status.health, status.sync


@contextmanager
def cordoned(site: Site) -> Iterator[None]:
    """No node takes a new Pod."""
    names = [str(one["metadata"]["name"]) for one in site.api.list(NODE).items]
    for name in names:
        site.api.patch_json(NODE, "", name, [{"op": "add", "path": "/spec/unschedulable", "value": True}])
    try:
        yield
    finally:
        for name in names:
            site.api.patch_json(NODE, "", name, [{"op": "remove", "path": "/spec/unschedulable"}])


def test_pods_that_die_are_seen_by_the_next_scan_and_so_is_their_return(full_site: Site) -> None:
    with cordoned(full_site):
        for pod in full_site.api.list(POD, namespace=full_site.name).items:
            meta = pod["metadata"]
            full_site.api.delete(POD, full_site.name, str(meta["name"]), uid=str(meta["uid"]))
        eventually(lambda: health(full_site) == ("Progressing", "Synced"), "the scan sees that no Pod runs")
        (web,) = [one for one in full_site.store.status.get(full_site.key).objects if "Deployment" in one.key]
        assert web.health == "Progressing"
        assert full_site.due() == [], "what is as it was applied needs no sync"

    eventually(lambda: health(full_site) == ("Healthy", "Synced"), "the scan sees that they run again")


def test_after_a_loss_of_redis_a_scan_knows_the_health_again_and_waiting_ends(full_site: Site) -> None:
    full_site.scan()  # flushes the proof into the inventory
    for name in ("memory", "status"):
        full_site.store.redis.delete(f"{full_site.store.prefix}{name}")

    full_site.scan()

    status = full_site.store.status.get(full_site.key)
    assert (status.reason, status.health) == ("Proven", "Healthy")
    assert {one.health for one in status.objects} == {"Healthy"}
    with full_site.working():
        assert looking.wait_for(full_site.store, [full_site.key], 60.0) == 0


def killed_sync(site: Site, **more: Any) -> None:
    """A worker applies the newest commit, and dies before it can say so."""
    spec = site.store.specs.get(site.key)
    assert spec is not None
    order = Order(reasons=("commit",), commit=site.repo.head(), **more)
    lease = Lease(int(time.time() * 1000))
    record = sync(spec, order, site.store.memories.get(site.key), lease, wiring.rooms())
    assert record.wrote, record.message


def test_what_a_killed_sync_has_applied_is_unfinished_work_and_nobodys_drift(site: Site) -> None:
    site.synced()
    site.write({"a.yaml": CONFIG_MAP.replace("{a:", "{b: new, a:") % "2"})
    killed_sync(site)

    site.scan()

    status = site.store.status.get(site.key)
    assert site.live()["data"] == {"a": "2", "b": "new"}
    assert (status.sync, status.drift) == ("Synced", ()), "as was told before; nothing is concluded from it"
    (due,) = site.due()
    assert "an interrupted sync" in due.reasons
    assert "drift" not in due.reasons


def test_a_sync_that_was_lost_when_all_stood_is_closed_by_the_next(site: Site) -> None:
    """Its intent stands in the inventory and nothing differs: a pass that wrote nothing would leave it so for ever."""
    site.synced()
    site.scan()
    killed_sync(site, full=True)
    site.scan()
    (due,) = site.due()
    assert "an interrupted sync" in due.reasons

    syncing.run(due.work.subject, due.fence)
    for _ in range(2):
        site.scan()

    status = site.store.status.get(site.key)
    assert (site.due(), status.sync) == ([], "Synced")
    assert status.observed_at == status.in_sync_at


def test_what_a_killed_sync_has_applied_and_a_revert_takes_back_is_no_heal(site: Site) -> None:
    site.synced()
    site.write({"a.yaml": CONFIG_MAP.replace("{a:", "{b: new, a:") % "2"})
    killed_sync(site)
    site.write({"a.yaml": CONFIG_MAP % "1"})
    site.run(Work("refresh", site.repo.url))

    site.run(Work("sync", str(site.key)))

    status = site.store.status.get(site.key)
    assert site.live()["data"] == {"a": "1"}
    assert (status.sync, status.reason, status.drift) == ("Synced", "Synced", ())
    assert site.store.memories.get(site.key).heals == {}
