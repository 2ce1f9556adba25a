"""Invariant 7: a fight is lost politely."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.model.changeset import Drift
from reconciler.model.record import Heals
from reconciler.plan import contest
from tests.worlds import NOW, key

A, B = key("a"), key("b")
REPLICAS = Drift(A, ".spec.replicas", "kubectl")


def fought(times, *, every=timedelta(minutes=1)):
    """The memory after the object was healed so often, and the moment of the last heal."""
    heals, now = {}, NOW
    for number in range(times):
        now = NOW + number * every
        heals = contest.after_heals(heals, [REPLICAS], now)
    return heals, now


@pytest.mark.parametrize("times", [1, 2])
def test_the_first_heals_cost_no_wait(times):
    heals, now = fought(times)

    assert not contest.is_waiting(heals, A, now)


def test_the_third_heal_within_ten_minutes_is_contested():
    heals, now = fought(3)

    assert contest.is_waiting(heals, A, now)
    assert heals[A].until == now + timedelta(seconds=2)


def test_heals_further_apart_are_no_fight():
    heals, now = fought(20, every=timedelta(minutes=5))

    assert not contest.is_waiting(heals, A, now)


def test_waits_grow_by_three_up_to_ten_minutes():
    heals, now = fought(3, every=timedelta(seconds=1))
    waits = []
    for _ in range(12):
        waits.append((heals[A].until - now).total_seconds())
        now = heals[A].until
        heals = contest.after_heals(heals, [REPLICAS], now)

    assert waits == [2, 6, 18, 54, 162, 486, 600, 600, 600, 600, 600, 600]


def test_a_heal_after_the_wait_is_allowed():
    heals, now = fought(3)

    assert not contest.is_waiting(heals, A, now + timedelta(seconds=2))


def test_success_does_not_end_a_fight():
    """In a fight every heal succeeds; passes that heal nothing keep the memory."""
    heals, now = fought(4)

    later = contest.after_heals(heals, [], now + timedelta(minutes=20))

    assert later == heals


def test_half_an_hour_of_quiet_ends_a_fight():
    heals, _ = fought(4)

    assert contest.after_heals(heals, [], heals[A].until + timedelta(minutes=30)) == {}


def test_waiting_is_not_quiet():
    """In a wait of ten minutes nothing is healed, whatever the other writer does."""
    heals, now = fought(3, every=timedelta(seconds=1))
    for _ in range(8):
        now = heals[A].until
        heals = contest.after_heals(heals, [REPLICAS], now)

    assert contest.after_heals(heals, [], now + timedelta(minutes=30)) == heals


def test_a_fight_that_is_over_begins_anew():
    heals, _ = fought(6)
    later = heals[A].until + timedelta(minutes=31)

    heals = contest.after_heals(heals, [REPLICAS], later)

    assert heals[A] == Heals(at=(later,), field=".spec.replicas", manager="kubectl")


def test_one_heal_of_two_fields_counts_once():
    both = [REPLICAS, Drift(A, ".spec.paused", "kubectl-edit")]

    heals = contest.after_heals({}, both, NOW)

    assert heals[A].at == (NOW,)
    assert (heals[A].field, heals[A].manager) == (".spec.paused", "kubectl-edit")


def test_the_last_known_field_and_writer_are_remembered():
    """A heal of a deleted object names no writer; the fight keeps the one that it had."""
    heals = contest.after_heals({}, [REPLICAS], NOW)

    heals = contest.after_heals(heals, [Drift(A, "", "")], NOW)

    assert (heals[A].field, heals[A].manager) == (".spec.replicas", "kubectl")


def test_each_object_has_its_own_fight():
    heals, now = fought(3)

    heals = contest.after_heals(heals, [Drift(B, "", "")], now)

    assert contest.is_waiting(heals, A, now)
    assert not contest.is_waiting(heals, B, now)


def test_an_object_that_was_never_healed_does_not_wait():
    assert not contest.is_waiting({}, A, NOW)
