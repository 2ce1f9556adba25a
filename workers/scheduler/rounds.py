"""What must come around by itself: scans, look-ups, and each instance some time. Pure but for the dice it is handed.

Normally each work is made due again by its own completion. This fills what is missing: at the start, after a loss of
Redis, and after a task that ended without a word. Nothing is due merely because of that: instances are spread over their
resync interval, and it is the scan that makes due those without proof.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from reconciler.fleet import Expansion
from reconciler.model.spec import InstanceSpec
from workers.messages import Lane, Mark, Work


def missing(expansion: Expansion, known: Collection[Work], now_ms: int, dice: random.Random) -> list[Mark]:
    """Marks for everything of the fleet that is not among the known works."""
    marks = [Mark(Work("scan", name), Lane.DRIFT, "periodic") for name in expansion.clusters]
    marks += [Mark(Work("refresh", url), Lane.COMMIT, "periodic") for url in expansion.repositories()]
    marks += [_some_time(spec, now_ms, dice) for spec in expansion.specs.values()]
    return [one for one in marks if one.work not in known]


def _some_time(spec: InstanceSpec, now_ms: int, dice: random.Random) -> Mark:
    wait_ms = spec.sync.resync_interval.total_seconds() * 1000 * dice.uniform(0.05, 1)
    return Mark(Work("sync", str(spec.key)), Lane.PERIODIC, "periodic", at_ms=now_ms + int(wait_ms))
