"""Bounds a step in time within the lease: what an apply may take is the application's own to say.

A guard for as long as a pass lasts. Requests get no more time than the step has left; one that is to begin when none is left
is refused, so that the objects which are still to come fail at once and say why. What was applied until then stands, and the
next pass goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from reconciler.clock import Clock
from reconciler.errors import ApplyTimedOut, NoAnswer
from reconciler.model.changeset import ChangeSet, Outcome
from reconciler.ports import Guard


class Bound:
    """A guard that may end earlier than the lease. Safe to ask from several threads."""

    def __init__(self, guard: Guard, clock: Clock) -> None:
        self._guard, self._clock = guard, clock
        self._timeout_s = 0.0
        self._ends_s: float | None = None

    @property
    def fence(self) -> int:
        return self._guard.fence

    def remaining_s(self) -> float:
        """Raises ApplyTimedOut when the step's own time is over, and LeaseLost."""
        left_s, own_s = self._guard.remaining_s(), self._own_s()
        if own_s <= 0:
            raise self._timed_out()
        return min(left_s, own_s)

    def require_unfrozen(self) -> None:
        self._guard.require_unfrozen()

    @contextmanager
    def within(self, timeout_s: float) -> Iterator[None]:
        """Give a step so much time."""
        self._timeout_s, self._ends_s = timeout_s, self._clock.boot_s() + timeout_s
        try:
            yield
        finally:
            self._ends_s = None

    def told(self, changes: ChangeSet) -> ChangeSet:
        """The outcomes as people should read them: a request that was cut short tells nothing of the cluster."""
        return ChangeSet(tuple(self._told(one) for one in changes)) if self._own_s() <= 0 else changes

    def _told(self, outcome: Outcome) -> Outcome:
        is_cut = isinstance(outcome.error, NoAnswer)
        return replace(outcome, error=self._timed_out(outcome.key)) if is_cut else outcome

    def _own_s(self) -> float:
        return float("inf") if self._ends_s is None else self._ends_s - self._clock.boot_s()

    def _timed_out(self, subject: object = None) -> ApplyTimedOut:
        what = f"{subject}: " if subject is not None else ""
        return ApplyTimedOut(
            f"{what}not applied within {self._timeout_s:g} s (sync.applyTimeout); what was applied stays, and the next try "
            "goes on with the rest",
            subject=subject,
        )
