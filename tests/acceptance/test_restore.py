"""A file was removed from Git by mistake: what was pruned is put back by a command, and taken over again by a revert."""

from __future__ import annotations

import os

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, eventually


@pytest.mark.timeout(200)
def test_a_pruned_object_comes_back_and_is_taken_over_again(install: Install, bare_cluster: Running) -> None:
    name = f"restore-{os.getpid()}"
    installation = install([bare_cluster])
    filled(installation, 1, name)
    key = InstanceKey("default", f"{name}-0", bare_cluster.name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "all is applied")
    api = config.new_client_from_config(str(bare_cluster.kubeconfig))
    core = client.CoreV1Api(api)

    def uid() -> str:
        try:
            return str(core.read_namespaced_config_map(f"{name}-0-a", name).metadata.uid)
        except ApiException as error:
            if error.status != 404:
                raise
            return ""

    first = uid()
    installation.repo.commit({f"{name}-0/a.yaml": None})
    eventually(lambda: not uid(), "it is pruned")

    assert f"{name}-0-a" in undrift(installation, "app", "restore", key.short, "--list").stdout
    frozen = undrift(installation, "freeze", "--all", "--reason", "hold on")
    assert frozen.returncode == 0, frozen
    assert undrift(installation, "app", "restore", key.short, "--yes").returncode == 4
    undrift(installation, "thaw", "--all")
    restored = undrift(installation, "app", "restore", key.short, "--yes", "--reason", "a mistake")
    assert restored.returncode == 0, restored
    second = uid()
    assert second not in ("", first)
    assert undrift(installation, "app", "restore", key.short, "--yes").returncode == 2

    installation.repo.revert()
    eventually(lambda: installation.statuses()[key].counts.get("Adopted") == 1, "it is taken over")
    eventually(lambda: installation.are_synced(1), "all is applied")
    assert uid() == second
    assert "a mistake" in undrift(installation, "journal", "list", "--count", "100").stdout
    api.close()
