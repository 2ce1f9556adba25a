"""The scheduler's turns on a real Valkey and a fleet folder; grants are taken by the test in the workers' place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from reconciler.clock import ManualClock
from reconciler.credentials import Credentials
from reconciler.journal import Journal
from reconciler.model.instance import InstanceKey
from reconciler.source import SourceRoom
from tests.fixtures.installation import eventually
from workers.messages import Grant, Lane, Mark, Work
from workers.scheduler import Scheduler, leaving, loop
from workers.scheduler.fleet import FleetKeeper
from workers.scheduler.loop import Pace
from workers.scheduler.records import Records
from workers.store import Store, composed, open_store, specs
from workers.store.leader import Leader

LEASE_S, POLL_S = 30.0, 60.0
API = "apiVersion: undrift.dev/v1alpha1"
CLUSTER = f"{API}\nkind: Cluster\nmetadata: {{name: eu-1}}\nspec: {{access: {{kubeconfig: {{file: eu-1.yaml}}}}}}\n"


def application(name: str) -> str:
    source = "{repo: https://git.example.com/apps.git, ref: main, path: a}"
    spec = f"{{source: {source}, clusters: {{all: true}}, namespace: a}}"
    return f"{API}\nkind: Application\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def raises(error: Exception) -> None:
    raise error


@dataclass
class Site:
    """A scheduler over a folder, and what it handed out."""

    store: Store
    folder: Path
    clock: ManualClock
    scheduler: Scheduler
    sent: list[Grant] = field(default_factory=list)
    broker_is_away: bool = False

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def dispatch(self, grants: list[Grant]) -> None:
        if self.broker_is_away:
            raise ConnectionError("the broker is away")
        self.sent += grants

    def turn(self, *, slots: int = 10) -> list[str]:
        """One turn; the works that were handed out in it."""
        self.sent.clear()
        self.store.slots.beat("worker", slots, self.clock.now())
        self.scheduler.turn()
        return sorted(str(one.work) for one in self.sent)

    def unjudged(self) -> dict[str, str]:
        found = self.store.unjudged.anywhere()
        return {str(key): reason for reasons in found.values() for key, reason in reasons.items()}

    def finish(self) -> None:
        for grant in list(self.sent):
            self.store.due.claim(grant.work, grant.fence, LEASE_S)
            self.store.due.complete(grant.work, grant.fence)


def make_site(url: str, folder: Path, clock: ManualClock, *, tells: bool = False, lock_s: float = 10.0) -> Site:
    store = open_store(url, clock)
    store = replace(store, leader=Leader(store.redis, store.prefix, ttl_s=lock_s))
    room = SourceRoom(folder.parent / "mirrors", Credentials({}, None), clock)
    sites: list[Site] = []
    scheduler = Scheduler(
        store,
        FleetKeeper(str(folder), room),
        Records(store, Journal(folder.parent / "journal.git", clock)),
        lambda grants: sites[0].dispatch(grants),
        clock,
        Pace(LEASE_S, POLL_S, tells=tells),
    )
    sites.append(Site(store, folder, clock, scheduler))
    return sites[0]


@pytest.fixture
def site(valkey: str, tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "cluster.yaml").write_text(CLUSTER)
    (folder / "a.yaml").write_text(application("a"))
    made = make_site(valkey, folder, ManualClock())
    yield made
    made.store.redis.close()


@pytest.fixture
def running(site: Site) -> Site:
    """A site past its first lease length, with nothing left to do now."""
    site.turn()
    site.clock.advance(LEASE_S)
    site.turn()
    site.finish()
    return site


def test_an_empty_redis_grants_nothing_for_a_lease_length_and_then_looks_before_it_syncs(site: Site) -> None:
    assert site.turn() == []
    site.clock.advance(LEASE_S)

    assert site.turn() == ["refresh https://git.example.com/apps.git", "scan eu-1"]
    assert site.store.queued.states()[Work("sync", "default/a@eu-1")][0] == "due"


def test_a_fleet_that_takes_longer_to_publish_than_the_lock_lasts_is_put_in_force(
    site: Site, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = make_site(valkey, site.folder, site.clock, lock_s=3)
    announce, led = leaving.announce, []

    def slowly(*given: Any) -> None:
        site.store.redis.pexpire("undrift:leader", 2500)
        eventually(lambda: site.store.redis.pttl("undrift:leader") > 2500, "the lock is renewed", 20)
        led.append(site.store.leader.leads())
        announce(*given)

    monkeypatch.setattr(leaving, "announce", slowly)

    hasty.turn()

    assert led == [False]
    assert [str(key) for key in hasty.store.specs.instance_keys()] == ["default/a@eu-1"]
    hasty.store.redis.close()


def test_turns_go_on_beside_a_look_at_a_large_fleet(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PATIENCE_S", 0.1)
    may_end, look = threading.Event(), FleetKeeper.look
    monkeypatch.setattr(FleetKeeper, "look", lambda *given: (may_end.wait(20), look(*given))[1])
    running.write("b.yaml", application("b"))
    running.clock.advance(POLL_S)
    running.turn()
    running.store.due.mark([Mark(Work("sync", "default/a@eu-1"), Lane.OPERATOR, "resync")])

    assert "sync default/a@eu-1" in running.turn()
    assert [str(key) for key in running.store.specs.instance_keys()] == ["default/a@eu-1"]
    may_end.set()
    eventually(lambda: (running.turn(), len(running.store.specs.instance_keys()) == 2)[1], "the fleet is in force", 20)


def test_what_redis_did_not_take_is_put_in_force_by_the_next_turn(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.write("a.yaml", application("a").replace("path: a", "path: b"))
    running.clock.advance(POLL_S)
    with monkeypatch.context() as broken:
        broken.setattr(leaving, "announce", lambda *_: raises(redis.ConnectionError("away")))
        with pytest.raises(redis.ConnectionError):
            running.scheduler.turn()
    assert running.unjudged() == {}

    running.turn()

    assert running.unjudged() == {"default/a@eu-1": "fleet changed"}


def test_what_redis_took_without_an_answer_and_git_took_back_is_not_run_on(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.write("b.yaml", application("b"))
    running.clock.advance(POLL_S)
    with monkeypatch.context() as broken:
        broken.setattr(running.store.fleet, "note", lambda *_: raises(redis.ConnectionError("away")))
        with pytest.raises(redis.ConnectionError):
            running.scheduler.turn()
    assert len(running.store.specs.instance_keys()) == 2
    (running.folder / "b.yaml").unlink()

    running.turn()

    assert [str(key) for key in running.store.specs.instance_keys()] == ["default/a@eu-1"]
    assert [str(key) for key in running.store.specs.left()] == ["default/b@eu-1"]


def test_a_fleet_that_could_not_be_read_from_redis_is_looked_at_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(site.store.specs, "known", lambda: raises(redis.ConnectionError("away")))
        with pytest.raises(redis.ConnectionError):
            site.scheduler.turn()
    site.clock.advance(POLL_S)

    site.turn()

    assert [str(key) for key in site.store.specs.instance_keys()] == ["default/a@eu-1"]


def test_one_that_slept_while_another_led_begins_from_what_is_in_force_now(running: Site, valkey: str) -> None:
    other = make_site(valkey, running.folder, running.clock)
    running.store.leader.release()
    running.write("b.yaml", application("b"))
    other.turn()
    other.store.leader.release()
    other.store.redis.close()
    (running.folder / "b.yaml").unlink()
    running.clock.advance(POLL_S)

    running.turn()

    assert [str(key) for key in running.store.tombstones.all()] == ["default/b@eu-1"]


def test_an_entry_of_the_fleet_that_redis_lost_is_published_again(running: Site) -> None:
    running.store.redis.hdel("undrift:instances", "default/a@eu-1")
    running.store.due.look_at_fleet()

    running.turn()

    assert [str(key) for key in running.store.specs.instance_keys()] == ["default/a@eu-1"]


def test_a_new_leader_keeps_what_is_on_a_cluster_whose_document_broke(
    running: Site, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "READ_AHEAD", 1)
    for name in ("a-b", "a2"):
        running.write(f"{name}.yaml", application(name))
    running.clock.advance(POLL_S)
    running.turn()
    before = dict(running.store.specs.known())
    running.write("cluster.yaml", CLUSTER.replace("kubeconfig", "kubeconf"))
    running.store.leader.release()
    other = make_site(valkey, running.folder, running.clock)

    other.turn()

    assert other.store.fleet.told()["problems"]
    assert dict(other.store.specs.known()) == before
    assert len(before) == 3
    other.store.redis.close()


def test_one_look_at_its_repository_makes_a_new_application_due(running: Site) -> None:
    running.write("b.yaml", application("b"))
    running.clock.advance(POLL_S)

    turn = running.turn()

    assert "refresh https://git.example.com/apps.git" in turn
    assert not [work for work in turn if work.startswith("sync ")]
    assert running.unjudged() == {"default/b@eu-1": "new"}


def test_a_changed_spec_is_due_by_a_look_and_a_broken_file_changes_nothing(running: Site) -> None:
    running.write("a.yaml", application("a").replace("path: a", "path: b"))
    running.clock.advance(POLL_S)
    assert "refresh https://git.example.com/apps.git" in running.turn()
    assert running.unjudged() == {"default/a@eu-1": "fleet changed"}
    running.finish()

    running.write("a.yaml", "kind: [")
    running.clock.advance(POLL_S)

    assert "sync default/a@eu-1" not in running.turn()
    assert [str(key) for key in running.store.specs.instance_keys()] == ["default/a@eu-1"]
    assert running.store.fleet.told()["problems"]


def test_an_application_whose_file_is_wrong_is_told_with_where_it_runs_on_as_before(running: Site) -> None:
    running.write("a.yaml", application("a").replace("ref:", "rev:"))
    running.write("apps.yaml", application("new").replace("ref:", "rev:"))
    running.clock.advance(POLL_S)

    running.turn()

    told = running.store.fleet.told()
    assert told["rejected"] == {"a": {"problems": [0], "kept": ["eu-1"]}, "new": {"problems": [1], "kept": []}}
    assert [one.partition(":")[0] for one in told["problems"]] == ["a.yaml", "apps.yaml"]


def test_an_application_that_left_the_fleet_says_so_and_is_not_due(running: Site) -> None:
    (running.folder / "a.yaml").unlink()
    running.clock.advance(POLL_S)

    assert "sync default/a@eu-1" not in running.turn()
    (status,) = composed.statuses(running.store).values()
    assert status.reason == "LeftTheFleet"
    assert Work("sync", "default/a@eu-1") not in running.store.queued.states()


def test_a_fleet_that_cannot_be_read_keeps_what_is_in_force(running: Site) -> None:
    running.folder.rename(running.folder.with_name("gone"))
    running.clock.advance(POLL_S)

    running.turn()

    assert len(running.store.specs.instance_keys()) == 1
    assert "does not exist" in running.store.fleet.told()["problems"][0]


def test_a_wiped_redis_is_noticed_published_again_and_quarantined(running: Site) -> None:
    running.store.redis.flushall()

    assert running.turn() == []
    assert [str(key) for key in running.store.specs.instance_keys()] == ["default/a@eu-1"]
    running.clock.advance(LEASE_S)
    assert running.turn() == ["refresh https://git.example.com/apps.git", "scan eu-1"]
    assert [one.reason for one in running.store.events.last(1)] == ["RedisEmpty"]


def test_at_most_two_messages_a_slot_wait_in_the_broker(running: Site) -> None:
    works = [Work("sync", f"p{number}/a@eu-1") for number in range(9)]
    running.store.due.mark([Mark(work, Lane.COMMIT, "push") for work in works])

    assert len(running.turn(slots=2)) == 4
    assert running.turn(slots=2) == []


def test_grants_of_a_broker_that_is_away_are_due_again_at_once(running: Site) -> None:
    running.store.due.mark([Mark(Work("sync", "default/a@eu-1"), Lane.COMMIT, "push")])
    running.broker_is_away = True
    with pytest.raises(ConnectionError):
        running.turn()
    running.broker_is_away = False

    assert running.turn() == ["sync default/a@eu-1"]


def test_what_a_lost_worker_left_is_not_told_to_be_in_sync(running: Site) -> None:
    key = InstanceKey.parse("default/a@eu-1")
    running.store.status.put(running.store.status.get(key).model_copy(update={"sync": "Synced"}))
    work = Work("sync", str(key))
    running.store.due.mark([Mark(work, Lane.OPERATOR, "operator")])
    running.turn()
    (grant,) = [one for one in running.sent if one.work == work]
    running.store.due.claim(work, grant.fence, LEASE_S)
    running.clock.advance(LEASE_S)
    running.turn()

    status = running.store.status.get(key)
    assert (status.sync, status.reason) == ("Unknown", "WorkerLost")


def test_a_sync_that_kills_its_workers_fails_until_a_commit_and_answers_who_asked(running: Site) -> None:
    work = Work("sync", "default/a@eu-1")
    request = running.store.requests.open([work.subject])
    running.store.due.mark([Mark(work, Lane.OPERATOR, "operator", request=request)])
    for _ in range(3):
        running.turn()
        (grant,) = [one for one in running.sent if one.work == work]
        running.store.due.claim(work, grant.fence, LEASE_S)
        running.clock.advance(LEASE_S)
        running.turn()
        running.clock.advance(LEASE_S)

    (status,) = composed.statuses(running.store).values()
    assert (status.sync, status.phase, status.reason) == ("Unknown", "Failed", "KillsItsWorker")
    (answer,) = running.store.requests.follow(request, 1, 5)
    assert answer["reason"] == "KillsItsWorker"
    running.store.due.mark([Mark(work, Lane.COMMIT, "commit 3fa2c1b")])
    assert str(work) in running.turn()


def test_a_second_scheduler_stands_by_and_takes_over_what_is_published(running: Site, valkey: str) -> None:
    other = make_site(valkey, running.folder, running.clock)
    assert other.turn() == []
    running.store.leader.release()
    running.store.due.mark([Mark(Work("sync", "default/a@eu-1"), Lane.COMMIT, "push")])

    assert "sync default/a@eu-1" in other.turn()
    assert running.turn() == []
    other.store.redis.close()


def test_a_leader_that_leads_again_does_not_revive_what_it_read_when_it_led_before(running: Site, valkey: str) -> None:
    """A Cluster that is broken now is reached as it is published, which another leader may have read since."""
    other = make_site(valkey, running.folder, running.clock)
    running.store.leader.release()
    running.write("cluster.yaml", CLUSTER.replace("eu-1.yaml", "moved.yaml"))
    other.turn()
    running.turn()
    running.write("cluster.yaml", CLUSTER.replace("access", "axes"))
    other.store.leader.release()
    running.turn()

    target = running.store.specs.cluster("eu-1")
    assert target is not None
    assert target.access.kubeconfig is not None
    assert target.access.kubeconfig.file == "moved.yaml"
    other.store.redis.close()
