"""The lease as its holder sees it: extended by a thread of the process, judged by a clock that counts suspended time.

The local deadline counts from before the extending request was sent, so it never outlasts what Redis believes. When Redis
can't be reached the guard just runs out. A holder that was stopped (SIGSTOP, a suspended machine) finds its time over at
the next request, before anything is sent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import redis
import structlog

from reconciler.clock import Clock
from reconciler.errors import Frozen, LeaseLost
from reconciler.model.brake import cluster_scopes, scopes
from reconciler.model.instance import InstanceKey
from workers.messages import Work
from workers.store.brakes import PERMIT_S, Brakes
from workers.store.due import DueQueue

log = structlog.get_logger()


class RedisGuard:
    """Holds one claimed lease for the time of a `with` block."""

    def __init__(
        self, queue: DueQueue, work: Work, fence: int, lease_s: float, clock: Clock, brakes: Brakes | None = None
    ) -> None:
        self._queue, self._work, self._lease_s, self._clock = queue, work, lease_s, clock
        self._brakes, self._permitted_until_s = brakes, 0.0
        self.fence = fence
        self._deadline_s = clock.boot_s() + lease_s
        self._is_held = self._is_let_go = False

    def __enter__(self) -> RedisGuard:
        self._is_held = True
        _keeper().keep(self, self._lease_s / 3)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_held, self._is_let_go = False, True
        _keeper().drop(self)

    def remaining_s(self) -> float:
        """Seconds for which a request may still run. Raises LeaseLost when none are left."""
        left_s = self._deadline_s - self._clock.boot_s()
        if left_s <= 0 or self._is_let_go:
            raise LeaseLost(f"{self._work}: the lease under fence {self.fence} ended", subject=self._work.subject)
        return left_s

    @property
    def work(self) -> str:
        """What is leased, for messages."""
        return str(self._work)

    def permit(self, asked_s: float) -> None:
        """Somebody saw at `asked_s`, on the boot clock, that nothing stops this work."""
        self._permitted_until_s = asked_s + PERMIT_S

    def require_unfrozen(self) -> None:
        """Ask for freezes and pauses, at most each tenth of a second. Raises Frozen; LeaseLost when nobody can say."""
        asked_s = self._clock.boot_s()
        if self._brakes is None or asked_s < self._permitted_until_s:
            return
        try:
            is_known, brake = self._brakes.is_known(self._scopes(), self._clock.now())
        except redis.RedisError as error:
            raise LeaseLost(f"{self._work}: Redis can't be asked whether it is frozen") from error
        if not is_known:
            raise LeaseLost(f"{self._work}: Redis was emptied, and does not know yet what is frozen")
        if brake is not None:
            raise Frozen(brake.sentence, kind=brake.kind, until=brake.until, subject=self._work.subject)
        self.permit(asked_s)

    def _scopes(self) -> tuple[str, ...]:
        if self._work.kind == "sync":
            return scopes(InstanceKey.parse(self._work.subject))
        return cluster_scopes(self._work.subject)

    def extend(self) -> None:
        """Make the lease last from now. What came too late, or was refused, ends it."""
        begun_s = self._clock.boot_s()
        if not self._is_held or begun_s >= self._deadline_s:
            return
        try:
            if not self._queue.extend(self._work, self.fence, self._lease_s):
                self._deadline_s = begun_s
                return
        except redis.RedisError as error:
            log.warning("lease_not_extended", work=str(self._work), error=type(error).__name__)
            return
        self._deadline_s = begun_s + self._lease_s


class PersonGuard:
    """What a person does by hand at a terminal, without a lease: what stops syncs stops it, too, before each write."""

    fence = 0

    def __init__(self, brakes: Brakes, scopes: Sequence[str], clock: Clock) -> None:
        self._brakes, self._scopes, self._clock = brakes, scopes, clock

    def remaining_s(self) -> float:
        """A person has time."""
        return float("inf")

    def require_unfrozen(self) -> None:
        """Raises Frozen."""
        if (brake := self._brakes.over(self._scopes, self._clock.now())) is not None:
            raise Frozen(brake.sentence, kind=brake.kind, until=brake.until)


class _Keeper:
    """Extends all leases that this process holds, by one thread that lasts: most tasks end long before it is needed."""

    def __init__(self) -> None:
        self._guards: set[RedisGuard] = set()
        self._every_s = float("inf")
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        threading.Thread(target=self._run, name="leases", daemon=True).start()

    def keep(self, guard: RedisGuard, every_s: float) -> None:
        with self._lock:
            self._guards.add(guard)
            if every_s < self._every_s:
                self._every_s = every_s
                self._hurry.set()

    def drop(self, guard: RedisGuard) -> None:
        with self._lock:
            self._guards.discard(guard)

    def _run(self) -> None:
        while True:
            every_s = self._every_s
            if self._hurry.wait(None if every_s == float("inf") else every_s):
                self._hurry.clear()
                continue
            with self._lock:
                held = tuple(self._guards)
            for guard in held:
                self._extend(guard)

    def _extend(self, guard: RedisGuard) -> None:
        """One that fails in a way that nobody foresaw must not end the thread: every later lease depends on it. The lease
        itself then runs out, which is safe."""
        try:
            guard.extend()
        except Exception as error:
            log.error("lease_not_extended", work=guard.work, error=type(error).__name__)


_keepers: dict[int, _Keeper] = {}


def _keeper() -> _Keeper:
    """The keeper of this process; a fork leaves its parent's thread behind."""
    process = os.getpid()
    if process not in _keepers:
        _keepers.clear()
        _keepers[process] = _Keeper()
    return _keepers[process]
