"""A kubeconfig that leads elsewhere: nothing is written to the other cluster, and nothing is believed of it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from tests.acceptance import audit
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, eventually


@pytest.mark.timeout(300)
def test_another_cluster_behind_a_known_name_is_held_untouched(install: Install, three_clusters: list[Running]) -> None:
    here, elsewhere = three_clusters[:2]
    begun, name = datetime.now(UTC), f"moved-{os.getpid()}"
    installation = install([here])
    filled(installation, 3, name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(3), "all is applied")
    eventually(lambda: installation.store.pins.get(here.name), "the cluster is pinned")

    kubeconfig = installation.home / "credentials" / f"{here.name}.yaml"
    kubeconfig.write_text(Path(elsewhere.kubeconfig).read_text())
    eventually(
        lambda: {one.reason for one in installation.statuses().values()} == {"ClusterIdentityChanged"}, "all is held"
    )
    installation.repo.commit({f"{name}-0/a.yaml": None, f"{name}-1/d.yaml": "apiVersion: v1\nkind: ConfigMap\n"})
    assert undrift(installation, "app", "sync", "--all").returncode == 4, "each was tried, and held"
    assert {one.phase for one in installation.statuses().values()} == {"Held"}
    assert elsewhere.audit_log is not None
    assert [one for one in audit.writes(elsewhere.audit_log, begun) if name in one.instance] == []

    installation.repo.revert()
    kubeconfig.write_text(Path(here.kubeconfig).read_text())
    eventually(lambda: installation.are_synced(3), "the right cluster is back")

    # It is rebuilt: what answers is empty, and a person says that it is the right one.
    kubeconfig.write_text(Path(elsewhere.kubeconfig).read_text())
    eventually(
        lambda: {one.reason for one in installation.statuses().values()} == {"ClusterIdentityChanged"}, "all is held"
    )
    assert undrift(installation, "cluster", "forget", here.name, "--yes", "--reason", "rebuilt").returncode == 0
    core = client.CoreV1Api(config.new_client_from_config(str(elsewhere.kubeconfig)))
    eventually(lambda: len(core.list_namespaced_config_map(name).items) >= 9, "all is made anew")
    eventually(lambda: installation.are_synced(3), "and proven")


@pytest.mark.timeout(300)
def test_one_cluster_under_two_names_is_held_and_a_rebuilt_one_is_taken_after_a_word(
    install: Install, bare_cluster: Running
) -> None:
    begun = datetime.now(UTC)
    installation = install([bare_cluster])
    filled(installation, 1, f"rebuilt-{os.getpid()}")
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "all is applied")
    eventually(lambda: installation.store.pins.get(bare_cluster.name), "the cluster is pinned")
    fleet = installation.home / "fleet" / "clusters.yaml"
    second = fleet.read_text().replace(f"name: {bare_cluster.name}", "name: second", 1)
    (installation.home / "fleet" / "second.yaml").write_text(second)

    def reason(cluster: str) -> str:
        found = [one for one in installation.statuses().values() if one.cluster == cluster]
        return found[0].reason if found else ""

    eventually(lambda: reason("second") == "ClusterIdentityChanged", "the second name is held")
    assert reason(bare_cluster.name) == "Synced"
    assert undrift(installation, "app", "sync", f"rebuilt-{os.getpid()}-0@second").returncode == 4
    assert bare_cluster.audit_log is not None
    assert [one for one in audit.writes(bare_cluster.audit_log, begun) if "@second" in one.instance] == []
    (installation.home / "fleet" / "second.yaml").unlink()

    # A rebuilt cluster has another uid; the pin is what differs from it.
    installation.store.redis.hset("undrift:pins", bare_cluster.name, "00000000-0000-0000-0000-000000000000")
    eventually(lambda: reason(bare_cluster.name) == "ClusterIdentityChanged", "it is held")
    forgotten = undrift(installation, "cluster", "forget", bare_cluster.name, "--yes", "--reason", "rebuilt")
    assert forgotten.returncode == 0, forgotten
    mine = InstanceKey("default", f"rebuilt-{os.getpid()}-0", bare_cluster.name)
    eventually(lambda: installation.statuses()[mine].sync == "Synced", "it is taken as it is")
