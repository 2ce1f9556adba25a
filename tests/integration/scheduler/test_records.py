"""Decisions outlive Redis: what the leader commits to the journal it puts back before anything is granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.clock import ManualClock
from reconciler.journal import Journal
from reconciler.model.brake import Brake
from tests.integration.scheduler.test_loop import LEASE_S, Site
from tests.integration.scheduler.test_loop import running as running
from tests.integration.scheduler.test_loop import site as site
from workers import braking
from workers.scheduler.records import GAP, Records
from workers.store.leader import Leader


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


def kept_during(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[bool]:
    """Whether the leader's lock was being renewed, each time that this was called."""
    keep, call, times, now = Leader.kept, getattr(owner, name), list[bool](), list[Leader]()

    @contextmanager
    def noted(leader: Leader, longest_s: float) -> Iterator[None]:
        with keep(leader, longest_s):
            now.append(leader)
            try:
                yield
            finally:
                now.pop()

    def called(*given: object, **named: object) -> object:
        times.append(bool(now))
        return call(*given, **named)

    monkeypatch.setattr(Leader, "kept", noted)
    monkeypatch.setattr(owner, name, called)
    return times


def test_the_end_of_a_freeze_of_many_does_not_cost_the_lead(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen(running, for_=timedelta(minutes=5))
    running.clock.advance(301)
    times = kept_during(monkeypatch, braking, "lift")

    running.turn()

    assert times == [True]


def test_a_slow_restore_does_not_cost_the_lead(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    times = kept_during(monkeypatch, Records, "restore")

    running.store.redis.flushall()
    running.turn()

    assert times == [True]


def test_a_gap_is_looked_for_while_the_lead_is_kept_and_told_once(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long chain is read as a whole for a commit that was cut from it."""
    times = kept_during(monkeypatch, Journal, "has")
    running.store.outbox.note_head("1" * 40)
    for subject in ("a", "b"):
        running.store.outbox.put(running.clock.now(), "note", subject)
        running.clock.advance(1)
        running.turn()

    assert times == [True]
    assert [one["kind"] for one in journal(running).entries()].count(GAP) == 1
