"""The frame of every leased task: claim once, hold the lease while working, and complete it.

A delivery whose fence was claimed before, or whose lease has ended, does nothing. A task that is interrupted, or that
Redis left alone, completes nothing either: its lease runs out, and the scheduler rescues the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import redis
import structlog

from reconciler.errors import FencedOut, LeaseError
from reconciler.model.instance import InstanceKey
from workers import wiring
from workers.messages import Grant, Lane, Mark, Work
from workers.mistakes import BROKEN, told
from workers.store.brief import Results
from workers.store.guard import RedisGuard

log = structlog.get_logger()
BROKEN_WAIT_MS = 60_000


class TaskBroke(Exception):
    """A mistake of ours ended a task. Names the error's kind and place only: its words may hold what is secret."""


Job = Callable[[Grant, RedisGuard, Results], Mark | None]
"""Leased work: it puts what it found into the results, and returns when it is due next."""


def run_leased(work: Work, fence: int, do: Job) -> None:
    """Do leased work, and write its results with the end of its lease. Raises TaskBroke, for Celery and Flower to show."""
    store, lease_s = wiring.store(), wiring.settings().lease_s
    with structlog.contextvars.bound_contextvars(work=str(work), fence=fence):
        try:
            # The guard's clock starts before the claim is sent, so that it never outlasts the lease.
            guard = RedisGuard(store.due, work, fence, lease_s, store.clock, store.brakes)
            grant = store.due.claim(work, fence, lease_s)
            if grant is None:
                log.info("delivery_without_lease")
                return
            with guard:
                _hold(do, grant, guard)
        except redis.RedisError as error:
            log.warning("redis_lost_in_task", error=type(error).__name__)


def _hold(do: Job, grant: Grant, guard: RedisGuard) -> None:
    store, work, fence = wiring.store(), grant.work, grant.fence
    results = store.results()
    begun_s = store.clock.boot_s()
    try:
        again = do(grant, guard, results)
    except FencedOut as error:
        log.warning("fenced_out", met=error.fence)
        at_ms = store.due.now_ms() + int(wiring.settings().lease_s * 1000)
        again = Mark(work, grant.lane, "another run was met", at_ms=at_ms, commit=grant.commit, full=grant.full)
        # What was asked for is still to be done, and who asked still waits.
        store.due.mark([again, *(replace(again, request=one) for one in grant.requests)])
        store.due.complete(work, fence, again, met_fence=error.fence)
        return
    except LeaseError as error:
        log.warning("lease_lost", error=error.message)
        return
    except redis.RedisError:
        raise
    except Exception as error:
        what = told(error)
        log.error("task_broke", what=what)
        _own_up(grant, what)
        raise TaskBroke(what) from None
    results.meters.observe("undrift_task_seconds", store.clock.boot_s() - begun_s, work.kind, results.outcome)
    if not store.due.complete(work, fence, again, commands=results.commands()):
        log.warning("completed_too_late")


def _own_up(grant: Grant, what: str) -> None:
    """Say that it is our mistake, not the user's, and try again later. No worker died, so none is counted as lost."""
    store, work = wiring.store(), grant.work
    at_ms = store.due.now_ms() + BROKEN_WAIT_MS
    results = store.results()
    message = f"a mistake of Undrift itself ended the {work.kind}: {what}; nothing is known to be wrong with yours. "
    message += f"It is tried again in {BROKEN_WAIT_MS // 1000} s; please report it"
    if work.kind == "sync":
        status = store.status.get(InstanceKey.parse(work.subject))
        update = {"sync": "Unknown", "phase": "Failed", "reason": BROKEN, "message": message, "fence": grant.fence}
        results.status.put(status.model_copy(update=update))
    subjects = {"sync": "instance", "scan": "cluster", "refresh": "repository", "deliver": "webhook"}
    results.events.append(store.clock.now(), subjects[work.kind], work.subject, BROKEN, message)
    results.requests.answer(grant.requests, work.subject, {"phase": "Failed", "reason": BROKEN, "message": message})
    again = Mark(work, Lane.PERIODIC, "after a mistake of Undrift", at_ms=at_ms)
    store.due.complete(work, grant.fence, again, commands=results.commands())
