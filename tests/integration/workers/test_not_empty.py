"""An application that is deleted while others live in its Namespace: it says so, and looks again without haste."""

from __future__ import annotations

import pytest

from reconciler.fleet import expand
from reconciler.objects.kinds import NAMESPACES
from tests.fleets import cluster, documents, fleet
from tests.integration.workers.test_scanning import CONFIG_MAP, Site
from tests.integration.workers.test_scanning import site as site
from workers.messages import Work
from workers.store import composed

pytestmark = pytest.mark.cluster


def test_what_its_namespace_still_holds_is_told_and_nothing_is_hurried(site: Site) -> None:
    site.write({"space.yaml": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {site.name}-own}}\n"})
    site.synced()
    meta = {"name": "theirs", "namespace": f"{site.name}-own"}
    site.api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    without = expand(fleet(documents(cluster("bare"))), previous={})
    site.store.fleet.publish(without.specs, without.clusters, without.repositories())
    site.store.specs.ask_teardown(site.key)
    work, before = Work("sync", str(site.key)), site.store.outbox.length()

    for _ in range(2):
        site.run(work)
        site.store.due.forget([work])
    site.run(work)

    status = composed.statuses(site.store)[site.key]
    assert (status.phase, status.reason) == ("Waiting", "Deleting")
    assert f"Namespace {site.name}-own holds ConfigMap {site.name}-own/theirs" in status.message
    assert "undrift.dev/prune: disabled" in status.message
    assert site.live() == {}
    assert site.api.get(NAMESPACES, "", f"{site.name}-own") is not None
    assert site.store.queued.states()[work][1] > site.store.due.now_ms() + 50_000
    assert site.store.outbox.length() <= before + 1, "what was done is journalled once, not at each look"
