"""The example fleet as users find it: every object of it is accepted by real API servers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.apply import Inventories
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters
from reconciler.credentials import Credentials
from reconciler.devcluster import Running
from reconciler.fleet import expand, load, with_dev_clusters
from reconciler.model.record import Memory, Order, SyncRecord
from reconciler.model.spec import InstanceSpec
from reconciler.pipeline.rooms import Rooms
from reconciler.pipeline.sync import sync
from reconciler.render import Renderer
from reconciler.source import FolderTree, SourceRoom
from reconciler.testing.git import GitServer, Repo

sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))
import example_fleet  # examples are no package: people read them as files

pytestmark = pytest.mark.cluster


class Lease:
    """The right to write, without a scheduler that could take it back."""

    fence = 1

    def remaining_s(self) -> float:
        return 60.0

    def require_unfrozen(self) -> None:
        return None


@pytest.fixture
def rooms(tmp_path: Path, three_clusters: list[Running]) -> Iterator[Rooms]:
    folder = three_clusters[0].kubeconfig.parent.parent
    credentials, clock = Credentials({}, folder), SystemClock()
    (tmp_path / "work").mkdir(mode=0o700)
    found = Rooms(
        source=SourceRoom(tmp_path / "mirrors", credentials, clock),
        renderer=Renderer(tmp_path / "work"),
        clusters=Clusters(credentials, folder, clock),
        inventories=Inventories("example", clock),
        clock=clock,
    )
    yield found
    found.close()


@pytest.fixture
def specs(
    tmp_path: Path, three_clusters: list[Running], git_server: GitServer, git_repo: Repo
) -> dict[str, InstanceSpec]:
    """The example fleet on three local clusters, as `make demo` makes it."""
    git_repo.commit(example_fleet.app_files())
    server = git_server.url("apps.git").removesuffix("/apps.git")
    fleet = load(FolderTree(example_fleet.write_fleet(tmp_path / "fleet", server)))
    folder = three_clusters[0].kubeconfig.parent.parent
    names = {one.name: str(one.kubeconfig.relative_to(folder)) for one in three_clusters}
    expansion = expand(with_dev_clusters(fleet, names))
    assert (expansion.problems, expansion.notes) == ((), ())
    return {key.short: spec for key, spec in expansion.specs.items()}


def synced(spec: InstanceSpec, rooms: Rooms) -> SyncRecord:
    """The record of the last of at most three passes: a CRD may need a second one before its objects fit."""
    memory = Memory()
    for _ in range(3):
        record = sync(spec, Order(reasons=("test",)), memory, Lease(), rooms)
        if record.sync == "Synced":
            break
        memory = record.memory
    return record


def test_all_of_the_example_fleet_is_accepted_by_real_clusters(specs: dict[str, InstanceSpec], rooms: Rooms) -> None:
    records = {name: synced(spec, rooms) for name, spec in specs.items()}

    assert {name: record.message for name, record in records.items() if record.sync != "Synced"} == {}
    assert len(records) == 12
    kinds = Counter(one.key.kind for record in records.values() for one in record.objects)
    wanted = {"Namespace", "Deployment", "Pod", "Service", "Ingress", "DaemonSet", "ConfigMap", "Secret", "FeatureFlag"}
    assert wanted <= kinds.keys()


def test_overlays_and_values_differ_per_cluster(specs: dict[str, InstanceSpec]) -> None:
    names = ("dev-1", "dev-2", "dev-3")

    assert [specs[f"web@{name}"].source.path.rpartition("/")[2] for name in names] == ["test", "staging", "production"]
    assert [specs[f"shop@{name}"].render.helm.values["replicas"] for name in names] == [1, 2, 3]
