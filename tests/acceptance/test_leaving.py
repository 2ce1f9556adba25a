"""An Application is removed from the fleet: its objects go after the grace, or stay, as its own document said."""

from __future__ import annotations

import os

import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, eventually


@pytest.mark.timeout(200)
def test_objects_go_after_the_grace_or_stay_as_orphans(install: Install, bare_cluster: Running) -> None:
    name = f"leaving-{os.getpid()}"
    installation = install([bare_cluster])
    filled(installation, 3, name)
    for number, policy in ((0, "Delete"), (1, "Orphan")):
        installation.write_application(
            f"{name}-{number}",
            namespace=name,
            sync="{createNamespace: true}",
            deletionPolicy=policy,
            deletionGracePeriod="3s",
        )
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(3), "all is applied")
    core = client.CoreV1Api(config.new_client_from_config(str(bare_cluster.kubeconfig)))

    def objects(number: int) -> int:
        found = core.list_namespaced_config_map(name).items
        return sum(one.metadata.name.startswith(f"{name}-{number}-") for one in found)

    for number in (0, 1):
        (installation.home / "fleet" / f"app-{name}-{number}.yaml").unlink()
    eventually(lambda: objects(0) == 0, "the deleted one is gone")
    eventually(lambda: len(installation.statuses()) == 1, "both are forgotten")

    assert objects(1) == 3
    assert objects(2) == 3
    inventories = [one.metadata.name for one in core.list_namespaced_secret("undrift-system").items]
    assert f"undrift.default.{name}-1" not in inventories
    assert f"undrift.default.{name}-2" in inventories

    def journal(number: int) -> str:
        return undrift(installation, "journal", "list", "--subject", f"{name}-{number}").stdout

    assert "leaving" in journal(0)
    eventually(lambda: "3 deleted" in journal(0) and "release" in journal(1), "what was done is kept, too")
    # Nothing is known of it any more; what was deleted of it comes back all the same.
    key = f"{name}-0@{bare_cluster.name}"
    assert f"{name}-0-a" in undrift(installation, "app", "restore", key, "--list").stdout
    assert undrift(installation, "app", "restore", key, "--yes", "--reason", "a mistake").returncode == 0
    assert objects(0) == 3
