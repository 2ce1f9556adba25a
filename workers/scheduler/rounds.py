"""What must come around by itself: scans, look-ups, and each instance some time.

Normally each work is made due again by its own completion. Going the rounds fills what is missing: at the start, after a
loss of Redis, and after a task that ended without a word. Nothing is due merely because of that: instances are spread over
their resync interval, and it is the scan that makes due those without proof.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Collection, Iterator
from functools import partial

import redis

from reconciler import process
from reconciler.fleet import Expansion
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from workers.messages import DELIVER, Lane, Mark, Work
from workers.scheduler import waiting
from workers.store import Store
from workers.store.batches import at_most

WORKS_A_STEP = 500
LONGEST_S = 0.05
"""Of one turn. A fleet of 100,000 takes 2 s of CPU (2026-11-28), which nobody's grant may wait for."""


class Rounds:
    """Goes through everything that should come around, some of it at each turn of the scheduler."""

    def __init__(self, store: Store) -> None:
        self._store, self._dice = store, random.Random()
        self._left: Iterator[list[Mark]] | None = None
        self._again: Callable[[], Iterator[Mark]] = lambda: iter(())
        self._is_first = False

    @property
    def is_over(self) -> bool:
        return self._left is None

    def begin(self, expansion: Expansion | None, *, tells: bool, is_first: bool = False) -> None:
        """Go the rounds from the beginning; notices come around without a fleet, too. `is_first`: of a fleet that was just
        put in force."""
        self._is_first = is_first
        self._again = partial(self._all, expansion, tells=tells)
        self._left = at_most(self._again(), WORKS_A_STEP)

    def go_on(self) -> None:
        """Make due what is missing in the next pieces; all of it anew when Redis went away in the middle.

        Raises RedisError, and NotLeading when another may have replaced the fleet.
        """
        try:
            self._take_steps()
        except redis.RedisError:
            self._left = at_most(self._again(), WORKS_A_STEP)
            raise

    def _take_steps(self) -> None:
        begun_s = self._store.clock.boot_s()
        while self._left is not None and self._store.clock.boot_s() - begun_s < LONGEST_S:
            some = next(self._left, None)
            if some is None:
                self._left = None
                if self._is_first:  # what it took to read and publish the fleet is free by now, or refers to itself
                    gc.collect()
                    process.give_back_memory()
                return
            missing = self._store.due.missing(one.work for one in some)
            self._store.due.mark(one for one in some if one.work in missing)

    def _all(self, expansion: Expansion | None, *, tells: bool) -> Iterator[Mark]:
        if tells:
            yield Mark(DELIVER, Lane.COMMIT, "look")
        if expansion is not None:
            unjudged = waiting.settle(self._store, expansion)
            yield from everything(expansion, unjudged, self._store.due.now_ms(), self._dice)


def everything(
    expansion: Expansion, unjudged: Collection[InstanceKey], now_ms: int, dice: random.Random
) -> Iterator[Mark]:
    """When everything of a fleet comes around that nothing else makes due; a look makes due what it is still to judge."""
    for name in expansion.clusters:
        yield Mark(Work("scan", name), Lane.DRIFT, "periodic")
    for url in expansion.repositories():
        yield Mark(Work("refresh", url), Lane.COMMIT, "periodic")
    for key, spec in expansion.specs.items():
        if key not in unjudged:
            yield Mark(Work("sync", str(key)), Lane.PERIODIC, "periodic", at_ms=now_ms + _some_time_ms(spec, dice))


def _some_time_ms(spec: InstanceSpec, dice: random.Random) -> int:
    return int(spec.sync.resync_interval.total_seconds() * 1000 * dice.uniform(0.05, 1))
