"""What a pass writes down, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.clock import ManualClock
from reconciler.model.changeset import ChangeSet, Outcome, Result
from reconciler.model.health import Health
from reconciler.model.plan import Action, Cause, Change
from reconciler.model.record import Memory
from reconciler.pipeline.notes import Notes
from tests.worlds import NOW, ORDER, desired, key, live, settled, spec

MANY = 300
RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def test_the_health_of_many_objects_costs_a_few_looks_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every object each outcome was looked through once: with 5,000 objects that took seconds."""
    keys = [key(f"c{number}") for number in range(MANY)]
    world = settled(keys)
    notes = Notes(spec(), ORDER, Memory(), 7, ManualClock(NOW))
    notes.planned(desired(*world.manifests), world.inventory, world.seen, world.plan())
    changes = [Change(one, Action.APPLY, Cause.CHANGED) for one in keys]
    notes.applied(ChangeSet(tuple(Outcome(one, Result.CONFIGURED, live=live(one.key)) for one in changes)))
    looks: list[None] = []
    monkeypatch.setattr(Outcome, "key", property(lambda self: looks.append(None) or self.change.key))

    report = notes.health(NOW)

    assert (len(report.objects), report.worst) == (MANY, Health.HEALTHY)
    assert len(looks) <= 3 * MANY


def test_the_health_is_that_of_the_newest_answer() -> None:
    one, other = key("one", "Pod"), key("other", "Pod")
    world = settled([one, other])
    notes = Notes(spec(), ORDER, Memory(), 7, ManualClock(NOW))
    notes.planned(desired(*world.manifests), world.inventory, world.seen, world.plan())
    deleted = Outcome(Change(other, Action.DELETE, Cause.STALE), Result.DELETING, live=live(other, status=RUNNING))
    applied = Outcome(Change(one, Action.APPLY, Cause.CHANGED), Result.CONFIGURED, live=live(one, status=RUNNING))
    notes.applied(ChangeSet((applied, deleted)))

    states = notes.health(NOW).objects

    assert (states[one].health, states[other].health) == (Health.HEALTHY, Health.PROGRESSING)


def test_what_an_empty_render_warns_of_is_told() -> None:
    """Such as that every object was a hook and was left out."""
    world = settled([])
    notes = Notes(spec(), ORDER, Memory(), 7, ManualClock(NOW))
    empty = replace(desired(), warnings=("2 hooks are left out",))
    notes.planned(empty, world.inventory, world.seen, world.plan())

    assert notes.record().warnings == ("2 hooks are left out",)
