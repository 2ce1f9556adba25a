"""A mistake of ours, in a look at the fleet or in a turn, is told and ends no scheduler: the next would make it, too."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from reconciler.errors import JournalBroken
from reconciler.model.instance import InstanceKey
from tests.fixtures.installation import eventually
from tests.integration.scheduler.test_loop import POLL_S, Site, application, raises
from tests.integration.scheduler.test_loop import running as running
from tests.integration.scheduler.test_loop import site as site
from workers.messages import Lane, Mark, Work
from workers.scheduler import fleet, leaving, loop
from workers.store.leader import NotLeading


def reasons(site: Site) -> list[str]:
    return [one.reason for one in site.store.events.last(100)]


@contextmanager
def ran(site: Site) -> Iterator[None]:
    """The scheduler's own loop beside the test."""
    stop = threading.Event()
    thread = threading.Thread(target=site.scheduler.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY_BROKEN_S", 0.01)


def test_a_look_that_breaks_is_told_once_and_what_is_in_force_stays(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.write("b.yaml", application("b"))
    with monkeypatch.context() as broken:
        broken.setattr(fleet, "expand", lambda *_, **__: raises(TypeError("the secret is hunter2")))
        for _ in range(3):
            running.clock.advance(POLL_S)
            running.turn()

    (problem,) = running.store.fleet.told()["problems"]
    assert "a mistake of Undrift itself ended the look at the fleet: TypeError in " in problem
    assert "hunter2" not in problem
    assert reasons(running).count("InternalError") == 1
    assert [str(key) for key in running.store.specs.instance_keys()] == ["default/a@eu-1"]

    running.clock.advance(POLL_S)
    running.turn()

    assert running.store.fleet.told()["problems"] == []
    assert len(running.store.specs.instance_keys()) == 2


def test_a_look_that_redis_ended_is_no_mistake(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    running.write("b.yaml", application("b"))
    running.clock.advance(POLL_S)
    monkeypatch.setattr(fleet, "expand", lambda *_, **__: raises(redis.ConnectionError("away")))

    with pytest.raises(redis.ConnectionError):
        running.turn()
    assert running.store.fleet.told()["problems"] == []


@pytest.mark.usefixtures("hasty")
def test_a_turn_that_breaks_is_told_once_and_taken_again(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    broke: list[int] = []

    def rescue(*_: object) -> None:
        broke.append(1)
        if len(broke) < 4:
            raise KeyError("the secret is hunter2")

    monkeypatch.setattr(loop, "rescue", rescue)
    with ran(running):
        eventually(lambda: len(broke) > 4, "turns go on", 20)

    assert reasons(running).count("InternalError") == 1
    (told,) = [one.message for one in running.store.events.last(100) if one.reason == "InternalError"]
    assert "KeyError in " in told
    assert "hunter2" not in told


@pytest.mark.usefixtures("hasty")
def test_what_a_broken_turn_did_not_put_in_force_is_looked_at_again(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce, broke = leaving.announce, []

    def breaks(*given: object) -> None:
        broke.append(1)
        if len(broke) == 1:
            raise KeyError
        announce(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(leaving, "announce", breaks)
    running.write("b.yaml", application("b"))
    running.clock.advance(POLL_S)

    running.turn()
    running.clock.advance(loop.RETRY_BROKEN_S)
    running.turn()

    assert len(broke) == 2
    assert len(running.store.specs.instance_keys()) == 2


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("error", [NotLeading(), JournalBroken("no")], ids=["not leading", "journal broken"])
def test_what_a_turn_expects_is_no_mistake(running: Site, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    monkeypatch.setattr(loop, "STANDBY_S", 0.01)
    monkeypatch.setattr(running.scheduler, "_notice_new_redis", lambda: (met.append(1), raises(error)))
    with ran(running):
        eventually(lambda: len(met) > 1, "turns go on", 20)

    assert "InternalError" not in reasons(running)


def test_a_file_whose_name_is_no_text_is_a_problem_like_any_other(running: Site) -> None:
    with open(os.fsencode(running.folder) + b"/\xff.yaml", "w") as file:
        file.write(application("b").replace("namespace: a", "namespaces: a"))
    running.clock.advance(POLL_S)

    running.turn()

    (problem,) = running.store.fleet.told()["problems"]
    assert problem.startswith("\\udcff.yaml:4: spec.namespaces: unknown field")


def test_a_fleet_that_can_be_read_again_is_no_longer_told_as_one_that_cannot(running: Site) -> None:
    """Also where it is as it was before, so that nothing is put in force."""
    running.write("c.yaml", "kind: [ # undrift")
    away = running.folder.with_name("gone")
    told = []
    for move in (None, (running.folder, away), (away, running.folder)):
        if move is not None:
            move[0].rename(move[1])
        running.clock.advance(POLL_S)
        running.turn()
        told.append(running.store.fleet.told()["problems"])

    assert "does not exist" in told[1][0]
    assert told[0] == told[2] != told[1]


def test_what_can_not_be_put_in_force_keeps_nobodys_grants(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    running.write("b.yaml", application("b"))
    running.store.due.mark([Mark(Work("sync", "default/a@eu-1"), Lane.DRIFT, "drift")])
    monkeypatch.setattr(leaving, "announce", lambda *_: raises(TypeError("ours")))
    running.clock.advance(POLL_S)

    assert "sync default/a@eu-1" in running.turn()
    (problem,) = running.store.fleet.told()["problems"]
    assert "TypeError" in problem


def test_a_spec_whose_text_is_lost_is_published_again(running: Site) -> None:
    """Its instance would be known by name alone, which nothing syncs."""
    key = InstanceKey.parse("default/a@eu-1")
    running.store.redis.delete(f"{running.store.prefix}specs")
    assert running.store.specs.get(key) is None
    assert running.store.specs.many([key]) == {}

    running.clock.advance(loop.CHECK_EVERY_S + POLL_S)
    running.turn()

    assert running.store.specs.get(key) is not None
