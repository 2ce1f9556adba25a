"""The frame of every task: claimed once, completed once, and left to its lease when anything else happens."""

from __future__ import annotations

import pytest
import redis

from reconciler.errors import FencedOut, LeaseLost
from reconciler.model.instance import InstanceKey
from workers import tasks
from workers.messages import Grant, Lane, Mark, Work
from workers.store import Store
from workers.store.brief import Results
from workers.tasks.leased import TaskBroke, run_leased

WORK = Work("scan", "eu-1")


@pytest.fixture
def grant(store: Store) -> Grant:
    store.due.mark([Mark(WORK, Lane.DRIFT, "periodic")])
    (found,) = store.due.grant(1, 5.0)
    return found


def state(store: Store) -> str:
    return store.queued.states().get(WORK, ("none", 0))[0]


def test_a_task_completes_its_work_and_says_when_it_is_due_next(store: Store, grant: Grant):
    later = store.due.now_ms() + 60_000

    run_leased(WORK, grant.fence, lambda *_: Mark(WORK, Lane.DRIFT, "periodic", at_ms=later))

    assert store.queued.states() == {WORK: ("due", later)}


def test_a_second_delivery_does_nothing(store: Store, grant: Grant):
    runs: list[int] = []
    run_leased(WORK, grant.fence, lambda grant, guard, results: runs.append(guard.fence))

    run_leased(WORK, grant.fence, lambda grant, guard, results: runs.append(guard.fence))

    assert runs == [grant.fence]


def test_a_delivery_under_another_fence_does_nothing(store: Store, grant: Grant):
    runs: list[int] = []

    run_leased(WORK, grant.fence - 1, lambda grant, guard, results: runs.append(guard.fence))

    assert runs == []
    assert state(store) == "granted"


def test_a_lost_lease_records_nothing_and_completes_nothing(store: Store, grant: Grant):
    def lose(*_: object) -> None:
        raise LeaseLost("over")

    run_leased(WORK, grant.fence, lose)

    assert state(store) == "claimed"


def test_what_a_task_found_is_written_with_its_completion_only(store: Store, grant: Grant):
    def find(lost: bool, results: Results) -> None:
        results.events.append(store.clock.now(), "cluster", "eu-1", "Looked", "all is well")
        assert store.events.last(10) == []
        if lost:
            store.due.complete(WORK, grant.fence)

    run_leased(WORK, grant.fence, lambda _, __, results: find(True, results))
    assert store.events.last(10) == []

    store.due.mark([Mark(WORK, Lane.DRIFT, "periodic")])
    (again,) = store.due.grant(1, 5.0)
    run_leased(WORK, again.fence, lambda _, __, results: find(False, results))
    assert [event.message for event in store.events.last(10)] == ["all is well"]


def test_a_higher_fence_is_reported_so_that_the_next_grant_starts_above_it(store: Store, grant: Grant):
    met = grant.fence + 10_000_000

    def meet(*_: object) -> None:
        raise FencedOut("met", fence=met)

    run_leased(WORK, grant.fence, meet)

    kind, at_ms = store.queued.states()[WORK]
    assert kind == "due"
    assert at_ms > store.due.now_ms() + 3000
    store.due.mark([Mark(WORK, Lane.OPERATOR, "now")])
    (again,) = store.due.grant(1, 5.0)
    assert again.fence > met


def test_a_redis_that_goes_away_leaves_the_lease_to_run_out(store: Store, grant: Grant):
    def lose(*_: object) -> None:
        raise redis.ConnectionError("gone")

    run_leased(WORK, grant.fence, lose)

    assert state(store) == "claimed"


def test_a_mistake_of_ours_fails_the_task_without_its_words(store: Store, grant: Grant):
    """The text of an unforeseen error may hold a manifest's values; Flower and logs show its kind and place."""

    def err(*_: object) -> None:
        raise KeyError("hunter2")

    with pytest.raises(TaskBroke, match=r"^KeyError in .*test_leased.py:\d+$") as broke:
        run_leased(WORK, grant.fence, err)

    assert broke.value.__cause__ is None
    assert broke.value.__suppress_context__


def test_a_mistake_of_ours_is_owned_up_to_and_tried_again_later(store: Store):
    """No worker died: told as lost, the instance would be parked as one that kills its workers."""
    work = Work("sync", "default/web@eu-1")
    store.due.mark([Mark(work, Lane.COMMIT, "commit 3fa2c1b")])
    (granted,) = store.due.grant(1, 5.0)

    key = InstanceKey.parse(work.subject)
    store.status.put(store.status.get(key).model_copy(update={"sync": "Synced"}))

    with pytest.raises(TaskBroke):
        run_leased(work, granted.fence, lambda *_: 1 / 0)  # type: ignore[arg-type,return-value]

    status = store.status.get(key)
    assert (status.sync, status.phase, status.reason) == ("Unknown", "Failed", "InternalError")
    assert "ZeroDivisionError in " in status.message
    kind, at_ms = store.queued.states()[work]
    assert kind == "due"
    assert at_ms > store.due.now_ms() + 50_000


@pytest.mark.parametrize("name", ["sync", "scan", "refresh", "undrift.resync"])
def test_task_names_are_constant(name: str):
    """Flower's filters, dashboards and scripts know them."""
    found = {task.name for task in (tasks.sync, tasks.scan, tasks.refresh, tasks.resync)}

    assert name in found
