"""Hands leased work to Celery as messages that read well in Flower.

The task's name is constant; what it is about stands in its arguments: `sync`, `podinfo@eu-1 commit 3fa2c1b`.
"""

from __future__ import annotations

from celery import Celery

from reconciler.model.instance import InstanceKey
from workers.app import QUEUE
from workers.messages import Grant


def dispatch(app: Celery, grants: list[Grant]) -> None:
    """Publish one message per grant. Raises kombu's OperationalError when the broker does not take them."""
    with app.producer_or_acquire() as producer:
        for grant in grants:
            app.send_task(
                grant.work.kind,
                args=[grant.work.subject, ", ".join(grant.reasons), grant.fence],
                task_id=task_id(grant),
                argsrepr=title(grant),
                kwargsrepr="",
                queue=QUEUE,
                producer=producer,
                ignore_result=True,
                retry=False,
            )


def title(grant: Grant) -> str:
    """What people read: the subject in short, and why."""
    return f"{_short(grant)} {', '.join(grant.reasons)}".strip()


def task_id(grant: Grant) -> str:
    """One per grant, since a fence is never repeated."""
    return f"{grant.work.kind}:{_short(grant)}:{grant.fence}".replace("/", ".")


def _short(grant: Grant) -> str:
    return InstanceKey.parse(grant.work.subject).short if grant.work.kind == "sync" else grant.work.subject
