"""An operator points Undrift at a cluster full of other people's objects: nothing is written until it was activated, what
others claim is held, and the rest is taken over without anything of it changing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from kubernetes import client, config

from reconciler.devcluster import Running
from reconciler.testing.git import Repo
from tests.acceptance import audit
from tests.fixtures.clusters import make_namespace
from tests.fixtures.installation import COMMAND, eventually
from tests.fixtures.terminal import Run, Terminal
from workers.store import composed

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}
CLAIMED = {
    "helm": {"annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop"}},
    "argo": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/argo"}},
    "flux": {
        "labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    },
}


@pytest.fixture
def core(bare_cluster: Running) -> Iterator[client.ApiClient]:
    made = config.new_client_from_config(str(bare_cluster.kubeconfig))
    yield made
    made.close()


@pytest.fixture
def place(bare_cluster: Running, core: client.ApiClient) -> str:
    """A namespace with objects of four tools."""
    name = make_namespace(bare_cluster)
    client.AppsV1Api(core).create_namespaced_deployment(name, DEPLOYMENT, field_manager="kubectl-client-side-apply")
    for owner, meta in CLAIMED.items():
        body = {"metadata": {"name": owner, **meta}, "data": {"of": owner}}
        client.CoreV1Api(core).create_namespaced_config_map(name, body, field_manager=owner)
    return name


def yaml_of(*names: str) -> str:
    return "---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {one}}}\ndata: {{of: git}}\n" for one in names
    )


@pytest.fixture
def contacted(run_up: Run, bare_cluster: Running, place: str, tmp_path: Path) -> Terminal:
    repo = Repo(tmp_path / "shop.git")
    repo.commit(
        {
            "free/web.yaml": orjson.dumps(DEPLOYMENT).decode(),
            "free/new.yaml": yaml_of("brand-new"),
            "claimed/all.yaml": yaml_of(*CLAIMED),
        }
    )
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    for name in ("free", "claimed"):
        (fleet / f"{name}.yaml").write_text(
            f"apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {{name: {place}-{name}}}\nspec:\n"
            f"  source: {{repo: '{repo.url}', path: {name}}}\n  clusters: {{all: true}}\n  namespace: {place}\n"
        )
    context = config.list_kube_config_contexts(str(bare_cluster.kubeconfig))[1]["name"]
    terminal = run_up("--workers", "1", "--context", context, env={"KUBECONFIG": str(bare_cluster.kubeconfig)})
    terminal.await_line("ready")
    return terminal


def undrift(terminal: Terminal, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "UNDRIFT_HOME": str(terminal.home)}
    return subprocess.run([*COMMAND, *words], env=env, text=True, capture_output=True, timeout=90)


def reasons(terminal: Terminal) -> dict[str, str]:
    store = terminal.store()
    with store.redis:
        return {one.application.rpartition("-")[2]: one.reason for one in composed.statuses(store).values()}


@pytest.mark.timeout(300)
def test_nothing_is_written_before_activation_and_nothing_is_changed_by_it(
    contacted: Terminal, bare_cluster: Running, core: client.ApiClient, place: str
) -> None:
    begun = datetime.now(UTC)
    before = client.AppsV1Api(core).read_namespaced_deployment("web", place)
    eventually(lambda: reasons(contacted) == {"free": "Observed", "claimed": "Observed"}, "both were looked at")
    assert bare_cluster.audit_log is not None

    def written() -> list[audit.Write]:
        return [one for one in audit.writes(bare_cluster.audit_log or Path(), begun) if place in one.instance]

    assert written() == []

    name = next(iter(_clusters(contacted)))
    shown = undrift(contacted, "cluster", "activate", name)
    assert shown.returncode != 0  # nobody was there to answer
    assert "adopt" in shown.stdout
    for part in ("brand-new", "Helm release", "Argo CD", "Flux Kustomization", "1 create, 1 adopt, 3 hold"):
        assert part in shown.stdout, shown.stdout
    assert written() == []

    assert undrift(contacted, "cluster", "activate", name, "--yes", "--reason", "monday").returncode == 0
    eventually(lambda: reasons(contacted) == {"free": "WaitingForHealth", "claimed": "FirstContact"}, "free is applied")
    after = client.AppsV1Api(core).read_namespaced_deployment("web", place)
    assert (after.metadata.uid, after.metadata.generation) == (before.metadata.uid, before.metadata.generation)
    for owner in CLAIMED:
        held = client.CoreV1Api(core).read_namespaced_config_map(owner, place)
        assert held.data == {"of": owner}
        assert {one.manager for one in held.metadata.managed_fields} == {owner}
    assert "monday" in undrift(contacted, "journal", "list").stdout


def _clusters(terminal: Terminal) -> dict[str, Any]:
    store = terminal.store()
    with store.redis:
        return dict(store.specs.clusters())
