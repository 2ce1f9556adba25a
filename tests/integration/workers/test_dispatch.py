"""The messages that the scheduler sends, as they lie in Redis: equal in form to those that Celery itself sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from workers.app import QUEUE, make_app
from workers.dispatch import BrokerAway, dispatch
from workers.messages import Grant, Lane, Work
from workers.settings import from_env

SYNC = Grant(Work("sync", "default/podinfo@eu-1"), 1_700_000_000_000, Lane.COMMIT, ("commit 3fa2c1b",))
SCAN = Grant(Work("scan", "eu-1"), 1_700_000_000_001, Lane.DRIFT, ("periodic",))
REFRESH = Grant(Work("refresh", "https://git.example.com/a.git"), 1_700_000_000_002, Lane.COMMIT, ("periodic",))
TEXTS = ("argsrepr", "kwargsrepr")


@pytest.fixture
def celery_app(valkey: str, tmp_path: Path) -> Iterator[Celery]:
    app = make_app(from_env({"UNDRIFT_HOME": str(tmp_path), "UNDRIFT_REDIS_URL": valkey}))
    yield app
    app.close()


def messages(client: redis.Redis) -> list[dict[str, Any]]:
    """What waits in the queue, the oldest first."""
    return [json.loads(raw) for raw in reversed(client.lrange(QUEUE, 0, -1))]


def body(message: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(message["body"]))


def test_messages_wait_in_the_one_queue_in_the_order_of_their_grants(celery_app: Celery, redis_client: redis.Redis):
    dispatch(celery_app, redis_client, [SYNC, SCAN, REFRESH])

    assert [one["headers"]["task"] for one in messages(redis_client)] == ["sync", "scan", "refresh"]


def test_a_message_reads_well_in_flower(celery_app: Celery, redis_client: redis.Redis):
    dispatch(celery_app, redis_client, [SYNC])

    (message,) = messages(redis_client)
    assert message["headers"]["argsrepr"] == "podinfo@eu-1 commit 3fa2c1b"
    assert message["headers"]["id"] == "sync:podinfo@eu-1:1700000000000"
    assert message["headers"]["kwargsrepr"] == ""


def test_a_message_carries_the_subject_the_reason_and_the_fence_only(celery_app: Celery, redis_client: redis.Redis):
    dispatch(celery_app, redis_client, [SYNC])

    args, kwargs, _ = body(messages(redis_client)[0])
    assert args == ["default/podinfo@eu-1", "commit 3fa2c1b", 1_700_000_000_000]
    assert kwargs == {}


def test_a_message_has_the_form_of_apply_async(celery_app: Celery, redis_client: redis.Redis):
    """The same headers and properties, of the same types, so that any worker and Flower take it."""
    args = [SYNC.work.subject, SYNC.reasons[0], SYNC.fence]
    celery_app.loader.import_default_modules()
    celery_app.tasks["sync"].apply_async(args, task_id="x")
    dispatch(celery_app, redis_client, [SYNC])

    theirs, ours = messages(redis_client)
    assert _shape(ours) == _shape(theirs)
    assert body(ours) == body(theirs)
    assert ours["properties"]["delivery_info"] == theirs["properties"]["delivery_info"]
    assert ours["headers"]["ignore_result"]
    assert ours["headers"]["timelimit"] == theirs["headers"]["timelimit"]


def test_every_delivery_tag_is_its_own(celery_app: Celery, redis_client: redis.Redis):
    dispatch(celery_app, redis_client, [SYNC, SCAN, REFRESH])

    assert len({one["properties"]["delivery_tag"] for one in messages(redis_client)}) == 3


def test_two_hundred_messages_are_one_round_trip(celery_app: Celery, redis_client: redis.Redis):
    grants = [Grant(Work("sync", f"default/app-{n}@eu-1"), n + 1, Lane.COMMIT, ("new",)) for n in range(200)]
    before = redis_client.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"]

    dispatch(celery_app, redis_client, grants)

    assert redis_client.info("commandstats")["cmdstat_lpush"]["calls"] - before == 1
    assert len(messages(redis_client)) == 200


def test_nothing_granted_sends_nothing(celery_app: Celery, redis_client: redis.Redis):
    dispatch(celery_app, redis_client, [])

    assert redis_client.keys("*") == []


def test_a_broker_that_is_away_is_an_error_that_the_scheduler_waits_for(tmp_path: Path):
    """It catches OSError; kombu's own error is none, and would end it."""
    app = make_app(from_env({"UNDRIFT_HOME": str(tmp_path), "UNDRIFT_REDIS_URL": f"unix://{tmp_path}/none"}))

    with pytest.raises(BrokerAway, match="1 messages:") as away:
        dispatch(app, redis.Redis(unix_socket_path=str(tmp_path / "none")), [SYNC])

    assert isinstance(away.value, OSError)


def _shape(message: dict[str, Any]) -> dict[str, Any]:
    """The names and types of everything in a message."""
    headers = {key: type(value) for key, value in message["headers"].items()}
    # `send_task` also puts its readable texts among the properties, where nobody reads them.
    properties = {key: type(value) for key, value in message["properties"].items() if key not in TEXTS}
    return {"headers": headers, "properties": properties, "other": sorted(message), "type": message["content-type"]}
