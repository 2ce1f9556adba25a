"""Who leaves the fleet, how, and what is done about it: announced, revived, held, or left to a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from tests.integration.scheduler.test_loop import CLUSTER, POLL_S, Site, application
from tests.integration.scheduler.test_loop import running as running
from tests.integration.scheduler.test_loop import site as site
from workers import braking
from workers.cli import selecting
from workers.messages import Work
from workers.store import composed

A, B = InstanceKey.parse("default/a@eu-1"), InstanceKey.parse("default/b@eu-1")


@pytest.fixture
def two(running: Site) -> Site:
    """Two applications in force."""
    running.write("b.yaml", application("b"))
    look(running)
    return running


def look(site: Site) -> list[str]:
    site.clock.advance(POLL_S)
    site.turn()
    works = [str(one.work) for one in site.sent]
    site.finish()
    return works


def remove(site: Site, name: str) -> None:
    (site.folder / f"{name}.yaml").unlink()


def reason(site: Site, key: InstanceKey) -> str:
    return composed.statuses(site.store)[key].reason


def test_an_application_that_was_removed_is_deleted_after_its_grace(two: Site) -> None:
    remove(two, "b")
    look(two)

    assert set(two.store.tombstones.all()) == {B}
    assert reason(two, B) == "Leaving"
    assert "sync default/b@eu-1" not in look(two)
    two.clock.advance(3600)
    assert "sync default/b@eu-1" in look(two)


def test_an_application_that_was_put_back_lives_on(two: Site) -> None:
    remove(two, "b")
    look(two)
    two.write("b.yaml", application("b"))
    look(two)

    assert two.store.tombstones.all() == {}
    assert "Revived" in [one.reason for one in two.store.events.last(20)]
    assert reason(two, B) != "Leaving"


def test_a_tombstone_does_not_come_back_with_a_loss_of_redis(two: Site) -> None:
    """Put back, and then gone by a selector, which waits for a person: the journal must not know of a deletion any more."""
    remove(two, "b")
    look(two)
    two.clock.advance(1)
    look(two)
    two.write("b.yaml", application("b"))
    look(two)
    two.write("c.yaml", CLUSTER.replace("name: eu-1", "name: us-1"))
    two.write("b.yaml", application("b").replace("{all: true}", "{names: [us-1]}"))
    look(two)

    two.store.redis.flushall()
    look(two)

    assert two.store.tombstones.all() == {}


def test_what_is_to_be_deleted_can_still_be_stopped_after_a_loss_of_redis(two: Site) -> None:
    remove(two, "b")
    look(two)
    before = composed.statuses(two.store)[B]

    two.store.redis.flushall()
    look(two)

    after = composed.statuses(two.store)[B]
    assert selecting.one(two.store, B.short) == B
    assert (after.reason, after.message) == ("Leaving", before.message)


def test_what_a_selector_no_longer_means_waits_for_a_person(two: Site) -> None:
    two.write("c.yaml", CLUSTER.replace("name: eu-1", "name: us-1"))
    two.write("b.yaml", application("b").replace("{all: true}", "{names: [us-1]}"))
    look(two)

    assert two.store.tombstones.all() == {}
    assert reason(two, B) == "LeftTheFleet"


def test_a_fleet_with_a_problem_buries_nobody(two: Site) -> None:
    remove(two, "b")
    two.write("c.yaml", "kind: [")
    look(two)

    assert two.store.tombstones.all() == {}


def test_an_emptied_fleet_buries_nobody(two: Site) -> None:
    remove(two, "a")
    remove(two, "b")
    look(two)

    assert two.store.tombstones.all() == {}
    assert reason(two, A) == reason(two, B) == "LeftTheFleet"


def test_many_that_leave_within_an_hour_are_held(two: Site) -> None:
    for number in range(12):
        two.write(f"n{number}.yaml", application(f"n{number}"))
    look(two)
    for number in range(6):
        remove(two, f"n{number}")
    look(two)
    assert len(two.store.tombstones.all()) == 6

    two.clock.advance(1800)
    for number in range(6, 12):
        remove(two, f"n{number}")
    look(two)

    assert len(two.store.tombstones.all()) == 6  # those of before; the brake holds however many commits it took
    assert reason(two, InstanceKey.parse("default/n9@eu-1")) == "LeavingHeld"
    assert composed.statuses(two.store)[InstanceKey.parse("default/n9@eu-1")].phase == "Held"


def test_each_one_that_is_held_is_told_by_its_own_name(two: Site) -> None:
    names = [f"n{number}" for number in range(12)]
    for name in names:
        two.write(f"{name}.yaml", application(name))
    look(two)
    for name in names:
        remove(two, name)
    look(two)

    told = {one.subject: one.message for one in two.store.events.last(50) if one.reason == "LeavingHeld"}
    statuses = composed.statuses(two.store)
    for name in names:
        message = told.pop(f"default/{name}@eu-1")
        assert f"`undrift app delete {name}@eu-1 --yes`" in message
        assert statuses[InstanceKey("default", name, "eu-1")].message == message
    assert told == {}


def test_what_is_put_back_as_another_leaves_is_not_due_to_leave(two: Site) -> None:
    """The tombstones are read once: what this look adds and takes away counts."""
    b = application("b").replace("path: a", "path: b")  # or the return of one looks like a rename of the other
    two.write("b.yaml", b)
    look(two)
    remove(two, "b")
    look(two)
    two.store.due.forget([Work("sync", str(B))])
    two.write("b.yaml", b)
    remove(two, "a")
    look(two)

    assert set(two.store.tombstones.all()) == {A}
    due = two.store.queued.states()[Work("sync", str(A))][1]
    assert due == int(two.store.tombstones.all()[A].due.timestamp() * 1000)
    assert Work("sync", str(B)) not in two.store.queued.states()


def test_its_own_words_say_how_long_and_what_becomes_of_it(two: Site) -> None:
    text = application("b").rstrip()[:-1] + ", deletionPolicy: Orphan, deletionGracePeriod: 5m}\n"
    two.write("b.yaml", text)
    look(two)
    remove(two, "b")
    look(two)

    stone = two.store.tombstones.all()[B]
    assert (stone.policy, stone.due - stone.at) == ("Orphan", timedelta(minutes=5))


def test_a_word_to_delete_does_not_outlive_a_return(two: Site) -> None:
    remove(two, "b")
    look(two)
    two.store.specs.ask_teardown(B)
    two.write("b.yaml", application("b"))
    look(two)

    assert not two.store.briefs.get(B).wants_teardown


def test_a_deletion_that_a_freeze_stopped_is_due_again_when_that_is_lifted(two: Site) -> None:
    """It has no spec any more, and no tombstone: a person's word is all there is."""
    remove(two, "b")
    two.write("z.yaml", "kind: [")
    look(two)
    two.store.specs.ask_teardown(B)
    braking.put(two.store, Brake("cluster:eu-1", "incident", "ada", two.clock.now()), None)
    two.store.due.forget([Work("sync", str(B))])
    assert "sync default/b@eu-1" not in look(two)

    braking.lift(two.store, "cluster:eu-1", by="ada", reason="solved")

    assert "sync default/b@eu-1" in look(two)


def test_what_looks_like_a_rename_is_held(two: Site) -> None:
    """Deleting what the new name declares would take it down for a moment."""
    remove(two, "b")
    two.write("c.yaml", application("c"))
    look(two)

    assert two.store.tombstones.all() == {}
    assert reason(two, B) == "LeavingHeld"
    assert "c@eu-1 is new" in composed.statuses(two.store)[B].message


def test_a_project_may_hold_each_one_that_leaves(two: Site) -> None:
    allowed = "repos: ['*'], clusters: {names: [eu-1]}, namespaces: ['*'], namespacedKinds: [{}]"
    project = f"kind: Project\nmetadata: {{name: default}}\nspec: {{{allowed}, guards: {{maxLeavingPerHour: 0}}}}\n"
    two.write("project.yaml", f"apiVersion: undrift.dev/v1alpha1\n{project}")
    look(two)
    remove(two, "b")
    look(two)

    assert two.store.tombstones.all() == {}
    assert "left project default within an hour, more than 0" in composed.statuses(two.store)[B].message


def test_the_longest_times_that_a_file_may_ask_for_are_kept_to(two: Site) -> None:
    longest = "deletionGracePeriod: 876000h, sync: {resyncInterval: 876000h}, namespace: a"
    two.write("b.yaml", application("b").replace("namespace: a", longest))
    look(two)
    remove(two, "b")
    look(two)

    status = composed.statuses(two.store)[B]
    assert status.reason == "Leaving"
    assert status.next_try is not None
    assert status.next_try - two.clock.now() > timedelta(days=36_000)
    assert two.store.queued.states()[Work("sync", str(B))][1] == int(status.next_try.timestamp() * 1000)


def test_a_due_time_that_no_calendar_has_does_not_hide_the_fleet(two: Site) -> None:
    """Such a one was put there by a version that took any duration."""
    two.store.redis.zadd("undrift:due:3:default:eu-1", {"sync default/b@eu-1": 1e17})

    status = composed.statuses(two.store)[B]

    assert status.next_try is not None
    assert status.next_try.year == 9999
