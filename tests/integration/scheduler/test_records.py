"""Decisions outlive Redis: what the leader commits to the journal it puts back before anything is granted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from reconciler.clock import ManualClock
from reconciler.journal import Journal
from reconciler.model.brake import Brake
from tests.integration.scheduler.test_loop import LEASE_S, Site
from tests.integration.scheduler.test_loop import running as running
from tests.integration.scheduler.test_loop import site as site
from workers import braking


def frozen(site: Site, scope: str = "all", for_: timedelta | None = None) -> str:
    return braking.put(site.store, Brake(scope, "incident", "ada", site.clock.now()), for_)


def journal(site: Site) -> Journal:
    return Journal(Path(site.folder.parent / "journal.git"), ManualClock())


def test_a_freeze_is_kept_in_the_journal_with_who_and_why(running: Site) -> None:
    entry = frozen(running)
    running.clock.advance(1)
    running.turn()

    assert running.store.outbox.is_kept(entry, 1.0)
    (kept,) = journal(running).entries()
    assert (kept["kind"], kept["subject"], kept["by"], kept["reason"]) == ("brake", "all", "ada", "incident")
    assert journal(running).verify(running.store.outbox.head()).problem == ""


def test_a_leader_that_slept_drops_nothing_that_was_not_journalled(running: Site) -> None:
    """It had committed what waited, and so has the leader after it, which has dropped it as well."""
    outbox, now = running.store.outbox, running.clock.now()
    for name in ("a", "b", "c"):
        outbox.put(now, "sync", name)
    slept, after = outbox.waiting(3), outbox.waiting(2)
    outbox.put(now, "sync", "d")
    outbox.done(list(after), "1" * 40)
    outbox.done(list(slept), "2" * 40)
    outbox.done(list(slept), "2" * 40)

    assert [one["subject"] for one in outbox.waiting(5)] == ["d"]


def test_a_freeze_survives_an_emptied_redis(running: Site) -> None:
    frozen(running)
    running.clock.advance(1)
    running.turn()

    running.store.redis.flushall()
    running.turn()

    assert running.store.brakes.all()["all"].by == "ada"


def test_a_lifted_freeze_does_not_come_back(running: Site) -> None:
    frozen(running)
    braking.lift(running.store, "all", by="ada", reason="solved")
    running.clock.advance(1)
    running.turn()

    running.store.redis.flushall()
    running.turn()

    assert running.store.brakes.all() == {}
    assert [one["kind"] for one in journal(running).entries()] == ["lift", "brake"]


def test_nothing_is_granted_while_the_journal_can_not_say_what_is_frozen(running: Site) -> None:
    frozen(running)
    running.clock.advance(1)
    running.turn()
    for path in (running.folder.parent / "journal.git" / "objects").glob("??/*"):
        path.unlink()

    running.store.redis.flushall()
    running.turn()
    running.clock.advance(LEASE_S)

    assert running.turn() == []
    assert "docs/how-to/recover.md" in running.store.events.last(1)[0].message


def test_a_freeze_ends_by_itself_and_says_so(running: Site) -> None:
    frozen(running, for_=timedelta(minutes=5))
    running.turn()
    running.finish()
    running.clock.advance(301)

    assert "sync default/a@eu-1" in running.turn()
    assert running.store.brakes.all() == {}
    assert "FrozenOver" in [one.reason for one in running.store.events.last(10)]


def test_thawing_makes_due_what_was_covered_and_nothing_else(running: Site) -> None:
    frozen(running, "cluster:us-1")
    assert braking.lift(running.store, "cluster:us-1", by="ada", reason="") == 0
    frozen(running, "cluster:eu-1")
    assert braking.lift(running.store, "cluster:eu-1", by="ada", reason="") == 1
    assert "sync default/a@eu-1" in running.turn()
    assert braking.lift(running.store, "cluster:eu-1", by="ada", reason="") == 0
