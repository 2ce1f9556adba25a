"""Celery's signals: signs of life for the scheduler, logging, and tidy ends of children."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any

import redis
from celery import signals

from workers import logs, wiring


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Our logging, in every worker process; Celery then leaves the root logger alone."""
    logs.set_up("worker")


@signals.heartbeat_sent.connect
def beat(sender: Any, **_: Any) -> None:
    """Tell the scheduler how much this worker can take. Celery sends a heartbeat every two seconds."""
    worker = sender.eventer.hostname
    # A Redis that is away is noticed and waited for by Celery itself; a missed sign of life costs nothing.
    with contextlib.suppress(redis.RedisError):
        wiring.store().slots.beat(worker, wiring.settings().concurrency, wiring.store().clock.now())
        wiring.store().due.wake()


@signals.worker_shutting_down.connect
def say_goodbye(sender: Any, **_: Any) -> None:
    """Take this worker's slots away at once, so that nothing more is sent to it."""
    with contextlib.suppress(redis.RedisError):
        wiring.store().slots.gone(str(sender))


@signals.worker_process_init.connect
def begin_child(**_: Any) -> None:
    """Nothing that the parent had open is used in a child: sockets must not be shared after a fork."""
    wiring.store.cache_clear()
    wiring.rooms.cache_clear()


@signals.worker_process_shutdown.connect
def end_child(**_: Any) -> None:
    """End the render helper and remove its folder."""
    if wiring.rooms.cache_info().currsize:
        wiring.rooms().close()
        shutil.rmtree(wiring.settings().home / "render" / str(os.getpid()), ignore_errors=True)
