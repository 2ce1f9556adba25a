"""The frame of every leased task: claim once, hold the lease while working, and complete it.

A delivery whose fence was claimed before, or whose lease has ended, does nothing. A task that is interrupted completes
nothing either: its lease runs out, and the scheduler rescues the work.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from reconciler.errors import FencedOut, LeaseError
from workers import wiring
from workers.messages import Grant, Mark, Work
from workers.store.guard import RedisGuard

log = structlog.get_logger()


def run_leased(work: Work, fence: int, do: Callable[[Grant, RedisGuard], Mark | None]) -> None:
    """Do leased work; what `do` returns is when it is due next."""
    store, lease_s = wiring.store(), wiring.settings().lease_s
    # The guard's clock starts before the claim is sent, so that it never outlasts the lease.
    guard = RedisGuard(store.due, work, fence, lease_s, store.clock)
    grant = store.due.claim(work, fence, lease_s)
    if grant is None:
        log.info("delivery_without_lease", work=str(work), fence=fence)
        return
    with structlog.contextvars.bound_contextvars(work=str(work), fence=fence), guard:
        try:
            again = do(grant, guard)
        except FencedOut as error:
            log.warning("fenced_out", met=error.fence)
            later = Mark(work, grant.lane, "another run was met", at_ms=store.due.now_ms() + int(lease_s * 1000))
            store.due.complete(work, fence, later, met_fence=error.fence)
            return
        except LeaseError as error:
            log.warning("lease_lost", error=error.message)
            return
    if not store.due.complete(work, fence, again):
        log.warning("completed_too_late", work=str(work), fence=fence)
