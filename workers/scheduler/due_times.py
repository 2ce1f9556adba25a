"""When an instance is due next, by what its last sync found. Pure but for the dice that it is handed."""

from __future__ import annotations

import random
from datetime import datetime

from reconciler.errors import BACKOFF, NEVER
from reconciler.model.record import Phase, SyncRecord
from reconciler.model.spec import InstanceSpec
from workers.messages import Lane, Mark, Work

FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 300.0
FIRST_LOOK_S, LONGEST_LOOK_S = 2.0, 30.0
OBSERVE_EVERY = 10
"""What is only observed is compared anew after so many times the cluster's scan interval."""
URGENT_RETRIES = 3
"""After so many failures in a row a retry is no news any more, and stands behind other people's commits and drift."""


def next_sync(spec: InstanceSpec, record: SyncRecord, failures: int, dice: random.Random) -> Mark:
    """The next time for an instance. `failures` counts its failed syncs in a row, this one included.

    Waiting for health: again after as long as it has waited, 2 to 30 s. Failed: 2 s doubled each time up to 5 min, or
    what the error says. Else after the resync interval, spread over its whole length; sooner where nothing may be written.
    """
    work, now = Work("sync", str(spec.key)), record.finished_at
    if record.retry == BACKOFF and record.phase is Phase.WAITING:
        return _mark(work, Lane.PERIODIC, "health", now, _look_again_s(record, now))
    if record.retry == BACKOFF:
        wait_s = min(FIRST_RETRY_S * 2 ** min(max(failures, 1) - 1, 10) * dice.uniform(0.8, 1.2), LONGEST_RETRY_S)
        return _mark(work, _retry_lane(failures), f"retry {failures} after {record.reason}", now, wait_s)
    if record.retry != NEVER:
        lane = Lane.DRIFT if record.phase is Phase.WAITING else _retry_lane(failures)
        return _mark(work, lane, f"retry after {record.reason}", now, float(record.retry))
    interval_s = spec.sync.resync_interval.total_seconds()
    if record.reason == "Observed" or "Observe" in (spec.sync.mode, spec.cluster.mode):
        # Nothing of it is in an inventory, so no scan sees what changes there.
        interval_s = min(interval_s, OBSERVE_EVERY * spec.cluster.drift.every.total_seconds())
    return _mark(work, Lane.PERIODIC, "periodic", now, interval_s * dice.uniform(0.5, 1.5))


def _retry_lane(failures: int) -> Lane:
    return Lane.COMMIT if failures <= URGENT_RETRIES else Lane.PERIODIC


def _look_again_s(record: SyncRecord, now: datetime) -> float:
    since = record.memory.waiting_since or now
    return min(max((now - since).total_seconds(), FIRST_LOOK_S), LONGEST_LOOK_S)


def _mark(work: Work, lane: Lane, reason: str, now: datetime, wait_s: float) -> Mark:
    return Mark(work, lane, reason, at_ms=int((now.timestamp() + wait_s) * 1000))
