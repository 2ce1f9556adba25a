"""Puts freezes and pauses in force and takes them off: what commands and the scheduler share."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.store.brakes import PERMIT_S, to_json

MOST_AT_ONCE = 20
"""More instances than this are let go in the periodic lane, behind other people's commits."""


def put(store: Store, brake: Brake, for_: timedelta | None) -> str:
    """Put a brake in force. When this returns, no worker begins another write that it covers. The journal's entry id."""
    if for_ is not None:
        brake = replace(brake, until=brake.at + for_)
    store.brakes.put(brake)
    begun_s = store.clock.boot_s()
    entry = store.outbox.put(brake.at, "brake", brake.scope, by=brake.by, reason=brake.reason, brake=to_json(brake))
    store.events.append(brake.at, "scheduler", brake.scope, brake.kind, brake.sentence)
    store.due.wake()
    # What workers were permitted before runs out by itself. Twice as long: their clocks are not ours.
    threading.Event().wait(max(0.0, 2 * PERMIT_S - (store.clock.boot_s() - begun_s)))
    return entry


def lift(store: Store, scope: str, *, by: str, reason: str) -> int:
    """Take a brake off and make due what it held back; how many instances it covered, 0 when there was none."""
    brake = store.brakes.lift(scope)
    if brake is None:
        return 0
    now = store.clock.now()
    store.outbox.put(now, "lift", scope, by=by, reason=reason)
    known = store.specs.instance_keys() | store.tombstones.all().keys() | store.specs.left()
    keys = sorted(key for key in known if brake.covers(key))
    store.due.mark(_marks(keys, brake))
    return len(keys)


def _marks(keys: list[InstanceKey], brake: Brake) -> Iterable[Mark]:
    lane = Lane.COMMIT if len(keys) <= MOST_AT_ONCE else Lane.PERIODIC
    for key in keys:
        yield Mark(Work("sync", str(key)), lane, f"no longer {brake.kind.lower()}")
