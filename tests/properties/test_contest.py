"""Fights, for any rhythm of another writer."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.changeset import Drift
from reconciler.plan import contest
from tests.worlds import NOW, key

A = key("a")
gaps = st.lists(st.integers(0, 3600).map(lambda s: timedelta(seconds=s)), min_size=1, max_size=40)


def heals_at(gaps_between):
    """Another writer tries again and again; each of our passes heals unless the object waits. The moments of heals."""
    heals, now, healed = {}, NOW, []
    for gap in gaps_between:
        now += gap
        if not contest.is_waiting(heals, A, now):
            heals = contest.after_heals(heals, [Drift(A, "", "")], now)
            healed.append(now)
        else:
            heals = contest.after_heals(heals, [], now)
    return healed, heals, now


@given(gaps)
def test_a_wait_is_never_longer_than_ten_minutes(gaps_between):
    _, heals, now = heals_at(gaps_between)

    assert not contest.is_waiting(heals, A, now + timedelta(minutes=10))


@given(gaps)
def test_three_heals_in_ten_minutes_are_followed_by_a_wait(gaps_between):
    healed, heals, _ = heals_at(gaps_between)

    close = len(healed) >= 3 and healed[-1] - healed[-3] < timedelta(minutes=10)
    assert contest.is_waiting(heals, A, healed[-1]) or not close


@given(gaps)
def test_an_hour_of_quiet_forgets_everything(gaps_between):
    _, heals, now = heals_at(gaps_between)

    assert contest.after_heals(heals, [], now + timedelta(hours=1)) == {}


@given(st.integers(1, 59))
def test_a_writer_who_never_stops_costs_few_heals_an_hour(every_s):
    """Three free heals, six growing waits, then one heal in ten minutes: at most 15 in the first hour."""
    healed, _, _ = heals_at([timedelta(seconds=every_s)] * (3600 // every_s))

    assert len(healed) <= 15
