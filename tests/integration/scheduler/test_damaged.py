"""What somebody wrote over in Redis ends neither the scheduler that leads nor one that takes over, and work goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from reconciler.model.instance import InstanceKey
from tests.integration.scheduler.test_loop import LEASE_S, POLL_S, Site, application, make_site
from tests.integration.scheduler.test_loop import running as running
from tests.integration.scheduler.test_loop import site as site
from workers import braking
from workers.messages import Lane, Mark, Work
from workers.store.closures import short
from workers.store.tombstones import Tombstone

URL = "https://git.example.com/apps.git"
A, B = InstanceKey.parse("default/a@eu-1"), InstanceKey.parse("default/b@eu-1")


def queued(client: redis.Redis, work: bytes | str) -> None:
    client.zadd("undrift:due:3:default:eu-1", {work: 1})
    client.sadd("undrift:queues", "3:default:eu-1")
    client.zadd("undrift:heads:3", {"default": 1})
    client.zadd("undrift:heads:3:default", {"eu-1": 1})


DAMAGE: dict[str, Callable[[redis.Redis], object]] = {
    "who waits": lambda client: client.hset(f"undrift:unjudged:{short(URL)}", "x", "new"),
    "what is waited for": lambda client: client.sadd("undrift:waited-for", b"\xff"),
    "an instance": lambda client: client.hset("undrift:instances", "x", "y"),
    "an instance that left": lambda client: client.hset("undrift:left", "x", "y"),
    "a source": lambda client: client.hset("undrift:sources", b"\xff", "y"),
    "a cluster": lambda client: client.hset("undrift:clusters", "eu-1", "x"),
    "a freeze": lambda client: client.hset("undrift:brakes", "cluster:us-1", "x"),
    "a tombstone": lambda client: client.hset("undrift:tombstones", "c@eu-1", "[1, 2]"),
    "a leaving": lambda client: client.zadd("undrift:leavings", {"x": 9e9}),
    "a worker's slots": lambda client: client.hset("undrift:slots", "w", "x"),
    "due work": lambda client: queued(client, "junk"),
    "due work that is no text": lambda client: queued(client, b"\xff"),
    "due sync of no instance": lambda client: queued(client, "sync default/@@eu-1"),
    "a lease": lambda client: client.zadd("undrift:leases", {"junk": 1}),
    "a journal entry": lambda client: client.rpush("undrift:journal-outbox", "x"),
    "a journal entry of another shape": lambda client: client.rpush("undrift:journal-outbox", '{"id": 1}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_ends_no_scheduler_and_holds_up_no_work(
    running: Site, valkey: str, damage: Callable[[redis.Redis], object]
) -> None:
    damage(running.store.redis)
    running.write("b.yaml", application("b"))
    for _ in range(4):
        running.clock.advance(POLL_S)
        running.turn()
        running.finish()
    running.store.leader.release()
    damage(running.store.redis)
    other = make_site(valkey, running.folder, running.clock)
    handed: list[str] = []
    for _ in range(4):
        running.clock.advance(LEASE_S)
        other.store.due.mark([Mark(Work("sync", str(B)), Lane.COMMIT, "push")])
        handed += other.turn()
        other.finish()

    assert f"sync {B}" in handed
    assert not any("@@" in work for work in handed)
    assert other.store.specs.digests().keys() == {A, B}
    assert {"eu-1"} == other.store.specs.clusters().keys()
    assert other.store.specs.sources().keys() == {A, B}
    assert other.store.tombstones.all() == {}
    assert other.store.outbox.waiting(10) == []
    assert "junk" not in str(other.store.redis.keys("*junk*"))
    other.store.redis.close()


@pytest.mark.parametrize(
    "raw", ["x", "[]", '{"scope": "all", "reason": "r", "by": "b", "at": "2026-01-01", "until": "2026-01-02"}']
)
def test_a_freeze_that_cannot_be_read_stays_in_force_until_it_is_lifted(running: Site, raw: str) -> None:
    """Somebody stopped this: to write all the same is worse than to wait for a person."""
    store, now = running.store, running.clock.now()
    store.redis.hset("undrift:brakes", "all", raw)

    found = store.brakes.over(["all", "project:default"], now)

    assert found is not None
    assert "can't be read; `undrift thaw --all`" in found.sentence
    assert store.brakes.is_known(["all"], now) == (True, found)
    assert store.brakes.all() == {"all": found}
    assert store.briefs.get(A).brake == found
    running.clock.advance(timedelta(days=9).total_seconds())
    running.turn()
    assert store.brakes.over(["all"], store.clock.now()) == found
    assert braking.lift(store, "all", by="me", reason="") == 1
    assert store.brakes.over(["all"], now) is None


def test_a_tombstone_that_cannot_be_read_deletes_nothing_and_the_others_stand(running: Site) -> None:
    store, now = running.store, running.clock.now()
    stone = Tombstone(now, now, "Delete")
    store.tombstones.put(B, stone)
    store.redis.hset(
        "undrift:tombstones", str(A), '["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", "Dlete", []]'
    )

    assert store.tombstones.many([A, B]) == {B: stone}
    assert store.tombstones.all() == {B: stone}


@pytest.mark.parametrize(("name", "field"), [("clusters", "eu-1"), ("repositories", URL), ("sources", str(A))])
def test_what_is_damaged_of_the_fleet_is_put_there_again_by_the_leader(running: Site, name: str, field: str) -> None:
    client, damaged = running.store.redis, b"\xff"
    before = client.hget(f"undrift:{name}", field)
    client.hset(f"undrift:{name}", field, damaged)

    specs = running.store.specs
    assert {"clusters": specs.clusters, "repositories": specs.repositories, "sources": specs.sources}[name]() == {}
    assert (specs.cluster("eu-1") is None) == (name == "clusters")
    running.clock.advance(POLL_S)
    running.turn()

    assert client.hget(f"undrift:{name}", field) == before


def test_what_was_told_of_the_fleet_and_cannot_be_read_is_told_anew(running: Site) -> None:
    running.store.redis.set("undrift:fleet", "[1]")
    running.folder.rename(running.folder.with_name("gone"))
    running.clock.advance(POLL_S)

    running.turn()

    assert "does not exist" in running.store.fleet.told()["problems"][0]
