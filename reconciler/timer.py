"""What is done after a while unless it is called off first: one thread for the whole process.

The time-outs of sockets are for each read, so only another thread ends an exchange whose other side sends a byte now and
then. A thread for each (`threading.Timer`) would cost a request of 1 ms a tenth of that; here it costs some microseconds,
since the thread is woken only for what ends before anything that it waits for. An act must not wait: the others would, too.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Something to be done, and when on the monotonic clock."""

    at_s: float
    act: Callable[[], None]


class Timer:
    """Calls, and the thread that makes them. It begins with the first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[Call, None] = {}
        self._wakes_s = math.inf
        self._thread: threading.Thread | None = None

    def call(self, seconds: float, act: Callable[[], None]) -> Call:
        made = Call(time.monotonic() + seconds, act)
        with self._changed:
            if self._thread is None:
                begun = threading.Thread(target=self._run, name="undrift-timer", daemon=True)
                begun.start()  # may fail, where a process has too many threads: the next call tries again
                self._thread = begun
            self._waiting[made] = None
            if made.at_s < self._wakes_s:
                self._changed.notify()
        return made

    def call_off(self, call: Call) -> None:
        """It is not begun from now on; it may be under way."""
        with self._changed:
            self._waiting.pop(call, None)

    def _run(self) -> None:
        while True:
            for call in self._due():
                try:
                    call.act()
                except Exception:
                    # The others still count on this thread. As for an error that ends a thread: on stderr, with its trace.
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self._thread)))

    def _due(self) -> list[Call]:
        """Those whose time has come; none when something changed, or after a wait for the next."""
        with self._changed:
            now_s = time.monotonic()
            due = [call for call in self._waiting if call.at_s <= now_s]
            for call in due:
                del self._waiting[call]
            if not due:
                self._wakes_s = min((call.at_s for call in self._waiting), default=math.inf)
                self._changed.wait(None if self._wakes_s == math.inf else self._wakes_s - now_s)
            return due


_timer = Timer()


def call_after(seconds: float, act: Callable[[], None]) -> Call:
    """Have something done after so long, in the timer's thread."""
    return _timer.call(seconds, act)


def call_off(call: Call) -> None:
    """It need not be done any more."""
    _timer.call_off(call)


def _begin_anew() -> None:
    """In a forked process, which has none of the threads: Celery's children."""
    global _timer
    _timer = Timer()


os.register_at_fork(after_in_child=_begin_anew)
