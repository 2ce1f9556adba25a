"""Hands leased work to Celery as messages that read well in Flower.

The task's name is constant; what it is about stands in its arguments: `sync`, `podinfo@eu-1 commit 3fa2c1b`. A message
carries the subject, the reason and the fence, never manifests, values or credentials. All messages of a turn travel in
one batch, which costs a third of sending them one by one.
"""

from __future__ import annotations

from celery import Celery
from kombu import Producer
from kombu.exceptions import KombuError

from reconciler.model.instance import InstanceKey
from workers.app import QUEUE
from workers.messages import Grant


class BrokerAway(ConnectionError):
    """The broker did not take the messages. Nobody claims their leases, so these end, and the work is due again."""


def dispatch(app: Celery, grants: list[Grant]) -> None:
    """Publish one message per grant. Raises BrokerAway; then some of the messages may have arrived all the same."""
    if not grants:
        return
    try:
        with app.producer_or_acquire() as producer:
            if producer.supports_batch_publish:
                with producer.batch(max_size=len(grants)):
                    _send_all(app, grants, producer)
            else:
                _send_all(app, grants, producer)
    except (KombuError, OSError) as error:
        raise BrokerAway(f"{len(grants)} messages: {error}") from error


def _send_all(app: Celery, grants: list[Grant], producer: Producer) -> None:
    for grant in grants:
        app.send_task(
            grant.work.kind,
            args=[grant.work.subject, _why(grant), grant.fence],
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
    return f"{_short(grant)} {_why(grant)}".strip()


def task_id(grant: Grant) -> str:
    """One per grant, since a fence is never repeated."""
    return f"{grant.work.kind}:{_short(grant)}:{grant.fence}".replace("/", ".")


def _why(grant: Grant) -> str:
    return ", ".join(grant.reasons)


def _short(grant: Grant) -> str:
    return InstanceKey.parse(grant.work.subject).short if grant.work.kind == "sync" else grant.work.subject
