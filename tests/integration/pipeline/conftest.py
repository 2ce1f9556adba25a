"""One application against one real API server, from a Git repository on disk to the record."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply import Inventories
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters
from reconciler.credentials import Credentials
from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Inventory
from reconciler.model.live import Resource
from reconciler.model.record import Memory, Order, SyncRecord
from reconciler.model.spec import (
    ClusterAccess,
    ClusterTarget,
    InstanceSpec,
    KubeconfigRef,
    Ref,
    RepositoryAccess,
    Source,
)
from reconciler.pipeline.rooms import Rooms
from reconciler.pipeline.sync import sync
from reconciler.ports import ClusterApi
from reconciler.render import Renderer
from reconciler.source import SourceRoom
from reconciler.testing.git import Repo

CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments", True)
_fences = itertools.count(1_000_000)


class OpenLease:
    """A lease that lasts as long as the test, with a fence of its own."""

    def __init__(self) -> None:
        self.fence = next(_fences)

    def remaining_s(self) -> float:
        return 30.0

    def require_unfrozen(self) -> None:
        return None


@dataclass
class World:
    """An application named after its namespace; `sync` carries its memory from pass to pass."""

    rooms: Rooms
    target: ClusterTarget
    repo: Repo
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    ref: Ref = field(default_factory=lambda: Ref(branch="main"))
    path: str = ""
    """Its folder; that of its name when left out."""

    @property
    def key(self) -> InstanceKey:
        return InstanceKey("default", self.name, self.target.name)

    @property
    def api(self) -> ClusterApi:
        """The cluster as the test's own eyes and hands."""
        return self.rooms.clusters.api(self.target, OpenLease(), agent="test")

    def write(self, files: Mapping[str, str | None]) -> None:
        self.repo.commit({f"{self.name}/{path}": text for path, text in files.items()})

    def spec(self) -> InstanceSpec:
        source = Source(repo=RepositoryAccess(url=self.repo.url), ref=self.ref, path=self.path or self.name)
        return InstanceSpec(
            project="default",
            application=self.name,
            cluster=self.target,
            sources=(source,),
            **({"namespace": self.name} | self.options),
        )

    def sync(self, **order: Any) -> SyncRecord:
        given = {"reasons": ("test",), "by_operator": True} | order
        record = sync(self.spec(), Order(**given), self.memory, OpenLease(), self.rooms)
        self.memory = record.memory
        return record

    def inventory(self) -> Inventory:
        return self.rooms.inventories.read(self.api, self.key)

    def config_map(self, name: str = "one") -> Mapping[str, Any] | None:
        return self.api.get(CONFIG_MAP, self.name, name)

    def other(self, name: str, **options: Any) -> World:
        """Another application in the same repository and on the same cluster."""
        return World(self.rooms, self.target, self.repo, name, options)


def config_map(name: str = "one", **data: str) -> str:
    values = ", ".join(f'{key}: "{value}"' for key, value in (data or {"a": "1"}).items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{values}}}\n"


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    clock = SystemClock()
    credentials = Credentials({}, tmp_path)
    made = Rooms(
        source=SourceRoom(tmp_path / "mirrors", credentials, clock),
        renderer=Renderer(tmp_path / "render", cache=tmp_path / "renders"),
        clusters=Clusters(credentials, None, clock),
        inventories=Inventories(str(uuid.uuid4()), clock),
        clock=clock,
    )
    yield made
    made.close()


@pytest.fixture
def world(bare_cluster: Running, fresh_namespace: str, git_repo: Repo, rooms: Rooms, tmp_path: Path) -> World:
    (tmp_path / "cluster.yaml").write_text(Path(bare_cluster.kubeconfig).read_text())
    access = ClusterAccess(kubeconfig=KubeconfigRef(file="cluster.yaml"))
    return World(rooms, ClusterTarget(name="bare", access=access), git_repo, fresh_namespace)
