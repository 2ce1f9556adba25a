"""Job and CronJob."""

from __future__ import annotations

from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, degraded, part, progressing, suspended
from reconciler.model.health import ObjectHealth
from reconciler.model.manifest import Raw


def job(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when complete. One that still runs is progressing, as Flux and Argo CD have it (kstatus says current)."""
    if conditions.is_true(body, "Complete"):
        return HEALTHY
    if conditions.is_true(body, "Failed"):
        return degraded("JobFailed", conditions.text(conditions.find(body, "Failed")))
    if part(body, "spec").get("suspend") is True:
        return suspended("JobSuspended", "the Job is suspended")
    if not part(body, "status").get("startTime"):
        return progressing("JobNotStarted", "the Job has not started")
    return progressing("JobRunning", "the Job is running")


def cron_job(body: Raw, now: datetime) -> ObjectHealth:
    """A CronJob runs nothing itself: healthy, or suspended."""
    if part(body, "spec").get("suspend") is True:
        return suspended("CronJobSuspended", "the CronJob is suspended")
    return HEALTHY
