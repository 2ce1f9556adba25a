"""The tasks, thin: take the lease, call the pipeline, store what came of it. Names are constant and public."""

from typing import Any

from celery import shared_task

from workers import signals
from workers.tasks import refresh as refresh_task
from workers.tasks import resync as resync_task
from workers.tasks import scan as scan_task
from workers.tasks import sync as sync_task

__all__ = ["refresh", "resync", "scan", "signals", "sync"]


@shared_task(name="sync")
def sync(instance: str, reason: str, fence: int) -> None:
    """Bring one instance one step nearer to what Git says."""
    sync_task.run(instance, fence)


@shared_task(name="scan")
def scan(cluster: str, reason: str, fence: int) -> None:
    """Prove one cluster's instances in sync, and make due those that are not."""
    scan_task.run(cluster, fence)


@shared_task(name="refresh")
def refresh(url: str, reason: str, fence: int) -> None:
    """Look at one repository, and make due the instances that a new commit concerns."""
    refresh_task.run(url, fence)


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
    resync_task.run(application, instance, selector, reason, full=full, unknown=unknown)
