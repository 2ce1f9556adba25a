"""The Celery app, and how it is set up.

Celery carries *now*: no countdown, no retry, no result. What a delivery may do is decided by the lease, so a lost, doubled
or late message does no harm. Settings follow what was measured about Celery 5.6 on kombu 5.7 (`docs/decisions/0003`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from celery import Celery

from workers import flower
from workers import settings as settings_module
from workers.pooled_events import PooledEvents
from workers.settings import Settings
from workers.sieve import Amqp, FewCommands, Sieve

QUEUE = "undrift"
HARD_LIMIT_S = 300
"""A task is killed after this; every request and render in it has a shorter limit of its own."""
TASKS_PER_CHILD = 5000
BROKER_OPTIONS = {
    # Above the hard limit, so that no message is delivered again while its task may still run.
    "visibility_timeout": HARD_LIMIT_S + 120,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "priority_steps": [0],
}


def broker_url(redis_url: str) -> str:
    """kombu's name for the same Redis: a Unix socket is `redis+socket://`."""
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://") + "?virtual_host=0"
    return redis_url


def make_app(settings: Settings) -> Celery:
    """An app on the settings' broker, with the tasks registered."""
    made = Celery("undrift", broker=broker_url(settings.redis_url), include=["workers.tasks"], amqp=Amqp)
    made.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_default_queue=QUEUE,
        task_create_missing_queues=True,
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        task_time_limit=HARD_LIMIT_S,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.concurrency,
        worker_max_memory_per_child=settings.memory_per_child_mib * 1024,
        worker_max_tasks_per_child=TASKS_PER_CHILD,
        worker_send_task_events=True,
        worker_soft_shutdown_timeout=5,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options=BROKER_OPTIONS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # a key of another type in a queue's place is waited for, as a Redis that is away
    )
    made.steps["consumer"].update({PooledEvents, Sieve})
    if not settings.flower_actions:
        made.steps["consumer"].add(FewCommands)
    return made


def is_flower(words: Sequence[str]) -> bool:
    """Whether a command line is that of `celery -A workers flower`."""
    return "flower" in words[1:]


@cache
def the_app() -> Celery:
    """The app of this process, by its environment. Made when first asked for, since that makes the home folder."""
    settings = settings_module.from_env(os.environ)
    if is_flower(sys.argv):
        # Flower reads its options from the environment after it has loaded the app, so this is the moment.
        flower.protect(settings, os.environ)
    return make_app(settings)


def __getattr__(name: str) -> Any:
    if name == "app":
        return the_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
