"""Instances that wait for the next look at their repository, while the fleet changes which look that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.fleet import expand
from reconciler.model.instance import InstanceKey
from tests import fleets
from tests.integration.scheduler.test_loop import POLL_S, Site, application, running, site
from workers.messages import Lane, Mark, Work
from workers.scheduler import waiting
from workers.scheduler.loop import CHECK_EVERY_S
from workers.store.leader import Leader, NotLeading

__all__ = ["running", "site"]

APPS, OTHER = "https://git.example.com/apps.git", "https://git.example.com/other.git"
A, B = InstanceKey.parse("default/a@eu-1"), InstanceKey.parse("default/b@eu-1")


def test_what_comes_to_use_another_repository_waits_for_that_one_only(running: Site) -> None:
    running.store.unjudged.add(APPS, {A: "new"})
    running.write("a.yaml", application("a").replace("apps.git", "other.git"))
    running.clock.advance(POLL_S)

    assert f"refresh {OTHER}" in running.turn()
    assert running.store.unjudged.anywhere() == {OTHER: {A: "fleet changed"}}


def test_what_left_the_fleet_waits_for_no_look(running: Site) -> None:
    running.store.unjudged.add(APPS, {A: "new", B: "new"})

    running.write("b.yaml", application("b"))
    (running.folder / "a.yaml").unlink()
    running.clock.advance(POLL_S)
    running.turn()

    assert running.store.unjudged.at(APPS) == {B: "new"}


def test_what_waits_for_a_look_that_is_called_otherwise_by_now_is_found_again(running: Site) -> None:
    """As one leaves it that dies between putting a fleet in force and saying who waits, where a second project came to use
    the repository in another way: nothing is wanted differently, so the next leader finds nothing that changed."""
    running.store.unjudged.add(f"{APPS} (default)", {A: "new"})
    in_an_hour_ms = running.store.due.now_ms() + 3_600_000
    running.store.due.mark([Mark(Work("refresh", APPS), Lane.COMMIT, "periodic", at_ms=in_an_hour_ms)])
    running.clock.advance(CHECK_EVERY_S)

    assert f"refresh {APPS}" in running.turn()
    assert running.store.unjudged.anywhere() == {APPS: {A: "new"}}


def test_who_does_not_lead_any_more_settles_nothing(running: Site) -> None:
    """What it has never heard of may be what another leader has just published."""
    running.store.unjudged.add(OTHER, {A: "new", B: "new"})
    idle = replace(running.store, leader=Leader(running.store.redis, running.store.prefix))
    expansion = expand(fleets.fleet(fleets.documents(fleets.application("a"), fleets.cluster("eu-1"))), previous={})

    with pytest.raises(NotLeading):
        waiting.settle(idle, expansion)

    assert running.store.unjudged.anywhere() == {OTHER: {A: "new", B: "new"}}
