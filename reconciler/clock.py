"""The one place that reads a clock.

`now()` is wall time (aware, UTC), for records that people read. `boot_s()` is a monotonic clock that goes on while the
machine or the process is suspended (CLOCK_BOOTTIME where the platform has it): leases are judged by it, since a holder
that slept through its lease must notice when it wakes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "looks"]

_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall time, aware and in UTC."""

    def boot_s(self) -> float:
        """Seconds of a clock that never jumps and counts suspended time."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def boot_s(self) -> float:
        return time.clock_gettime(_BOOT_CLOCK)


def looks(longest_s: float, every_s: float) -> Iterator[None]:
    """Now, and again each so often until the time is over: for what tells of itself only when it is looked at."""
    clock = SystemClock()
    ends_s = clock.boot_s() + longest_s
    yield
    while clock.boot_s() < ends_s:
        time.sleep(every_s)
        yield


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._boot_s = 1000.0

    def now(self) -> datetime:
        return self._now

    def boot_s(self) -> float:
        return self._boot_s

    def advance(self, seconds: float) -> None:
        """Move both clocks on together."""
        self._now += timedelta(seconds=seconds)
        self._boot_s += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock only, as an operator or NTP does."""
        self._now += timedelta(seconds=seconds)
