"""An application under a new name, or on another cluster: the processes as shipped, and nothing that is lost between."""

from __future__ import annotations

import os

import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, Installation, eventually


def uids(cluster: Running, namespace: str) -> set[str]:
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    found = core.list_namespaced_config_map(namespace).items
    return {one.metadata.uid for one in found if one.metadata.name != "kube-root-ca.crt"}


def define(installation: Installation, file: str, name: str, folder: str, clusters: str, more: str = "") -> None:
    """An application in a file of its own, so that a rename is one write."""
    path, fresh = installation.home / "fleet" / f"app-{file}.yaml", installation.home / "fresh"
    fresh.write_text(
        "apiVersion: undrift.dev/v1alpha1\nkind: Application\n"
        f"metadata: {{name: {name}}}\nspec:\n  source: {{repo: '{installation.repo.url}', ref: main, path: {folder}}}\n"
        f"  clusters: {clusters}\n  namespace: {folder.rpartition('-')[0]}\n  sync: {{createNamespace: true}}\n{more}"
    )
    fresh.replace(path)


@pytest.mark.timeout(200)
def test_a_rename_keeps_every_object_and_forgets_the_old_name(install: Install, bare_cluster: Running) -> None:
    name = f"renamed-{os.getpid()}"
    installation = install([bare_cluster])
    filled(installation, 1, name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "it is applied")
    before = uids(bare_cluster, name)

    new, folder = f"{name}-new", f"{name}-0"
    define(installation, folder, new, folder, "{matchLabels: {env: test}}", f"  movedFrom: [{{name: {folder}}}]\n")
    eventually(lambda: set(installation.statuses()) == {InstanceKey("default", new, bare_cluster.name)}, "moved")
    eventually(lambda: installation.are_synced(1), "the new name is in sync")

    assert uids(bare_cluster, name) == before
    assert len(before) == 3
    events = undrift(installation, "events").stdout
    assert "Moved" in events
    assert "Deleted" not in events


@pytest.mark.timeout(300)
def test_another_cluster_comes_up_before_the_old_one_goes_down(
    install: Install, bare_cluster: Running, full_cluster: Running
) -> None:
    name = f"moving-{os.getpid()}"
    installation = install([bare_cluster, full_cluster])
    filled(installation, 1, name)
    folder = f"{name}-0"
    define(installation, folder, folder, folder, f"{{names: [{bare_cluster.name}]}}")
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "it is applied")
    assert len(uids(bare_cluster, name)) == 3

    move = f"  movedFrom: [{{cluster: {bare_cluster.name}}}]\n  deletionGracePeriod: 2s\n"
    define(installation, folder, folder, folder, f"{{names: [{full_cluster.name}]}}", move)
    eventually(lambda: not uids(bare_cluster, name), "the old one went down")

    assert len(uids(full_cluster, name)) == 3
    eventually(lambda: set(installation.statuses()) == {InstanceKey("default", folder, full_cluster.name)}, "forgotten")
