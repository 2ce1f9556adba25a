"""What one exchange with a Git host may cost, in time and in bytes, whatever the host does.

The time-outs of sockets are no bound: a host that sends a byte now and then, in headers, in a TLS handshake or in the middle
of a line, keeps a library waiting inside one read for ever. So a timer ends the exchange from outside: whoever holds a
connection or a process hands in how to cut it, and the error that follows from the cut is told as the time limit.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from reconciler import timer
from reconciler.errors import GitUnreachable, SourceError, SourceTooLarge

ADVERTISED_BYTES = 32 * 1024 * 1024
"""Of refs, which are held in memory: some 400,000 of them."""

Cut = Callable[[], None]


class Exchange:
    """The limits of what is said to one host, which begin with `within`. Used again for the next look-up or fetch over the
    same connection."""

    def __init__(self, url: str) -> None:
        """`url` is for messages, without credentials."""
        self.url = url
        self._lock = threading.Lock()
        self._cuts: list[Cut] = []
        self.is_over = False
        self._late: type[SourceError] = GitUnreachable
        self._seconds, self._deadline = 0.0, 0.0
        self._allowed = self._left = sys.maxsize

    @contextlib.contextmanager
    def within(self, seconds: float, late: type[SourceError] = GitUnreachable) -> Iterator[None]:
        """Everything in the block has so long, and may answer with refs; `allow` lets more come. Raises `late` after it."""
        self.allow(ADVERTISED_BYTES)
        self.is_over, self._late = False, late
        self._seconds, self._deadline = seconds, time.monotonic() + seconds
        call = timer.call_after(seconds, self._end)
        try:
            yield
        except Exception as error:
            if self.is_over and not isinstance(error, SourceError):
                raise self._told() from error
            raise
        finally:
            timer.call_off(call)

    def cut_by(self, cut: Cut) -> None:
        """Hand in what ends a connection at once, from another thread. Called at once when the time is over already."""
        with self._lock:
            self._cuts.append(cut)
            is_over = self.is_over
        if is_over:
            cut()

    def forget(self, cut: Cut) -> None:
        """The connection was closed."""
        with self._lock:
            if cut in self._cuts:
                self._cuts.remove(cut)

    def allow(self, size_bytes: int) -> None:
        """From now on so much may come."""
        self._allowed = self._left = size_bytes

    def count(self, size: int) -> None:
        """Something came. Raises SourceTooLarge when it is more than what may."""
        self._left -= size
        if self._left < 0:
            limit = "of refs" if self._allowed == ADVERTISED_BYTES else "(limits.sizeBytes)"
            raise SourceTooLarge(
                f"{self.url}: the Git host's answer is over {self._allowed} bytes {limit}", subject=self.url
            )

    def require_time(self) -> None:
        """Raises when none is left, for work between two reads."""
        if self.is_over:
            raise self._told()

    def remaining_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def _told(self) -> SourceError:
        return self._late(
            f"{self.url}: the Git host did not finish within {self._seconds:g} s (limits.timeout)", subject=self.url
        )

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            cuts = tuple(self._cuts)
        for cut in cuts:
            cut()
