"""Job and CronJob."""

from __future__ import annotations

from datetime import datetime

from reconciler.health import conditions
from reconciler.health.conditions import HEALTHY, degraded, progressing
from reconciler.model.health import Health, ObjectHealth
from reconciler.model.manifest import Raw


def job(body: Raw, now: datetime) -> ObjectHealth:
    """Healthy when complete. One that still runs is progressing, as Flux and Argo CD have it (kstatus says current)."""
    if conditions.is_true(body, "Complete"):
        return HEALTHY
    if conditions.is_true(body, "Failed"):
        return degraded("JobFailed", conditions.text(conditions.find(body, "Failed") or {}))
    if body["spec"].get("suspend"):
        return ObjectHealth(Health.SUSPENDED, "JobSuspended", "the Job is suspended")
    if not (body.get("status") or {}).get("startTime"):
        return progressing("JobNotStarted", "the Job has not started")
    return progressing("JobRunning", "the Job is running")


def cron_job(body: Raw, now: datetime) -> ObjectHealth:
    """A CronJob runs nothing itself: healthy, or suspended."""
    if body["spec"].get("suspend"):
        return ObjectHealth(Health.SUSPENDED, "CronJobSuspended", "the CronJob is suspended")
    return HEALTHY
