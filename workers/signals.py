"""Celery's signals: signs of life for the scheduler, logging, and tidy ends of children."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
from datetime import timedelta
from typing import Any

import redis
import structlog
from celery import signals

from reconciler import process
from workers import logs, metrics, wiring
from workers.app import QUEUE, the_app
from workers.store import clocks

log = structlog.get_logger()


class Slots:
    """What this worker tells the scheduler: how many tasks it runs at once, until it begins to end."""

    def __init__(self) -> None:
        self.count = 0
        self.is_known = self.is_leaving = self.is_apart = False

    def beat(self, worker: str) -> None:
        """Say that this worker lives. Only news wakes the scheduler: a quiet fleet costs it nothing."""
        if self.is_leaving:
            return
        store = wiring.store()
        # A Redis that is away is noticed and waited for by Celery itself; a missed sign of life costs nothing.
        try:
            ahead_s = store.clocks.ahead_of_leader_s()
            self._keep_time(worker, ahead_s)
            if self.is_apart:
                return
            at = store.clock.now() - timedelta(seconds=ahead_s)
            store.slots.beat(worker, self.count or wiring.settings().concurrency, at)
            if not self.is_known:
                store.due.wake()
            self.is_known = True
        except redis.RedisError:
            self.is_known = False

    def _keep_time(self, worker: str, ahead_s: float) -> None:
        """Take no work while our clock is not the scheduler's: each lease would seem to have ended, or never to end."""
        is_apart = abs(ahead_s) > clocks.MOST_APART_S
        if is_apart == self.is_apart:
            return
        self.is_apart, store = is_apart, wiring.store()
        store.clocks.note(worker, ahead_s if is_apart else 0.0)
        if is_apart:
            store.events.append(store.clock.now(), "worker", worker, "ClockApart", clocks.told(ahead_s))
            log.error("clock_apart", seconds=round(ahead_s))
            the_app().control.cancel_consumer(QUEUE, destination=[worker])
            store.slots.gone(worker)
        else:
            log.info("clock_right_again")
            the_app().control.add_consumer(QUEUE, destination=[worker])

    def leave(self, worker: str) -> None:
        """Take this worker's slots away, so that nothing more is sent for it."""
        self.is_leaving = True
        with contextlib.suppress(redis.RedisError):
            wiring.store().slots.gone(worker)


slots = Slots()
_FORKED_BY = os.getpid()
"""The worker: this module is loaded before its children are forked."""


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Our logging, in every worker process; Celery then leaves the root logger alone."""
    logs.set_up("worker")


@signals.celeryd_after_setup.connect
def count_children(sender: Any, instance: Any, **_: Any) -> None:
    """How many children there are, by command line or settings."""
    slots.count = int(instance.concurrency)


@signals.worker_ready.connect
def serve_metrics(**_: Any) -> None:
    """After the children were forked, since a child must not inherit a listening thread's locks."""
    if address := wiring.settings().metrics:
        metrics.serve(address)


@signals.heartbeat_sent.connect
def beat(sender: Any, **_: Any) -> None:
    """Celery sends a heartbeat every two seconds, from its event loop."""
    slots.beat(sender.eventer.hostname)


@signals.worker_shutting_down.connect
def say_goodbye(sender: Any, **_: Any) -> None:
    """A worker that ends gives its tasks a few seconds; meanwhile it must get no more."""
    slots.leave(str(sender))


@signals.worker_process_init.connect
def begin_child(**_: Any) -> None:
    """Nothing that the parent had open is used in a child: sockets must not be shared after a fork."""
    if os.getpid() != _FORKED_BY:  # the solo pool has no children, and still says so
        process.die_with_parent(_FORKED_BY)
    gc.freeze()  # what was imported before the fork is shared, and never searched for garbage
    wiring.store.cache_clear()
    wiring.rooms.cache_clear()


@signals.worker_process_shutdown.connect
def end_child(**_: Any) -> None:
    """End the render helper and remove its folder."""
    if wiring.rooms.cache_info().currsize:
        wiring.rooms().close()
        shutil.rmtree(wiring.settings().home / "render" / str(os.getpid()), ignore_errors=True)
