"""Hands leased work to Celery as messages that read well in Flower.

The task's name is constant; what it is about stands in its arguments: `sync`, `podinfo@eu-1 commit 3fa2c1b`. A message
carries the subject, the reason and the fence, never manifests, values or credentials.

Headers and body are Celery's own (`as_task_v2`); the envelope is kombu's for Redis, written here for all grants of a turn
at once, since kombu's publishing costs the scheduler more than all else that it does for a task. A contract test holds it
equal to what `apply_async` of the installed Celery sends.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

import orjson
import redis
from celery import Celery
from kombu.utils.json import dumps

from reconciler.model.instance import InstanceKey
from workers.app import QUEUE
from workers.messages import Grant


class BrokerAway(ConnectionError):
    """The broker did not take the messages. Nobody claims their leases, so these end, and the work is due again."""


def dispatch(app: Celery, client: redis.Redis, grants: list[Grant]) -> None:
    """Publish one message per grant, in one step. Raises BrokerAway; then they may have arrived all the same."""
    if not grants:
        return
    try:
        client.lpush(QUEUE, *(_envelope(app, grant) for grant in grants))
    except redis.RedisError as error:
        raise BrokerAway(f"{len(grants)} messages: {error}") from error


def _envelope(app: Celery, grant: Grant) -> bytes:
    message: Any = app.amqp.as_task_v2(
        task_id(grant),
        grant.work.kind,
        args=[grant.work.subject, _why(grant), grant.fence],
        argsrepr=title(grant),
        kwargsrepr="",
        ignore_result=True,
        time_limit=app.conf.task_time_limit,
    )
    properties = {
        **message.properties,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return orjson.dumps(
        {
            "body": base64.b64encode(dumps(message.body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": message.headers,
            "properties": properties,
        }
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
