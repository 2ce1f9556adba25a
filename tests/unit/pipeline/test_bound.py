"""A step's own time within the lease."""

from __future__ import annotations

import pytest

from reconciler.clock import ManualClock
from reconciler.errors import ApplyTimedOut, NoAnswer
from reconciler.model.changeset import ChangeSet, Outcome, Result
from reconciler.model.manifest import ObjectKey
from reconciler.model.plan import Action, Cause, Change
from reconciler.pipeline.bound import Bound
from tests.unit.apply.test_prune import Lease

FAILED = Outcome(
    Change(ObjectKey("", "ConfigMap", "shop", "one"), Action.APPLY, Cause.CHANGED), Result.FAILED, error=NoAnswer("")
)


def test_outside_a_step_the_lease_alone_counts() -> None:
    clock = ManualClock()
    bound = Bound(Lease(), clock)
    with bound.within(1.0):
        clock.advance(2)

    assert (bound.remaining_s(), bound.fence) == (30.0, 7)
    assert bound.told(ChangeSet((FAILED,))).failures[0].error is FAILED.error


def test_the_shorter_of_lease_and_step_counts() -> None:
    clock = ManualClock()
    bound = Bound(Lease(), clock)

    with bound.within(60.0):
        assert bound.remaining_s() == 30.0
        clock.advance(50)
        assert bound.remaining_s() == 10.0


def test_when_its_time_is_over_nothing_more_is_begun_and_what_was_cut_short_says_so() -> None:
    """The cluster is not unreachable, only because we did not wait for it."""
    clock = ManualClock()
    bound = Bound(Lease(), clock)

    with bound.within(5.0):
        clock.advance(5)
        with pytest.raises(ApplyTimedOut, match="not applied within 5 s"):
            bound.remaining_s()
        (told,) = bound.told(ChangeSet((FAILED,)))

    assert isinstance(told.error, ApplyTimedOut)
    assert "ConfigMap shop/one" in told.error.message


def test_an_answer_that_did_not_come_in_time_of_itself_stays_what_it_is() -> None:
    bound = Bound(Lease(), ManualClock())

    with bound.within(5.0):
        assert bound.told(ChangeSet((FAILED,))).failures[0].error is FAILED.error
