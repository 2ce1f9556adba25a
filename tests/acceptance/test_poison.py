"""A worker as shipped, and a broker that holds what nobody of ours has sent: it is dropped, and the worker lives."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from reconciler.clock import SystemClock
from tests.acceptance.test_worker import Worker, queues, slots, start
from tests.fixtures.installation import COMMAND, eventually
from workers.app import QUEUE, broker_url
from workers.store import Store, open_store

__all__ = ["start"]
HUNTER = "hunter2-not-to-be-logged"


@pytest.fixture
def store(valkey: str) -> Iterator[Store]:
    opened = open_store(valkey, SystemClock())
    yield opened
    opened.redis.close()


def envelope(task: str = "sync", body: object = None, **more: Any) -> dict[str, Any]:
    """A message as kombu writes it to Redis; `body` is JSON, or text as it stands."""
    call = [["default/a@b", HUNTER, 1], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    text = body if isinstance(body, str) else base64.b64encode(json.dumps(body or call).encode()).decode()
    one = str(uuid.uuid4())
    headers = {"lang": "py", "task": task, "id": one, "root_id": one, "parent_id": None, "group": None}
    headers |= more.pop("headers", {})
    properties = {
        "correlation_id": one,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": one,
    }
    return {
        "body": text,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
        **more,
    }


def without(name: str) -> dict[str, Any]:
    made = envelope()
    del made["properties"][name]
    return made


FAR = "2999-01-01T00:00:00"
POISON: list[object] = [
    "hello",
    b"\xff\xfe" + HUNTER.encode(),
    "[]",
    "5",
    "null",
    "[" * 100_000 + "]" * 100_000,
    {"body": "", "headers": {}},
    without("delivery_tag"),
    without("delivery_info"),
    envelope(body="%%%"),
    envelope(body="NQ=="),  # 5
    envelope(body="e30="),  # {}
    envelope(body=base64.b64encode(HUNTER.encode()).decode()),
    envelope(body=["abc", {}, {}]),
    envelope(body=[[], [], {}]),
    envelope(body=[["a" * 2_000_000], {}, {}]),
    envelope() | {"headers": [1]},
    envelope() | {"headers": None},
    envelope() | {"content-type": "application/x-python-serialize"},
    envelope() | {"content-encoding": "rot-13"},
    envelope(headers={"eta": FAR}),
    envelope(headers={"eta": "junk"}),
    envelope(headers={"timelimit": "x"}),
    envelope(headers={"timelimit": [10**9, None]}),
    envelope(headers={"expires": {"a": 1}}),
    envelope(headers={"retries": "x"}),
    envelope(headers={"id": None}),
    envelope(headers={"compression": "gzip"}),
    envelope(HUNTER),
    envelope(headers={"task": [1]}),
]


def test_what_is_no_message_of_ours_is_dropped_and_the_worker_lives(
    start: Callable[..., Worker], store: Store, tmp_path: Path
):
    """Before, each of these ended the worker, and those with a broken body every worker that followed."""
    worker = start([*COMMAND, "worker", "--name", "w1@here"], UNDRIFT_CONCURRENCY="1")
    eventually(lambda: slots(store), "the worker runs", 30.0)

    for one in POISON:
        store.redis.lpush(QUEUE, one if isinstance(one, str | bytes) else json.dumps(one))
    last = envelope("undrift.resync", [[], {"application": "the-last-one"}, {}])
    store.redis.lpush(QUEUE, json.dumps(last))
    log = tmp_path / "worker.log"
    eventually(lambda: "the-last-one" in log.read_text(), "it takes what is ours after all that", 60.0)

    assert worker.poll() is None
    eventually(lambda: store.redis.hlen("unacked") == 0, "nothing is left to be restored", 10.0)
    assert store.redis.llen(QUEUE) == 0
    assert HUNTER not in log.read_text()
    assert log.read_text().count("message_dropped") >= len(POISON) - 3  # some are read, and refused by the task
    assert "Connection to broker lost" not in log.read_text()


def test_a_key_of_another_type_in_the_queues_place_is_waited_for(
    start: Callable[..., Worker], store: Store, valkey: str, tmp_path: Path
):
    worker = start([*COMMAND, "worker", "--name", "w1@here"], UNDRIFT_CONCURRENCY="1")
    eventually(lambda: slots(store), "the worker runs", 30.0)

    store.redis.set(QUEUE, "x")
    eventually(lambda: "ResponseError" in (tmp_path / "worker.log").read_text(), "it says so", 30.0)
    store.redis.delete(QUEUE)

    eventually(lambda: queues(valkey) == {QUEUE}, "it consumes again", 30.0)
    assert worker.poll() is None


def test_a_worker_obeys_no_command_that_ends_or_resizes_it(start: Callable[..., Worker], store: Store, valkey: str):
    worker = start([*COMMAND, "worker", "--name", "w1@here"], UNDRIFT_CONCURRENCY="1")
    eventually(lambda: slots(store), "the worker runs", 30.0)

    with Celery("attacker", broker=broker_url(valkey)) as app:
        app.control.broadcast("pool_shrink", arguments={"n": 1})
        app.control.shutdown()

    assert queues(valkey) == {QUEUE}  # it answers, after both
    assert worker.poll() is None
