"""A cluster that does not answer, or that asks for time: what its own instances and everybody else's see of that.

Real parts but for the cluster, which is a server that says what the test wants; queue, tasks and Redis are as shipped.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from reconciler.testing.git import Repo
from tests.fleets import application, cluster, documents, fleet
from tests.integration.cluster.test_faults import Answer, kubeconfig, serving
from tests.integration.workers.conftest import forget
from workers import wiring
from workers.messages import Lane, Mark, Work
from workers.store import Store, composed
from workers.tasks import scanning, syncing

BUSY: Answer = (429, {"Retry-After": "60"}, b"Too many requests, please try again later.")
SCAN = Work("scan", "eu-1")
KEYS = [InstanceKey("default", name, "eu-1") for name in ("api", "db", "web")]


@dataclass
class Site:
    store: Store
    asked: list[str] = field(default_factory=list)

    def run(self, work: Work, lane: Lane) -> None:
        self.store.due.mark([Mark(work, lane, "test")])
        (grant,) = [one for one in self.store.due.grant(1, 30.0) if one.work == work]
        (syncing.run if work.kind == "sync" else scanning.run)(work.subject, grant.fence)

    def due(self, lane: Lane) -> set[str]:
        """What is granted when all instances are wished for."""
        self.store.due.mark(Mark(Work("sync", str(key)), lane, "test") for key in KEYS)
        return {one.work.subject for one in self.store.due.grant(50, 30.0) if one.work.kind == "sync"}


@pytest.fixture
def site(valkey: str, git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    (tmp_path / "credentials").mkdir()
    for name, value in (("HOME", tmp_path / "home"), ("CREDENTIALS", tmp_path / "credentials"), ("REDIS_URL", valkey)):
        monkeypatch.setenv(f"UNDRIFT_{name}", str(value))
    forget()
    store = wiring.store()
    store.due.seen_before(quarantine_s=0.0)
    git_repo.commit({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"})
    source = {"repo": git_repo.url, "path": "."}
    apps = [application(key.application, source=source, namespace="shop") for key in KEYS]
    expansion = expand(fleet(documents(*apps, cluster("eu-1"))), previous={})
    store.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())
    yield Site(store)
    wiring.rooms().close()
    store.redis.close()
    forget()


def reach(tmp_path: Path, server: str) -> None:
    (tmp_path / "credentials" / "eu-1.yaml").write_text(kubeconfig(server))


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("work", [SCAN, Work("sync", str(KEYS[0]))], ids=["a scan", "a sync"])
def test_what_does_not_answer_is_asked_by_scans_alone_until_it_does(site: Site, tmp_path: Path, work: Work) -> None:
    reach(tmp_path, nobody())

    site.run(work, Lane.PERIODIC)

    assert site.due(Lane.COMMIT) == set(), "syncs would wait for it in vain"
    assert SCAN in site.store.queued.states()
    told = composed.statuses(site.store)[KEYS[2]]
    assert told.next_try is not None
    assert told.next_try.timestamp() <= site.store.queued.states()[SCAN][1] / 1000 + 1
    assert site.due(Lane.OPERATOR) == {str(key) for key in KEYS}, "a person's wish is tried all the same"


def test_syncs_go_on_with_the_first_scan_that_is_answered(site: Site, tmp_path: Path) -> None:
    reach(tmp_path, nobody())
    site.run(SCAN, Lane.PERIODIC)
    assert site.due(Lane.COMMIT) == set()

    with serving(
        lambda method, path: (403, {}, b'{"kind": "Status", "reason": "Forbidden", "message": "no"}')
    ) as server:
        reach(tmp_path, server)
        site.run(SCAN, Lane.OPERATOR)

    assert site.due(Lane.COMMIT) == {str(key) for key in KEYS}


@pytest.mark.parametrize("work", [SCAN, Work("sync", str(KEYS[0]))], ids=["a scan", "a sync"])
def test_a_cluster_that_asks_for_a_minute_gets_it_from_all_its_instances(
    site: Site, tmp_path: Path, work: Work
) -> None:
    def busy(method: str, path: str) -> Answer:
        site.asked.append(path)
        return BUSY

    with serving(busy) as server:
        reach(tmp_path, server)
        site.run(work, Lane.PERIODIC)
        asked = len(site.asked)

        assert site.due(Lane.COMMIT) == set()

    assert asked == (1 if work == SCAN else 2), "a sync of a cluster that was never met asks who it is before"
    left_s = site.store.queued.shut_until()["eu-1"] / 1000 - time.time()
    assert 50 < left_s <= 60
    if work.kind == "sync":
        assert site.store.status.get(KEYS[0]).reason == "TooManyRequests"
