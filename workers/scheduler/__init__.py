"""Says when and where to run: makes work due, leases it, hands it to Celery, and rescues what was lost."""

from workers.scheduler.loop import Scheduler

__all__ = ["Scheduler"]
