"""Task events for Flower, sent a few times a second instead of one by one.

Celery's worker publishes its buffered events at the next turn of its loop, which under load is a request to Redis for each
task. Flower shows the same half a second later.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

LONGEST_KEPT_S = 0.5


class PooledEvents(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """A step of the consumer's blueprint, begun anew with each connection, after Celery's own `Events`."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, parent: Any) -> None:
        dispatcher, is_waiting = parent.event_dispatcher, False

        def flush() -> None:
            nonlocal is_waiting
            is_waiting = False
            dispatcher.flush()

        def flush_soon() -> None:
            nonlocal is_waiting
            if not is_waiting:
                is_waiting = True
                parent.timer.call_after(LONGEST_KEPT_S, flush)

        if dispatcher is not None and parent.hub is not None:
            dispatcher.on_send_buffered = flush_soon
