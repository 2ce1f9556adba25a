"""The tasks, thin: take the lease, call the pipeline, store what came of it. Names are constant and public."""

from typing import Any

import kubernetes.client
import kubernetes.config  # before the fork: half a second and 36 MB that children then share
from celery import shared_task

from workers import asking, signals
from workers.tasks import delivering, refreshing, scanning, syncing

__all__ = ["deliver", "kubernetes", "refresh", "resync", "scan", "signals", "sync"]


@shared_task(name="sync")
def sync(instance: str, reason: str, fence: int) -> None:
    """Bring one instance one step nearer to what Git says."""
    syncing.run(instance, fence)


@shared_task(name="scan")
def scan(cluster: str, reason: str, fence: int) -> None:
    """Prove one cluster's instances in sync, and make due those that are not."""
    scanning.run(cluster, fence)


@shared_task(name="refresh")
def refresh(url: str, reason: str, fence: int) -> None:
    """Look at one repository, and make due the instances that a new commit concerns."""
    refreshing.run(url, fence)


@shared_task(name="deliver")
def deliver(subject: str, reason: str, fence: int) -> None:
    """Tell the webhook what is due to be told."""
    delivering.run(subject, fence)


@shared_task(name="undrift.resync")
def resync(
    application: str | None = None,
    instance: str | None = None,
    selector: str | None = None,
    reason: str = "",
    full: bool = False,
    **unknown: Any,
) -> None:
    """The public task: make instances due, by application, instance or label selector. Writes to the due queue only."""
    asking.run(application, instance, selector, reason, full=full, unknown=unknown)
