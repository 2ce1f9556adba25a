"""A cluster's API, and one application's waves sent to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler import apply
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters
from reconciler.credentials import Credentials
from reconciler.devcluster import Running
from reconciler.model.changeset import Outcome
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Intent, Inventory, Member
from reconciler.model.live import Resource
from reconciler.model.manifest import Manifest, ObjectKey
from reconciler.model.plan import Action, Cause, Change, Wave
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.ports import ClusterApi

CONFIGS = Resource("", "v1", "ConfigMap", "configmaps", True)


class Lease:
    fence = 7

    def remaining_s(self) -> float:
        return 60.0

    def require_unfrozen(self) -> None:
        return None


@dataclass
class World:
    """An application named after its namespace. `send` applies bodies as one wave."""

    api: ClusterApi
    namespace: str
    inventories: apply.Inventories
    inventory: Inventory = field(default_factory=lambda: Inventory("tests"))

    @property
    def key(self) -> InstanceKey:
        return InstanceKey("default", self.namespace, "bare")

    def send(
        self,
        *bodies: Mapping[str, Any],
        action: Action = Action.CREATE,
        cause: Cause = Cause.NEW,
        adopt: str = "Unclaimed",
        create_namespace: str | None = None,
        of: InstanceKey | None = None,
    ) -> list[Outcome]:
        changes = tuple(Change(ObjectKey.of(body), action, cause, manifest(body)) for body in bodies)
        wave = Wave(changes)
        found = apply.apply_wave(
            self.api,
            wave,
            key=of or self.key,
            inventory=self.inventory,
            adopt=adopt,
            create_namespace=create_namespace,
        )
        return list(found)

    def begin(self, *keys: ObjectKey) -> None:
        """Make objects members, as a sync does before it writes them."""
        now = (self.api.server_time() or SystemClock().now()).replace(microsecond=0)
        intent = Intent(self.inventory.fence + 7, "3fa2c1b", "", now)
        members = {key: Member(now) for key in keys}
        self.inventory = self.inventories.begin(self.api, self.key, self.inventory, intent, members)

    def config(self, name: str = "one", **data: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data or {"a": "1"}}

    def live(self, name: str = "one") -> dict[str, Any]:
        return dict(self.api.get(CONFIGS, self.namespace, name) or {})


def manifest(body: Mapping[str, Any]) -> Manifest:
    return Manifest(ObjectKey.of(body), body, f"{body['metadata']['name']}.yaml")


def api_of(cluster: Running, folder: Path, text: str | None = None) -> Iterator[ClusterApi]:
    """The cluster as the user of a kubeconfig sees it."""
    (folder / "kube.yaml").write_text(text or Path(cluster.kubeconfig).read_text())
    clusters = Clusters(Credentials({}, folder), None, SystemClock())
    target = ClusterTarget(name="bare", access=ClusterAccess(kubeconfig=KubeconfigRef(file="kube.yaml")))
    yield clusters.api(target, Lease(), agent="tests of apply")
    clusters.close()


@pytest.fixture
def api(bare_cluster: Running, tmp_path: Path) -> Iterator[ClusterApi]:
    yield from api_of(bare_cluster, tmp_path)


@pytest.fixture
def world(api: ClusterApi, fresh_namespace: str) -> World:
    return World(api, fresh_namespace, apply.Inventories("tests", SystemClock()))
